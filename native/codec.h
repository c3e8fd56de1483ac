// The code of a token: its nearest centroid and the quantised rest (docs/index-format.md).
//
// Knows nothing of documents, lists or queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "probe_groups.h"
#include "trellis.h"

namespace colxtr {

constexpr unsigned HALF = 16;  // n_bits of tokens kept whole, in half precision

class Codec {
 public:
    static constexpr std::size_t LEVELS = 256;  // entries of the tables, and codewords of 8 bits

    struct Parameters {
        std::size_t dim = 0;
        unsigned n_bits = 0;  // 1, 2, 4, 8 or HALF
        std::size_t n_centroids = 0;
        const std::int8_t* centroids = nullptr;  // (n_centroids, dim)
        const float* centroid_scales = nullptr;  // (n_centroids)
        // With HALF there are none of these.
        const float* rotation = nullptr;        // (dim, dim)
        const std::int8_t* codebook = nullptr;  // (n_codewords(n_bits), 8 / n_bits), in units of
        float codebook_scale = 0;               // codebook_scale
        const float* gains = nullptr;           // (256), ascending
        const float* lengths = nullptr;  // (256), ascending; null if all tokens have length 1
        // Of probe_groups.h; null without.
        const std::uint32_t* grouped = nullptr;     // (n_centroids)
        const std::uint32_t* group_ends = nullptr;  // (n_groups)
        std::size_t n_groups = 0;
    };

    static std::size_t n_codewords(unsigned n_bits) {
        return n_bits == 8 ? LEVELS : TrellisCoder::CODEWORDS;
    }

    explicit Codec(const Parameters& parameters);

    std::size_t dim() const { return dim_; }
    bool is_half() const { return n_bits_ == HALF; }
    bool has_lengths() const { return !lengths_.empty(); }
    std::size_t n_centroids() const { return n_centroids_; }
    std::size_t code_bytes() const { return dim_ * n_bits_ / 8; }
    // Embeddings, (count, dim), in the coordinates of the codes.
    void rotate(const float* embeddings, std::size_t count, float* into) const;

    const std::int8_t* centroids() const { return centroids_.data(); }  // (n_centroids, dim)
    const float* centroid_scales() const { return centroid_scales_.data(); }
    std::size_t n_groups() const { return group_ends_.size(); }  // 0 without
    const ProbeGroups& groups() const;                           // laid out when first asked for
    const std::int8_t* codebook() const { return codebook_.data(); }
    // Dimensions of a codeword; 0 with HALF.
    std::size_t codeword_width() const { return 8 / n_bits_; }
    // What the values of `unpack` are multiplied with before they are added to the centroid.
    float gain(std::uint8_t code) const { return gains_[code] * codebook_scale_; }
    float length(std::uint8_t code) const { return lengths_[code]; }

    // The codewords of a code, one after the other: (dim), in units of the codebook's scale.
    void unpack(const std::uint8_t* code, std::int8_t* into) const;

    // The decompressed embedding, (dim). The length code counts only if has_lengths().
    void decode(std::size_t centroid, const std::uint8_t* code, std::uint8_t gain,
                std::uint8_t length, float* into) const;

    // Codes, gains and (if has_lengths()) lengths of embeddings whose centroids are known; not
    // with HALF.
    void encode(const float* embeddings, const std::uint32_t* centroids, std::size_t count,
                std::uint8_t* codes, std::uint8_t* gains, std::uint8_t* lengths) const;

 private:
    struct Tokens;  // a few embeddings on their way to their codes
    void find_rest(const float* embedding, std::size_t centroid, std::size_t slot,
                   Tokens& tokens) const;
    void find_codewords(Tokens& tokens) const;
    float wanted_gain(std::size_t slot, const Tokens& tokens) const;

    std::size_t dim_;
    unsigned n_bits_;
    std::size_t n_centroids_;
    std::vector<std::int8_t> centroids_, codebook_;
    std::vector<float> centroid_scales_, rotation_, gains_, lengths_;
    float codebook_scale_ = 0;
    TrellisCoder trellis_;  // not with 8 bits
    std::vector<std::uint32_t> grouped_, group_ends_;
    mutable std::once_flag laid_out_;
    mutable ProbeGroups groups_;
};

}  // namespace colxtr
