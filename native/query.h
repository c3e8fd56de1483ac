// A query, prepared for one codec: all that does not depend on a document is computed once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "buffer.h"
#include "codec.h"
#include "panels.h"
#include "segment.h"

namespace colxtr {

class Query {
 public:
    static constexpr std::size_t BLOCK = 64;  // tokens scored together

    // embeddings: (n_tokens, dim), rotated as the codec's centroids are. The codec must outlive
    // the query.
    Query(const Codec& codec, const float* embeddings, std::size_t n_tokens);

    const Codec& codec() const { return codec_; }
    std::size_t n_tokens() const { return n_tokens_; }
    // n_tokens up to the next multiple of PANEL.
    std::size_t stride() const { return panels_.stride(); }

    // The n_probe nearest centroids of each query token, the nearest first, equals by number:
    // (n_tokens, n_probe).
    void probe(std::size_t n_probe, std::uint32_t* centroids) const;

    // Room for one block, reused.
    struct Scratch {
        explicit Scratch(const Query& query);
        std::size_t positions[BLOCK];    // list positions of the tokens
        std::uint32_t centroids[BLOCK];  // and their centroids
        Buffer<float> rows;              // (BLOCK, dim)
        Buffer<float> similarities;      // (BLOCK, stride)
    };

    // Similarities of `count` <= BLOCK tokens with every query token; columns beyond n_tokens
    // are zero.
    void score(const Segment& segment, std::size_t count, Scratch& scratch) const;

    // Mean over the query tokens of the largest similarity with a token of the document;
    // minus infinity for a document without tokens. Ordinals are the segment's own.
    void maxsim(const Segment& segment, const std::uint64_t* ordinals, std::size_t count,
                float* scores) const;

 private:
    const Codec& codec_;
    std::size_t n_tokens_;
    Panels panels_;                    // the query tokens
    Buffer<float> centroid_products_;  // (n_centroids, stride)
};

}  // namespace colxtr
