#include "query.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "bits.h"
#include "kernels.h"
#include "threads.h"

namespace colxtr {

namespace {
constexpr float NONE = -std::numeric_limits<float>::infinity();
constexpr std::size_t CENTROIDS = 512;  // of one piece of work: their rows stay in a near cache
}  // namespace

Query::Query(const Codec& codec, const float* embeddings, std::size_t n_tokens, std::size_t n_probe,
             std::size_t threads)
    : codec_(codec),
      n_tokens_(n_tokens),
      threads_(threads),
      columns_(stride() * codec.dim()),
      scales_(stride()),
      weights_(stride()) {
    quantise(embeddings);
    meet_centroids(n_probe);
    if (codec.is_half()) {
        half_columns_ = Panels(embeddings, n_tokens, codec.dim());
        std::fill(scales_.data(), scales_.data() + n_tokens, 1.0f);
    }
    for (std::size_t i = 0; i < n_tokens; ++i)
        weights_[i] = scales_[i] / static_cast<float>(n_tokens);
}

void Query::quantise(const float* embeddings) {
    const std::size_t dim = codec_.dim();
    for (std::size_t i = 0; i < n_tokens_; ++i) {
        const float* embedding = embeddings + i * dim;
        float largest = 0;
        for (std::size_t d = 0; d < dim; ++d) largest = std::max(largest, std::fabs(embedding[d]));
        scales_[i] = largest / 127;
        const float inverse = largest > 0 ? 127 / largest : 0;
        std::int8_t* column = columns_.data() + i / PANEL * PANEL * dim + i % PANEL * 4;
        for (std::size_t d = 0; d < dim; ++d)
            column[d / 4 * 4 * PANEL + d % 4] =
                static_cast<std::int8_t>(std::nearbyint(embedding[d] * inverse));
    }
}

// The products of all centroids with all tokens, and the nearest centroids of each token: looked
// for while a piece of the products is still in the cache.
void Query::meet_centroids(std::size_t n_probe) {
    const std::size_t n = codec_.n_centroids(), dim = codec_.dim(), columns = stride();
    float* products = lease_->products.of((n + ROWS) * columns);
    products_ = products;
    const std::size_t pieces = (n + CENTROIDS - 1) / CENTROIDS;
    const std::size_t threads = std::min(threads_, pieces);
    std::vector<std::vector<Top>> nearest(threads, std::vector<Top>(n_tokens_, Top(n_probe)));
    std::vector<Buffer<float>> floors;
    const std::vector<float> ceilings(PANEL, std::numeric_limits<float>::infinity());
    for (std::size_t t = 0; t < threads; ++t) {
        floors.emplace_back(columns);
        std::fill(floors[t].data(), floors[t].data() + columns,
                  n_probe ? NONE : std::numeric_limits<float>::infinity());
        for (std::size_t i = n_tokens_; i < columns; ++i)  // never looked at
            floors[t][i] = std::numeric_limits<float>::infinity();
    }
    run(pieces, threads, [&](std::size_t piece, std::size_t thread) {
        const std::size_t first = piece * CENTROIDS, count = std::min(CENTROIDS, n - first);
        // The last rows come from a copy: the kernel reads and writes whole tiles.
        const std::size_t whole = count / ROWS * ROWS;
        ScoredRows rows;
        rows.values = codec_.centroids() + first * dim;
        rows.gains = codec_.centroid_scales() + first;
        kernels().score(rows, whole, dim, columns_.data(), columns / PANEL,
                        products + first * columns);
        if (whole < count) {
            Buffer<std::int8_t> values(ROWS * dim);
            Buffer<float> gains(ROWS);
            std::copy(rows.values + whole * dim, rows.values + count * dim, values.data());
            std::copy(rows.gains + whole, rows.gains + count, gains.data());
            rows.values = values.data();
            rows.gains = gains.data();
            kernels().score(rows, count - whole, dim, columns_.data(), columns / PANEL,
                            products + (first + whole) * columns);
        }
        float* floor = floors[thread].data();
        for (std::size_t panel = 0; panel < columns && n_probe; panel += PANEL) {
            const float* row = products + first * columns + panel;
            for (std::size_t c = 0; c < count; ++c) {
                std::uint32_t lanes = 0;
                c += kernels().find_between(row + c * columns, count - c, columns, floor + panel,
                                            ceilings.data(), &lanes);
                for (; lanes; lanes &= lanes - 1) {
                    const std::size_t lane = panel + lowest_bit(lanes);
                    Top& top = nearest[thread][lane];
                    top.offer({row[c * columns + lane - panel], first + c});
                    floor[lane] = top.floor();
                }
            }
        }
    });
    probes_.resize(n_tokens_ * n_probe);
    for (std::size_t i = 0; i < n_tokens_; ++i) {
        for (std::size_t t = 1; t < threads; ++t) nearest[0][i].offer(nearest[t][i]);
        const std::vector<Scored> found = nearest[0][i].sorted();
        for (std::size_t p = 0; p < found.size(); ++p)
            probes_[i * n_probe + p] = static_cast<std::uint32_t>(found[p].number);
    }
}

Query::Block::Block(const Query& query)
    : values(BLOCK * query.codec().dim()),
      halves(query.codec().is_half() ? BLOCK * query.codec().dim() : 0),
      gains{},
      weights{} {
    std::fill(bases, bases + BLOCK, query.products_);
}

void Query::score(Block& block, float* rows) const {
    const std::size_t dim = codec_.dim();
    const Segment& segment = *block.segment;
    if (codec_.is_half()) {
        for (std::size_t r = 0; r < block.count; ++r)
            kernels().half_to_float(
                reinterpret_cast<const std::uint16_t*>(segment.code(block.positions[r])), dim,
                block.halves.data() + r * dim);
        half_columns_.multiply(block.halves.data(), block.count, rows);
        return;
    }
    const bool coded = codec_.codeword_width() >= 4 && codec_.code_bytes() >= 8;
    for (std::size_t r = 0; r < block.count; ++r) {
        const std::size_t position = block.positions[r];
        if (coded)
            block.codes[r] = segment.code(position);
        else
            codec_.unpack(segment.code(position), block.values.data() + r * dim);
        block.weights[r] = codec_.has_lengths() ? codec_.length(segment.lengths[position]) : 1;
        block.gains[r] = block.weights[r] * codec_.gain(segment.gains[position]);
        block.bases[r] = products_ + block.centroids[r] * stride();
    }
    ScoredRows scored;
    scored.values = block.values.data();
    if (coded) {  // the kernel reads whole tiles
        for (std::size_t r = block.count; r % ROWS != 0; ++r) block.codes[r] = block.codes[0];
        scored.values = codec_.codebook();
        scored.codes = block.codes;
        scored.width = codec_.codeword_width();
    }
    scored.gains = block.gains;
    scored.weights = block.weights;
    scored.bases = block.bases;
    kernels().score(scored, block.count, dim, columns_.data(), stride() / PANEL, rows);
}

void Query::prefetch(std::uint32_t centroid) const {
    const float* row = products_ + centroid * stride();
    for (std::size_t column = 0; column < stride(); column += 16) prefetch_line(row + column);
}

}  // namespace colxtr
