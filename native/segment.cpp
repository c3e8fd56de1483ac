#include "segment.h"

namespace colxtr {

namespace {

bool ascend(const std::uint64_t* offsets, std::size_t count, std::size_t end) {
    if (offsets[0] != 0 || offsets[count] != end) return false;
    for (std::size_t i = 0; i < count; ++i)
        if (offsets[i] > offsets[i + 1]) return false;
    return true;
}

}  // namespace

void Segment::damaged(const char* what) const { throw Corrupt(name + ": damaged: " + what); }

void Segment::prepare(const Codec& codec) {
    require(code_bytes == codec.code_bytes(), "codes have another width than the codec's");
    require((gains != nullptr) == !codec.is_half(), "gains do not fit the codec");
    require((lengths != nullptr) == codec.has_lengths(), "lengths do not fit the codec");
    require(ascend(list_offsets, n_lists, n_tokens), "list_offsets do not ascend to n_tokens");
    require(ascend(document_offsets, n_documents, n_tokens),
            "document_offsets do not ascend to n_tokens");
    for (std::size_t i = 0; i < n_lists; ++i)
        require(list_centroids[i] < codec.n_centroids() &&
                    (i == 0 || list_centroids[i - 1] < list_centroids[i]),
                "list_centroids do not ascend below n_centroids");
    lists = ListTable(list_offsets, n_lists);
    numbered_by_centroid = n_lists > 0 && list_centroids[n_lists - 1] == n_lists - 1;
}

}  // namespace colxtr
