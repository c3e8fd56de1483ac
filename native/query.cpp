#include "query.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels.h"

namespace colxtr {

namespace {
constexpr float NONE = -std::numeric_limits<float>::infinity();
}

Query::Query(const Codec& codec, const float* embeddings, std::size_t n_tokens)
    : codec_(codec), n_tokens_(n_tokens), panels_(embeddings, n_tokens, codec.dim()) {
    const std::size_t stride = panels_.stride(), dim = codec.dim(),
                      n_centroids = codec.n_centroids();
    centroid_products_ = Buffer<float>((n_centroids + ROWS - 1) / ROWS * ROWS * stride);
    Buffer<float> rows(BLOCK * dim);
    for (std::size_t c = 0; c < n_centroids; c += BLOCK) {
        const std::size_t count = std::min(BLOCK, n_centroids - c);
        for (std::size_t i = 0; i < count; ++i) codec.centroid(c + i, rows.data() + i * dim);
        panels_.multiply(rows.data(), count, centroid_products_.data() + c * stride);
    }
}

void Query::probe(std::size_t n_probe, std::uint32_t* centroids) const {
    using Found = std::pair<float, std::uint32_t>;
    const auto before = [](const Found& a, const Found& b) {
        return a.first > b.first || (a.first == b.first && a.second < b.second);
    };
    std::vector<Found> heap;  // the worst on top
    for (std::size_t i = 0; i < n_tokens_; ++i) {
        heap.clear();
        for (std::uint32_t c = 0; c < codec_.n_centroids(); ++c) {
            float product = centroid_products_[c * stride() + i];
            if (std::isnan(product)) product = NONE;  // it has no place in an order
            if (heap.size() < n_probe) {
                heap.emplace_back(product, c);
                std::push_heap(heap.begin(), heap.end(), before);
            } else if (product > heap.front().first) {
                std::pop_heap(heap.begin(), heap.end(), before);
                heap.back() = {product, c};
                std::push_heap(heap.begin(), heap.end(), before);
            }
        }
        std::sort(heap.begin(), heap.end(), before);
        for (std::size_t p = 0; p < n_probe; ++p) centroids[i * n_probe + p] = heap[p].second;
    }
}

Query::Scratch::Scratch(const Query& query)
    : rows(BLOCK * query.codec().dim()), similarities(BLOCK * query.stride()) {}

void Query::score(const Segment& segment, std::size_t count, Scratch& scratch) const {
    const std::size_t dim = codec_.dim();
    for (std::size_t r = 0; r < count; ++r)
        codec_.unpack(segment.code(scratch.positions[r]), scratch.rows.data() + r * dim);
    panels_.multiply(scratch.rows.data(), count, scratch.similarities.data());
    if (codec_.is_half()) return;
    for (std::size_t r = 0; r < count; ++r) {
        const std::size_t position = scratch.positions[r];
        const float* base = centroid_products_.data() + scratch.centroids[r] * stride();
        const float length = codec_.has_lengths() ? codec_.length(segment.lengths[position]) : 1;
        const float gain = length * codec_.gain(segment.gains[position]);
        float* row = scratch.similarities.data() + r * stride();
        for (std::size_t i = 0; i < stride(); ++i) row[i] = length * base[i] + gain * row[i];
    }
}

void Query::maxsim(const Segment& segment, const std::uint64_t* ordinals, std::size_t count,
                   float* scores) const {
    Scratch scratch(*this);
    Buffer<float> best(stride());
    for (std::size_t document = 0; document < count; ++document) {
        const std::size_t begin = segment.document_offsets[ordinals[document]];
        const std::size_t end = segment.document_offsets[ordinals[document] + 1];
        std::fill(best.data(), best.data() + stride(), NONE);
        for (std::size_t token = begin; token < end; token += BLOCK) {
            const std::size_t block = std::min(BLOCK, end - token);
            for (std::size_t r = 0; r < block; ++r) {
                scratch.positions[r] = segment.position(token + r);
                segment.prefetch(scratch.positions[r]);
            }
            for (std::size_t r = 0; r < block; ++r)
                scratch.centroids[r] =
                    segment.list_centroids[segment.list_of(scratch.positions[r])];
            score(segment, block, scratch);
            for (std::size_t r = 0; r < block; ++r)
                kernels().maximum(best.data(), scratch.similarities.data() + r * stride(),
                                  stride());
        }
        double sum = 0;
        for (std::size_t i = 0; i < n_tokens_; ++i) sum += best[i];
        scores[document] = static_cast<float>(sum / static_cast<double>(n_tokens_));
    }
}

}  // namespace colxtr
