// Which inverted lists a query looks into.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "collection.h"
#include "query.h"

namespace colxtr {

struct Stretch {  // neighbouring tokens of one list
    const Segment* segment;
    std::uint32_t centroid;
    std::size_t begin, end;
    std::size_t probed = 0;  // which of `Query::probed`, if that is what was looked for
};

// The lists of the centroids that some query token probes, or all there are: segment by segment, by
// centroid.
std::vector<Stretch> find_lists(const Query& query, const Collection& collection, bool all);

}  // namespace colxtr
