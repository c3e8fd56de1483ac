// What is searched: a codec and the segments that have tokens.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "codec.h"
#include "segment.h"

namespace colxtr {

struct Collection {
    const Codec* codec = nullptr;
    std::vector<const Segment*> segments;  // ascending by first_ordinal

    // One more than the largest ordinal.
    std::uint64_t n_ordinals() const {
        return segments.empty() ? 0 : segments.back()->first_ordinal + segments.back()->n_documents;
    }

    // The segment that holds a document, or null.
    const Segment* holding(std::uint64_t ordinal) const {
        const auto after = std::upper_bound(
            segments.begin(), segments.end(), ordinal,
            [](std::uint64_t o, const Segment* s) { return o < s->first_ordinal; });
        if (after == segments.begin()) return nullptr;
        const Segment* found = after[-1];
        return ordinal - found->first_ordinal < found->n_documents ? found : nullptr;
    }
};

}  // namespace colxtr
