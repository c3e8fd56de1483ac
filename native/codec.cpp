#include "codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels.h"

namespace colxtr {

Codec::Codec(const Parameters& p)
    : dim_(p.dim),
      n_bits_(p.n_bits),
      n_centroids_(p.n_centroids),
      centroids_(p.centroids, p.centroids + p.n_centroids * p.dim),
      centroid_scales_(p.centroid_scales, p.centroid_scales + p.n_centroids) {
    if (p.n_groups > 0) {
        grouped_.assign(p.grouped, p.grouped + n_centroids_);
        group_ends_.assign(p.group_ends, p.group_ends + p.n_groups);
    }
    if (is_half()) return;
    const std::size_t width = 8 / n_bits_;
    codebook_.assign(p.codebook, p.codebook + n_codewords(n_bits_) * width);
    rotation_.assign(p.rotation, p.rotation + dim_ * dim_);
    gains_.assign(p.gains, p.gains + LEVELS);
    if (p.lengths) lengths_.assign(p.lengths, p.lengths + LEVELS);
    codebook_scale_ = p.codebook_scale;
    if (n_bits_ < 8) trellis_ = TrellisCoder(codebook_.data(), width);
}

const ProbeGroups& Codec::groups() const {
    std::call_once(laid_out_, [this] {
        groups_ = ProbeGroups(centroids(), centroid_scales(), dim_, grouped_.data(),
                              group_ends_.data(), n_groups());
    });
    return groups_;
}

namespace {

// A codeword for each byte, chosen by it and, below it, the upper half of the byte before; the
// first byte follows the last one. Seven codewords come from one load: the bytes are little-endian,
// so that they are every 12 bits from bit 4, 12, 20 ... on.
template <std::size_t WIDTH>
void look_up(const std::uint8_t* code, std::size_t n_bytes, const std::int8_t* codebook,
             std::int8_t* into) {
    const auto copy = [&](std::size_t group, std::size_t codeword) {
        std::memcpy(into + group * WIDTH, codebook + codeword * WIDTH, WIDTH);
    };
    copy(0, TrellisCoder::codeword(code[n_bytes - 1], code[0]));
    std::size_t group = 1;
    for (; group + 7 <= n_bytes; group += 7) {
        std::uint64_t bytes;
        std::memcpy(&bytes, code + group - 1, sizeof bytes);
        for (std::size_t i = 0; i < 7; ++i) copy(group + i, bytes >> (8 * i + 4) & 0xfff);
    }
    for (; group < n_bytes; ++group)
        copy(group, TrellisCoder::codeword(code[group - 1], code[group]));
}

}  // namespace

void Codec::unpack(const std::uint8_t* code, std::int8_t* into) const {
    const std::int8_t* codebook = codebook_.data();
    switch (n_bits_) {
        case 1:
            return look_up<8>(code, dim_ / 8, codebook, into);
        case 2:
            return look_up<4>(code, dim_ / 4, codebook, into);
        case 4:
            return look_up<2>(code, dim_ / 2, codebook, into);
        default:
            for (std::size_t i = 0; i < dim_; ++i) into[i] = codebook[code[i]];
    }
}

void Codec::rotate(const float* embeddings, std::size_t count, float* into) const {
    if (is_half())
        std::copy_n(embeddings, count * dim_, into);
    else
        kernels().transform(embeddings, count, dim_, rotation_.data(), into);
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

}  // namespace

// A few embeddings on their way to their codes.
struct Codec::Tokens {
    explicit Tokens(const Codec& codec)
        : dim(codec.dim_),
          unit(COUNT * dim),
          rest(COUNT * dim),
          shape(COUNT * dim),
          codes(COUNT * codec.code_bytes()),
          found(dim) {}

    static constexpr std::size_t COUNT = TrellisCoder::TOKENS;
    std::size_t dim;
    std::vector<float> unit;          // embeddings divided by their length
    std::vector<float> rest;          // and less their centroid
    std::vector<float> shape;         // rests in units of the codebook: (COUNT, dim), all three
    std::vector<std::uint8_t> codes;  // (COUNT, code_bytes)
    std::vector<std::int8_t> found;   // the codewords of one of the codes
};

void Codec::find_rest(const float* embedding, std::size_t which, std::size_t slot,
                      Tokens& tokens) const {
    float *unit = tokens.unit.data() + slot * dim_, *rest = tokens.rest.data() + slot * dim_;
    float* shape = tokens.shape.data() + slot * dim_;
    const std::int8_t* centroid = centroids_.data() + which * dim_;
    const float scale = centroid_scales_[which], length = norm(embedding, dim_);
    for (std::size_t d = 0; d < dim_; ++d) {
        unit[d] = embedding[d] / length;
        rest[d] = unit[d] - static_cast<float>(centroid[d]) * scale;
    }
    const float spread = norm(rest, dim_) / std::sqrt(static_cast<float>(dim_)) * codebook_scale_;
    for (std::size_t d = 0; d < dim_; ++d) shape[d] = spread > 0 ? rest[d] / spread : 0;
}

void Codec::find_codewords(Tokens& tokens) const {
    if (n_bits_ < 8) return trellis_.encode(tokens.shape.data(), code_bytes(), tokens.codes.data());
    for (std::size_t i = 0; i < tokens.shape.size(); ++i) {
        const float level = std::min(std::max(-128.0f, tokens.shape[i]), 127.0f);
        tokens.codes[i] = static_cast<std::uint8_t>(std::lrint(level) + 128);
    }
}

// The gain g with the least error e = rest - g * codewords, where the part of e along the embedding
// counts 1 + dim / 4 times: a query's best token is one that points where the query does.
float Codec::wanted_gain(std::size_t slot, const Tokens& tokens) const {
    const float *unit = tokens.unit.data() + slot * dim_, *rest = tokens.rest.data() + slot * dim_;
    double rest_found = 0, rest_unit = 0, found_unit = 0, square = 0;
    for (std::size_t d = 0; d < dim_; ++d) {
        const double u = unit[d], r = rest[d], x = tokens.found[d];
        rest_found += r * x;
        rest_unit += r * u;
        found_unit += x * u;
        square += x * x;
    }
    const double weight = static_cast<double>(dim_) / 4;
    const double product = rest_found + weight * rest_unit * found_unit;
    if (square == 0 || product <= 0) return 0;
    return static_cast<float>(product / (square + weight * found_unit * found_unit));
}

void Codec::encode(const float* embeddings, const std::uint32_t* centroids, std::size_t count,
                   std::uint8_t* codes, std::uint8_t* gains, std::uint8_t* lengths) const {
    Tokens tokens(*this);
    for (std::size_t first = 0; first < count; first += Tokens::COUNT) {
        const std::size_t n = std::min(Tokens::COUNT, count - first);
        for (std::size_t i = 0; i < n; ++i)
            find_rest(embeddings + (first + i) * dim_, centroids[first + i], i, tokens);
        find_codewords(tokens);
        std::memcpy(codes + first * code_bytes(), tokens.codes.data(), n * code_bytes());
        for (std::size_t i = 0; i < n; ++i) {
            unpack(tokens.codes.data() + i * code_bytes(), tokens.found.data());
            gains[first + i] = nearest_entry(gains_, wanted_gain(i, tokens) / codebook_scale_);
            if (has_lengths())
                lengths[first + i] =
                    nearest_entry(lengths_, norm(embeddings + (first + i) * dim_, dim_));
        }
    }
}

}  // namespace colxtr
