// Whole documents, all but scored: of each only the tokens that may matter are decompressed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "collection.h"
#include "query.h"

namespace colxtr {

// Mean over the query tokens of the largest similarity with one of the document's *near* tokens,
// for each document; minus infinity for one without tokens. A token is near if its centroid, for
// some query token, comes within a margin of the document's nearest centroid, both in levels; of a
// short document all are. MaxSim, or seldom much less. Ordinals as for `maxsim`; the query has
// levels.
void skim(const Query& query, const Collection& collection, const std::uint64_t* ordinals,
          std::size_t count, float* scores);

// Whether all tokens of a document are near, because it is short: then this is its MaxSim.
bool is_skimmed_whole(const Query& query, const Collection& collection, std::uint64_t ordinal);

}  // namespace colxtr
