#include "codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels.h"

namespace colxtr {

Codec::Codec(const Parameters &p)
    : dim_(p.dim),
      n_bits_(p.n_bits),
      n_centroids_(p.n_centroids),
      centroids_(p.centroids, p.centroids + p.n_centroids * p.dim),
      centroid_scales_(p.centroid_scales, p.centroid_scales + p.n_centroids) {
    if (is_half()) return;
    const std::size_t n_buckets = std::size_t{1} << n_bits_;
    dimension_scales_.assign(p.dimension_scales, p.dimension_scales + dim_);
    bucket_values_.assign(p.bucket_values, p.bucket_values + n_buckets);
    bucket_cutoffs_.assign(p.bucket_cutoffs, p.bucket_cutoffs + n_buckets - 1);
    lengths_.assign(p.lengths, p.lengths + 256);
    const std::size_t per_byte = 8 / n_bits_;
    byte_values_.resize(256 * per_byte);
    for (std::size_t byte = 0; byte < 256; ++byte)
        for (std::size_t i = 0; i < per_byte; ++i)
            byte_values_[byte * per_byte + i] =
                bucket_values_[byte >> (i * n_bits_) & (n_buckets - 1)];
}

void Codec::centroid(std::size_t which, float *into) const {
    const std::int8_t *values = centroids_.data() + which * dim_;
    const float scale = centroid_scales_[which];
    for (std::size_t d = 0; d < dim_; ++d) into[d] = static_cast<float>(values[d]) * scale;
}

namespace {

template <std::size_t PER_BYTE>
void look_up(const std::uint8_t *code, std::size_t n_bytes, const float *table, float *into) {
    for (std::size_t i = 0; i < n_bytes; ++i)
        std::memcpy(into + i * PER_BYTE, table + code[i] * PER_BYTE, PER_BYTE * sizeof(float));
}

}  // namespace

void Codec::unpack(const std::uint8_t *code, float *into) const {
    const float *table = byte_values_.data();
    switch (n_bits_) {
        case 1: return look_up<8>(code, dim_ / 8, table, into);
        case 2: return look_up<4>(code, dim_ / 4, table, into);
        case 4: return look_up<2>(code, dim_ / 2, table, into);
        case 8: return look_up<1>(code, dim_, table, into);
        default:
            kernels().half_to_float(reinterpret_cast<const std::uint16_t *>(code), dim_, into);
    }
}

void Codec::decode(std::size_t which, const std::uint8_t *code, std::uint8_t length_code,
                   float *into) const {
    unpack(code, into);
    if (is_half()) return;
    const std::int8_t *values = centroids_.data() + which * dim_;
    const float scale = centroid_scales_[which], factor = lengths_[length_code];
    for (std::size_t d = 0; d < dim_; ++d)
        into[d] = factor * (static_cast<float>(values[d]) * scale + dimension_scales_[d] * into[d]);
}

unsigned Codec::bucket(float value) const {
    const auto &c = bucket_cutoffs_;
    return static_cast<unsigned>(std::upper_bound(c.begin(), c.end(), value) - c.begin());
}

std::uint8_t Codec::nearest_length(float value) const {
    const auto above = std::lower_bound(lengths_.begin(), lengths_.end(), value);
    if (above == lengths_.begin()) return 0;
    if (above == lengths_.end()) return 255;
    const bool lower = value - above[-1] <= above[0] - value;
    return static_cast<std::uint8_t>(above - lengths_.begin() - (lower ? 1 : 0));
}

void Codec::encode(const float *embeddings, const std::uint32_t *centroids, std::size_t count,
                   std::uint8_t *codes, std::uint8_t *lengths) const {
    std::vector<float> mean(dim_);
    const unsigned per_byte = 8 / n_bits_;
    for (std::size_t row = 0; row < count; ++row) {
        const float *embedding = embeddings + row * dim_;
        std::uint8_t *code = codes + row * code_bytes();
        double square = 0, approximate_square = 0;
        for (std::size_t d = 0; d < dim_; ++d)
            square += static_cast<double>(embedding[d]) * embedding[d];
        const float norm = static_cast<float>(std::sqrt(square));
        centroid(centroids[row], mean.data());
        std::memset(code, 0, code_bytes());
        for (std::size_t d = 0; d < dim_; ++d) {
            const float scale = dimension_scales_[d];
            const unsigned b = bucket((embedding[d] / norm - mean[d]) / scale);
            code[d / per_byte] |= static_cast<std::uint8_t>(b << (d % per_byte * n_bits_));
            const float value = mean[d] + scale * bucket_values_[b];
            approximate_square += static_cast<double>(value) * value;
        }
        lengths[row] =
            nearest_length(norm / std::max(static_cast<float>(std::sqrt(approximate_square)), 1e-12f));
    }
}

}  // namespace colxtr
