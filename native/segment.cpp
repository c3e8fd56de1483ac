#include "segment.h"

#include <algorithm>
#include <string>

namespace colxtr {

namespace {

void require(bool holds, const char* what) {
    if (!holds) throw Corrupt(what);
}

void check_offsets(const std::uint64_t* offsets, std::size_t count, std::size_t end,
                   const char* what) {
    require(offsets[0] == 0 && offsets[count] == end, what);
    for (std::size_t i = 0; i < count; ++i) require(offsets[i] <= offsets[i + 1], what);
}

}  // namespace

void Segment::check(const Codec& codec) const {
    require(code_bytes == codec.code_bytes(), "codes have another width than the codec's");
    require((gains != nullptr) == !codec.is_half(), "gains do not fit the codec");
    require((lengths != nullptr) == codec.has_lengths(), "lengths do not fit the codec");
    check_offsets(list_offsets, n_lists, n_tokens, "list_offsets do not ascend to n_tokens");
    check_offsets(document_offsets, n_documents, n_tokens,
                  "document_offsets do not ascend to n_tokens");
    for (std::size_t i = 0; i < n_lists; ++i)
        require(list_centroids[i] < codec.n_centroids() &&
                    (i == 0 || list_centroids[i - 1] < list_centroids[i]),
                "list_centroids do not ascend below n_centroids");
}

std::size_t Segment::ordinal(std::size_t position) const {
    const std::size_t found = ordinals[position];
    if (found >= n_documents) throw Corrupt("an ordinal is not below n_documents");
    return found;
}

std::size_t Segment::position(std::size_t token) const {
    const std::size_t found = positions[token];
    if (found >= n_tokens) throw Corrupt("a position is not below n_tokens");
    return found;
}

std::size_t Segment::list_of(std::size_t position) const {
    return static_cast<std::size_t>(
        std::upper_bound(list_offsets, list_offsets + n_lists, position) - list_offsets - 1);
}

}  // namespace colxtr
