// A query, prepared for one codec: all that does not depend on a document is computed once.
//
// Query tokens are eight-bit integers times a scale of their own. What is compared while a query
// is answered are *columns*: similarities divided by that scale, in rows of `stride` columns, one
// for each query token, those beyond the last one zero. `weights` makes scores of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bits.h"
#include "buffer.h"
#include "codec.h"
#include "panels.h"
#include "segment.h"
#include "top.h"
#include "workspace.h"

namespace colxtr {

class Query {
 public:
    static constexpr std::size_t BLOCK = 64;  // tokens scored together, a multiple of ROWS

    // embeddings: (n_tokens, dim). The codec must outlive the query. Looks for the `n_probe`
    // nearest centroids of each token. With 0 it looks for none, and keeps the products with all of
    // them, however many: they will be needed many times.
    Query(const Codec& codec, const float* embeddings, std::size_t n_tokens, std::size_t n_probe,
          std::size_t threads);

    const Codec& codec() const { return codec_; }
    std::size_t n_tokens() const { return n_tokens_; }
    std::size_t threads() const { return threads_; }
    // n_tokens up to the next multiple of STRIP; of PANEL with HALF, whose rows come from panels.
    std::size_t stride() const {
        const std::size_t unit = codec_.is_half() ? PANEL : STRIP;
        return (n_tokens_ + unit - 1) / unit * unit;
    }
    // What a value in a column is multiplied with to be a similarity, (stride).
    const float* scales() const { return scales_.data(); }
    // The same divided by n_tokens: a document's score is the sum of its largest values so
    // weighted.
    const float* weights() const { return weights_.data(); }
    // The nearest centroids of each token, the nearest first, equals by number: (n_tokens,
    // n_probe).
    const std::vector<std::uint32_t>& probes() const { return probes_; }
    // The product of each token with the last of these, in columns: (n_tokens); empty without.
    const std::vector<float>& reach() const { return reach_; }

    // Tokens of one segment, and what is worked out of them.
    struct Block {
        explicit Block(const Query& query);
        const Segment* segment = nullptr;
        std::size_t count = 0;
        std::size_t positions[BLOCK];
        const float* bases[BLOCK];  // the products of each token's centroid; not with HALF

     private:
        friend class Query;
        Buffer<std::int8_t> values;  // (BLOCK, dim)
        Buffer<float> halves;        // (BLOCK, dim), with HALF
        float gains[BLOCK], weights[BLOCK];
        const std::uint8_t* codes[BLOCK];
        const std::int8_t* rows[BLOCK];
    };

    // The products of some centroids with all tokens, (count, stride), each where `bases` says: in
    // `rows`, (count up to the next multiple of ROWS, stride), unless they are known.
    void find_bases(const std::uint32_t* centroids, std::size_t count, float* rows,
                    const float** bases) const;

    // Writes a row for each token of the block, and anything to the rows up to the next multiple
    // of ROWS.
    void score(Block& block, float* rows) const;

    // Asks for what `find_bases` will read of a centroid.
    COLXTR_PREFETCH void prefetch(std::uint32_t centroid) const {
        if (products_)
            for (std::size_t column = 0; column < stride(); column += 16)
                prefetch_line(products_ + centroid * stride() + column);
        else
            for (std::size_t d = 0; d < codec_.dim(); d += 64)
                prefetch_line(codec_.centroids() + centroid * codec_.dim() + d);
    }

 private:
    void quantise(const float* embeddings);
    void meet_centroids(std::size_t n_probe);
    void multiply_centroids(std::size_t first, std::size_t count, float* into) const;
    void multiply_block(const std::uint32_t* centroids, std::size_t count, float* into) const;

    const Codec& codec_;
    std::size_t n_tokens_, threads_;
    Buffer<std::int8_t> columns_;  // in strips
    Panels half_columns_;          // with HALF the tokens meet the embeddings as they are
    Buffer<float> scales_, weights_;
    std::vector<std::uint32_t> probes_;
    std::vector<float> reach_;
    Lease lease_;
    const float* products_ = nullptr;  // (n_centroids, stride), or null
};

}  // namespace colxtr
