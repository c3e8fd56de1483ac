// Whole documents, scored: the end of every search that re-ranks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "collection.h"
#include "query.h"

namespace colxtr {

// Mean over the query tokens of the largest similarity with a token of the document, for each
// document; minus infinity for one without tokens. Ordinals are those of the whole index, and in
// the collection.
void maxsim(const Query& query, const Collection& collection, const std::uint64_t* ordinals,
            std::size_t count, float* scores);

}  // namespace colxtr
