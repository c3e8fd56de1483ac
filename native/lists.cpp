#include "lists.h"

#include <algorithm>

namespace colxtr {

namespace {

// As std::lower_bound, of a value that is likely to be near.
const std::uint32_t* first_from(const std::uint32_t* begin, const std::uint32_t* end,
                                std::uint32_t value) {
    std::ptrdiff_t step = 1;
    while (step < end - begin && begin[step] < value) begin += step, step *= 2;
    return std::lower_bound(begin, begin + std::min(step + 1, end - begin), value);
}

}  // namespace

std::vector<Stretch> find_lists(const Query& query, const Collection& collection, bool all) {
    const std::vector<std::uint32_t>& probed = query.probed();
    std::vector<Stretch> found;
    for (const Segment* segment : collection.segments) {
        const auto add = [&](std::size_t list, std::size_t which) {
            found.push_back({segment, segment->list_centroids[list], segment->list_offsets[list],
                             segment->list_offsets[list + 1], which});
        };
        if (all) {
            for (std::size_t list = 0; list < segment->n_lists; ++list) add(list, 0);
            continue;
        }
        if (segment->numbered_by_centroid) {
            for (std::size_t i = 0; i < probed.size() && probed[i] < segment->n_lists; ++i)
                add(probed[i], i);
            continue;
        }
        const std::uint32_t *begin = segment->list_centroids, *end = begin + segment->n_lists;
        const std::uint32_t* at = begin;
        for (std::size_t i = 0; i < probed.size(); ++i) {
            at = first_from(at, end, probed[i]);
            if (at != end && *at == probed[i]) add(static_cast<std::size_t>(at - begin), i);
        }
    }
    return found;
}

}  // namespace colxtr
