#include "query.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "bits.h"
#include "kernels.h"
#include "probing.h"
#include "rows.h"
#include "threads.h"

namespace colxtr {

namespace {
constexpr float NONE = -std::numeric_limits<float>::infinity();
constexpr std::size_t CENTROIDS = 512;  // of one piece of work: their rows stay in a near cache

std::uint8_t to_level(float level) {
    return static_cast<std::uint8_t>(
        std::min(std::max(std::nearbyint(level), 0.0f), static_cast<float>(Query::MOST_LEVEL)));
}

}  // namespace

Query::Query(const Codec& codec, const float* embeddings, std::size_t n_tokens, std::size_t n_probe,
             std::size_t threads, bool levels, std::size_t most_kept)
    : codec_(codec),
      n_tokens_(n_tokens),
      threads_(threads),
      columns_(stride() * codec.dim()),
      rows_(n_tokens * codec.dim()),
      scales_(stride()),
      weights_(stride()),
      lengths_(stride()),
      factors_(stride()),
      margins_(stride()),
      least_(stride()),
      has_levels_(levels) {
    Buffer<float> rotated(n_tokens * codec.dim());
    codec.rotate(embeddings, n_tokens, rotated.data());
    quantise(rotated.data());
    if (levels) measure_levels();
    meet_centroids(n_probe, most_kept);
    if (codec.is_half()) {
        half_columns_ = Panels(embeddings, n_tokens, codec.dim());
        for (std::size_t i = 0; i < reach_.size(); ++i) reach_[i] *= scales_[i];
        std::fill(scales_.data(), scales_.data() + n_tokens, 1.0f);
    }
    for (std::size_t i = 0; i < n_tokens; ++i)
        weights_[i] = scales_[i] / static_cast<float>(n_tokens);
}

void Query::quantise(const float* embeddings) {
    const std::size_t dim = codec_.dim();
    for (std::size_t i = 0; i < n_tokens_; ++i) {
        const float* embedding = embeddings + i * dim;
        float largest = 0, square = 0;
        for (std::size_t d = 0; d < dim; ++d) {
            largest = std::max(largest, std::fabs(embedding[d]));
            square += embedding[d] * embedding[d];
        }
        lengths_[i] = std::sqrt(square);
        scales_[i] = largest / 127;
        const float inverse = largest > 0 ? 127 / largest : 0;
        std::int8_t* column = columns_.data() + i / STRIP * STRIP * dim + i % STRIP * 4;
        for (std::size_t d = 0; d < dim; ++d)
            rows_[i * dim + d] = column[d / 4 * 4 * STRIP + d % 4] =
                static_cast<std::int8_t>(std::nearbyint(embedding[d] * inverse));
    }
}

// What makes levels of columns, so that the longest token's length is the highest one.
void Query::measure_levels() {
    const float longest = *std::max_element(lengths_.data(), lengths_.data() + n_tokens_);
    std::fill(least_.data(), least_.data() + stride(), Query::MOST_LEVEL);
    if (longest <= 0) return;
    score_of_level_ = longest / MOST_LEVEL / static_cast<float>(n_tokens_);
    const float near = NEAR / std::sqrt(static_cast<float>(n_tokens_ * codec_.dim()));
    for (std::size_t i = 0; i < n_tokens_; ++i) {
        factors_[i] = MOST_LEVEL / longest * scales_[i];
        margins_[i] = to_level(near * MOST_LEVEL / longest * lengths_[i]);
        if (lengths_[i] >= LIGHT * longest) least_[i] = 0;
    }
}

Buffer<std::uint8_t> Query::floor_levels(const std::vector<float>& columns) const {
    Buffer<std::uint8_t> floors(stride());
    std::fill(floors.data(), floors.data() + stride(), Query::MOST_LEVEL);
    for (std::size_t i = 0; i < n_tokens_; ++i) floors[i] = to_level(columns[i] * factors_[i]);
    return floors;
}

// Products of neighbouring centroids with all tokens; writes whole tiles.
void Query::multiply_centroids(std::size_t first, std::size_t count, float* into) const {
    std::uint32_t centroids[BLOCK];
    for (std::size_t done = 0; done < count; done += BLOCK) {
        const std::size_t block = std::min(BLOCK, count - done);
        std::iota(centroids, centroids + block, static_cast<std::uint32_t>(first + done));
        multiply_block(centroids, block, into + done * stride());
    }
}

// The same of up to BLOCK centroids anywhere.
void Query::multiply_block(const std::uint32_t* centroids, std::size_t count, float* into) const {
    const std::int8_t* values[BLOCK];
    float gains[BLOCK];
    for (std::size_t r = 0; r < up_to_tile(count); ++r) {  // the kernel reads whole tiles
        const std::uint32_t centroid = centroids[std::min(r, count - 1)];
        values[r] = codec_.centroids() + centroid * codec_.dim();
        gains[r] = codec_.centroid_scales()[centroid];
    }
    ScoredRows rows;
    rows.values = values;
    rows.gains = gains;
    kernels().score(rows, count, codec_.dim(), columns_.data(), stride() / STRIP, into);
}

void Query::find_bases(const std::uint32_t* centroids, std::size_t count, float* spare,
                       const float** bases) const {
    if (codec_.is_half()) return;
    if (products_) {
        for (std::size_t r = 0; r < count; ++r) bases[r] = products_ + centroids[r] * stride();
        return;
    }
    for (std::size_t done = 0; done < count; done += BLOCK)
        find_block(centroids + done, std::min(BLOCK, count - done), spare + done * row_size(),
                   bases + done);
}

void Query::find_block(const std::uint32_t* centroids, std::size_t count, float* spare,
                       const float** bases) const {
    OnceRows& known = lease_->known;
    std::uint32_t claimed[BLOCK], places[BLOCK];
    std::size_t n_claimed = 0, n_missing = 0;
    for (std::size_t r = 0; r < count; ++r) {
        bases[r] = known.find(centroids[r]);
        if (bases[r]) continue;
        ++n_missing;
        const std::uint32_t place = known.claim(centroids[r]);
        if (place == OnceRows::NONE) continue;
        claimed[n_claimed] = centroids[r];
        places[n_claimed++] = place;
    }
    if (n_missing == 0) return;
    if (n_claimed > 0) {
        known.make_room(*std::max_element(places, places + n_claimed));
        multiply_block(claimed, n_claimed, spare);
    }
    for (std::size_t i = 0; i < n_claimed; ++i) {
        float* row = known.at(places[i]);
        std::copy_n(spare + i * stride(), stride(), row);
        add_levels(row);
        known.publish(claimed[i], places[i]);
    }
    for (std::size_t r = 0; r < count; ++r) {
        if (!bases[r]) bases[r] = known.find(centroids[r]);
        if (bases[r]) continue;
        float* row = spare + r * row_size();  // another thread is at it: the same once more
        multiply_block(centroids + r, 1, row);
        add_levels(row);
        bases[r] = row;
    }
}

// The nearest centroids of each token; the products with all of them, if they are worth keeping.
void Query::meet_centroids(std::size_t n_probe, std::size_t most_kept) {
    std::vector<Top> nearest;
    const bool keep = n_probe == 0 || codec_.n_centroids() * stride() * sizeof(float) <= most_kept;
    if (!keep && groups_help(codec_.n_groups(), n_tokens_, codec_.n_centroids(), n_probe)) {
        Buffer<float> lengths(stride());
        for (std::size_t i = 0; i < n_tokens_; ++i)
            if (scales_[i] > 0) lengths[i] = lengths_[i] / scales_[i];
        const ProbingTokens tokens{n_tokens_,       stride(),     codec_.dim(),
                                   columns_.data(), rows_.data(), lengths.data()};
        nearest = probe_groups(codec_.groups(), tokens, codec_.n_centroids(), n_probe, threads_);
    }
    if (nearest.empty()) nearest = nearest_of_all(n_probe, keep);
    if (n_probe == 0) return;
    if (!products_) lease_->known.reset(codec_.n_centroids(), row_size());
    probes_.resize(n_tokens_ * n_probe);  // 0 where the token is not a number
    for (std::size_t i = 0; i < n_tokens_; ++i) {
        const std::vector<Scored> found = nearest[i].sorted();
        for (std::size_t p = 0; p < found.size(); ++p)
            probes_[i * n_probe + p] = static_cast<std::uint32_t>(found[p].number);
        reach_.push_back(found.empty() ? 0 : found.back().score);
    }
    probed_ = probes_;
    std::sort(probed_.begin(), probed_.end());
    probed_.erase(std::unique(probed_.begin(), probed_.end()), probed_.end());
    if (!has_levels_) return;
    std::vector<const float*> bases(probed_.size());
    Buffer<float> spare(spare_room(probed_.size()));
    find_bases(probed_.data(), probed_.size(), spare.data(), bases.data());
    for (const float* base : bases) probed_levels_.push_back(levels(base));
}

// Looked for while a piece of the products is still in the cache.
std::vector<Top> Query::nearest_of_all(std::size_t n_probe, bool keep) {
    const std::size_t n = codec_.n_centroids(), columns = stride();
    const std::size_t pieces = (n + CENTROIDS - 1) / CENTROIDS;
    const std::size_t threads = std::min(threads_, pieces);
    float* products = lease_->products.of((keep ? n + ROWS : threads * CENTROIDS) * columns);
    std::uint8_t* levels = keep && has_levels_ ? lease_->levels.of(n * columns) : nullptr;
    if (keep) products_ = products, all_levels_ = levels;
    std::vector<std::vector<Top>> nearest(threads, std::vector<Top>(n_tokens_, Top(n_probe)));
    std::vector<Buffer<float>> floors;
    for (std::size_t t = 0; t < threads; ++t) {
        floors.emplace_back(columns);
        std::fill(floors[t].data(), floors[t].data() + n_tokens_, NONE);
        for (std::size_t i = n_tokens_; i < columns; ++i)  // never looked at
            floors[t][i] = std::numeric_limits<float>::infinity();
    }
    run(pieces, threads, [&](std::size_t piece, std::size_t thread) {
        const std::size_t first = piece * CENTROIDS, count = std::min(CENTROIDS, n - first);
        float* rows = products + (keep ? first : thread * CENTROIDS) * columns;
        multiply_centroids(first, count, rows);
        if (levels)
            kernels().to_levels(rows, count, columns, factors_.data(), levels + first * columns);
        if (n_probe == 0) return;
        float* floor = floors[thread].data();
        for (std::size_t strip = 0; strip < columns; strip += STRIP)
            for (std::size_t c = 0; c < count; ++c) {
                std::uint32_t lanes = 0;
                c += find_above(rows + c * columns + strip, count - c, columns, floor + strip,
                                &lanes);
                for (; lanes; lanes &= lanes - 1) {
                    const std::size_t lane = strip + lowest_bit(lanes);
                    Top& top = nearest[thread][lane];
                    top.offer({rows[c * columns + lane], first + c});
                    floor[lane] = top.floor();
                }
            }
    });
    for (std::size_t i = 0; i < n_tokens_; ++i)
        for (std::size_t t = 1; t < threads; ++t) nearest[0][i].offer(nearest[t][i]);
    return std::move(nearest[0]);
}

Query::Block::Block(const Query& query)
    : bases{},
      values(BLOCK * query.codec().dim()),
      halves(query.codec().is_half() ? BLOCK * query.codec().dim() : 0),
      gains{},
      weights{} {}

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
        block.codes[r] = segment.code(position);
        block.rows[r] = block.values.data() + r * dim;
        if (!coded) codec_.unpack(block.codes[r], block.values.data() + r * dim);
        block.weights[r] = codec_.has_lengths() ? codec_.length(segment.lengths[position]) : 1;
        block.gains[r] = block.weights[r] * codec_.gain(segment.gains[position]);
    }
    for (std::size_t r = block.count; r < up_to_tile(block.count); ++r) {
        block.codes[r] = block.codes[0];
        block.rows[r] = block.rows[0];
        block.bases[r] = block.bases[0];
    }
    ScoredRows scored;
    scored.values = block.rows;
    if (coded) {
        scored.codes = block.codes;
        scored.codebook = codec_.codebook();
        scored.width = codec_.codeword_width();
    }
    scored.gains = block.gains;
    scored.weights = block.weights;
    scored.bases = block.bases;
    kernels().score(scored, block.count, dim, columns_.data(), stride() / STRIP, rows);
}

}  // namespace colxtr
