// The first glance at the documents in the probed lists: no token is decompressed, its centroid
// stands for it.
//
// For every document and query token the largest level of a centroid in whose list the document
// has a token. Kept a range of ordinals at a time, so that the rows that are raised at random stay
// in a near cache; lists ascend by ordinal, and each goes on where the last range ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lists.h"
#include "workspace.h"

namespace colxtr {

// The `count` best of the documents with a token in the lists, equals by ordinal: a bit for each
// ordinal, the lowest of a byte first. A document is the better, the larger the sum over query
// tokens of max(level, expected times the level of the last centroid probed). `allowed`: such bits
// of the documents that count, or null if all do.
std::vector<std::uint8_t> shortlist(const Query& query, const Collection& collection,
                                    const std::vector<Stretch>& lists, float expected,
                                    std::size_t count, const std::uint8_t* allowed,
                                    Workspace& room);

}  // namespace colxtr
