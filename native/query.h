// A query, prepared for one codec: all that does not depend on a document is computed once.
//
// Query tokens are eight-bit integers times a scale of their own. What is compared while a query
// is answered are *columns*: similarities divided by that scale, in rows of `stride` columns, one
// for each query token, those beyond the last one zero. `weights` makes scores of them.
//
// *Levels* are similarities in eight bits, in steps of a 255th of the longest query token's length,
// from 1 on: enough to choose which documents and tokens to look at.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bits.h"
#include "buffer.h"
#include "codec.h"
#include "kernels.h"
#include "panels.h"
#include "segment.h"
#include "top.h"
#include "workspace.h"

namespace colxtr {

class Query {
 public:
    static constexpr std::size_t BLOCK = 64;  // tokens scored together, a multiple of ROWS
    static constexpr std::uint8_t MOST_LEVEL = 255;

    // embeddings: (n_tokens, dim). The codec must outlive the query. Looks for the `n_probe`
    // nearest centroids of each token. With 0 it looks for none, and keeps the products with all of
    // them, however many: they will be needed many times. `levels`: keeps products as levels too.
    // `most_kept`: as many bytes of products as are better all worked out and kept than found one
    // by one when they are needed; with more centroids it looks into groups of them, if there are
    // any.
    Query(const Codec& codec, const float* embeddings, std::size_t n_tokens, std::size_t n_probe,
          std::size_t threads, bool levels, std::size_t most_kept);

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
    // The same centroids, each once, ascending.
    const std::vector<std::uint32_t>& probed() const { return probed_; }
    // The product of each token with the last of these, in columns: (n_tokens); empty without.
    const std::vector<float>& reach() const { return reach_; }

    // The levels of a centroid, (stride), of which the products are there; only if they were asked
    // for.
    bool has_levels() const { return has_levels_; }
    const std::uint8_t* levels(const float* products) const {
        return products_ ? all_levels_ + (products - products_)
                         : reinterpret_cast<const std::uint8_t*>(products + stride());
    }
    // Those of the centroid `probed()[which]`.
    const std::uint8_t* probed_levels(std::size_t which) const { return probed_levels_[which]; }
    // A column as a level that may be 0, (stride): 255 where there is no query token.
    Buffer<std::uint8_t> floor_levels(const std::vector<float>& columns) const;
    // What a step of levels, summed over query tokens, is as a score: a mean similarity.
    float score_of_level() const { return score_of_level_; }
    // For each query token, (stride): how far below the highest level of a document's centroids
    // that of a token may lie for `skim` to look at the token, and what it must reach at least.
    // NEAR lengths over the root of the dimensions, by which products with residuals shrink, and
    // of the number of query tokens, whose errors average out. Query tokens of little weight ask
    // for no token: 255.
    static constexpr float NEAR = 1.25f, LIGHT = 0.1f;  // docs/log.md, "Skimming"
    static constexpr std::size_t SHORT = 6;             // tokens of a document for each query token
    const std::uint8_t* margins() const { return margins_.data(); }
    const std::uint8_t* least() const { return least_.data(); }
    // Documents of so many tokens are looked at whole: most of their tokens would be near.
    std::size_t short_document() const { return std::max(BLOCK, SHORT * n_tokens_); }

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

    // The products of some centroids with all tokens, (stride) each, and the levels: `bases` says
    // where. Where nobody else keeps them they are in `spare`, of at least spare_room(count).
    void find_bases(const std::uint32_t* centroids, std::size_t count, float* spare,
                    const float** bases) const;
    std::size_t spare_room(std::size_t count) const { return (count + ROWS) * row_size(); }

    // Writes a row for each token of the block, and anything to the rows up to the next multiple
    // of ROWS.
    void score(Block& block, float* rows) const;

    // Asks for what `find_bases` will read of a centroid.
    COLXTR_PREFETCH void prefetch(std::uint32_t centroid) const {
        const float* known =
            products_ ? products_ + centroid * stride() : lease_->known.find(centroid);
        if (known)
            for (std::size_t column = 0; column < stride(); column += 16)
                prefetch_line(known + column);
        else
            for (std::size_t d = 0; d < codec_.dim(); d += 64)
                prefetch_line(codec_.centroids() + centroid * codec_.dim() + d);
    }

 private:
    void quantise(const float* embeddings);
    void measure_levels();
    void meet_centroids(std::size_t n_probe, std::size_t most_kept);
    std::vector<Top> nearest_of_all(std::size_t n_probe, bool keep);
    std::size_t row_size() const { return stride() + (has_levels_ ? stride() / sizeof(float) : 0); }
    void add_levels(float* row) const {
        if (has_levels_)
            kernels().to_levels(row, 1, stride(), factors_.data(),
                                reinterpret_cast<std::uint8_t*>(row + stride()));
    }
    void multiply_centroids(std::size_t first, std::size_t count, float* into) const;
    void multiply_block(const std::uint32_t* centroids, std::size_t count, float* into) const;
    void find_block(const std::uint32_t* centroids, std::size_t count, float* spare,
                    const float** bases) const;

    const Codec& codec_;
    std::size_t n_tokens_, threads_;
    Buffer<std::int8_t> columns_;  // in strips
    Buffer<std::int8_t> rows_;     // the same, (n_tokens, dim)
    Panels half_columns_;          // with HALF the tokens meet the embeddings as they are
    Buffer<float> scales_, weights_;
    Buffer<float> lengths_;  // of the tokens, (stride)
    Buffer<float> factors_;  // from columns to levels, (stride)
    Buffer<std::uint8_t> margins_, least_;
    std::vector<std::uint32_t> probes_, probed_;
    std::vector<float> reach_;
    float score_of_level_ = 1;
    bool has_levels_;
    std::vector<const std::uint8_t*> probed_levels_;
    mutable Lease lease_;  // `known`: the products that were asked for, with their levels
    const float* products_ = nullptr;           // or all of them, (n_centroids, stride),
    const std::uint8_t* all_levels_ = nullptr;  // and their levels
};

}  // namespace colxtr
