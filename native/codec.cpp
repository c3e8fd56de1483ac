#include "codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels.h"

namespace colxtr {

namespace {

Panels nearest_by_distance(const std::vector<std::int8_t>& codebook, float scale,
                           std::size_t width) {
    std::vector<float> extended(Codec::CODEWORDS * (width + 1));
    for (std::size_t i = 0; i < Codec::CODEWORDS; ++i) {
        float square = 0;
        for (std::size_t d = 0; d < width; ++d) {
            const float value = static_cast<float>(codebook[i * width + d]) * scale;
            extended[i * (width + 1) + d] = value;
            square += value * value;
        }
        extended[i * (width + 1) + width] = -square / 2;
    }
    return Panels(extended.data(), Codec::CODEWORDS, width + 1);
}

}  // namespace

Codec::Codec(const Parameters& p)
    : dim_(p.dim),
      n_bits_(p.n_bits),
      n_centroids_(p.n_centroids),
      centroids_(p.centroids, p.centroids + p.n_centroids * p.dim),
      centroid_scales_(p.centroid_scales, p.centroid_scales + p.n_centroids) {
    if (is_half()) return;
    const std::size_t width = 8 / n_bits_;
    codebook_.assign(p.codebook, p.codebook + CODEWORDS * width);
    gains_.assign(p.gains, p.gains + CODEWORDS);
    if (p.lengths) lengths_.assign(p.lengths, p.lengths + CODEWORDS);
    codebook_scale_ = p.codebook_scale;
    codeword_panels_ = nearest_by_distance(codebook_, codebook_scale_, width);
}

namespace {

template <std::size_t PER_BYTE>
void look_up(const std::uint8_t* code, std::size_t n_bytes, const std::int8_t* table,
             std::int8_t* into) {
    for (std::size_t i = 0; i < n_bytes; ++i)
        std::memcpy(into + i * PER_BYTE, table + code[i] * PER_BYTE, PER_BYTE);
}

}  // namespace

void Codec::unpack(const std::uint8_t* code, std::int8_t* into) const {
    const std::int8_t* table = codebook_.data();
    switch (n_bits_) {
        case 1:
            return look_up<8>(code, dim_ / 8, table, into);
        case 2:
            return look_up<4>(code, dim_ / 4, table, into);
        case 4:
            return look_up<2>(code, dim_ / 2, table, into);
        default:
            return look_up<1>(code, dim_, table, into);
    }
}

void Codec::decode(std::size_t which, const std::uint8_t* code, std::uint8_t gain_code,
                   std::uint8_t length_code, float* into) const {
    if (is_half())
        return kernels().half_to_float(reinterpret_cast<const std::uint16_t*>(code), dim_, into);
    std::vector<std::int8_t> shape(dim_);
    unpack(code, shape.data());
    const std::int8_t* values = centroids_.data() + which * dim_;
    const float scale = centroid_scales_[which], factor = gain(gain_code);
    const float length = has_lengths() ? lengths_[length_code] : 1;
    for (std::size_t d = 0; d < dim_; ++d)
        into[d] = length *
                  (static_cast<float>(values[d]) * scale + factor * static_cast<float>(shape[d]));
}

namespace {

// The entry of an ascending table that is nearest to a value.
std::uint8_t nearest_entry(const std::vector<float>& table, float value) {
    const auto above = std::lower_bound(table.begin(), table.end(), value);
    if (above == table.begin()) return 0;
    if (above == table.end()) return 255;
    const bool lower = value - above[-1] <= above[0] - value;
    return static_cast<std::uint8_t>(above - table.begin() - (lower ? 1 : 0));
}

float norm(const float* values, std::size_t n) {
    double square = 0;
    for (std::size_t i = 0; i < n; ++i) square += static_cast<double>(values[i]) * values[i];
    return static_cast<float>(std::sqrt(square));
}

// The factor with which `shape` comes nearest to `values`; 0 if it can only lead away.
float least_squares(const float* values, const std::int8_t* shape, std::size_t n) {
    double product = 0, square = 0;
    for (std::size_t i = 0; i < n; ++i) {
        product += static_cast<double>(values[i]) * shape[i];
        square += static_cast<double>(shape[i]) * shape[i];
    }
    return square > 0 && product > 0 ? static_cast<float>(product / square) : 0;
}

}  // namespace

void Codec::encode(const float* embeddings, const std::uint32_t* centroids, std::size_t count,
                   std::uint8_t* codes, std::uint8_t* gains, std::uint8_t* lengths) const {
    const std::size_t width = 8 / n_bits_, n_groups = dim_ / width;
    std::vector<float> residual(dim_), groups(n_groups * (width + 1));
    std::vector<std::int8_t> shape(dim_);
    std::vector<std::uint32_t> nearest(n_groups);
    for (std::size_t row = 0; row < count; ++row) {
        const float* embedding = embeddings + row * dim_;
        std::uint8_t* code = codes + row * n_groups;
        const float length = norm(embedding, dim_);
        const std::int8_t* centroid = centroids_.data() + centroids[row] * dim_;
        const float scale = centroid_scales_[centroids[row]];
        for (std::size_t d = 0; d < dim_; ++d)
            residual[d] = embedding[d] / length - static_cast<float>(centroid[d]) * scale;
        const float spread = norm(residual.data(), dim_) / std::sqrt(static_cast<float>(dim_));
        for (std::size_t g = 0; g < n_groups; ++g) {
            float* group = groups.data() + g * (width + 1);
            for (std::size_t d = 0; d < width; ++d)
                group[d] = spread > 0 ? residual[g * width + d] / spread : 0;
            group[width] = 1;
        }
        codeword_panels_.nearest(groups.data(), n_groups, nearest.data());
        for (std::size_t g = 0; g < n_groups; ++g) code[g] = static_cast<std::uint8_t>(nearest[g]);
        unpack(code, shape.data());
        const float wanted = least_squares(residual.data(), shape.data(), dim_);
        gains[row] = nearest_entry(gains_, wanted / codebook_scale_);
        if (has_lengths()) lengths[row] = nearest_entry(lengths_, length);
    }
}

}  // namespace colxtr
