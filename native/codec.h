// The code of a token: its nearest centroid and the quantised rest (docs/index-format.md).
//
// Knows nothing of documents, lists or queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace colxtr {

constexpr unsigned HALF = 16;  // n_bits of tokens kept whole, in half precision

class Codec {
   public:
    struct Parameters {
        std::size_t dim = 0;
        unsigned n_bits = 0;  // 1, 2, 4, 8 or HALF
        std::size_t n_centroids = 0;
        const std::int8_t *centroids = nullptr;    // (n_centroids, dim)
        const float *centroid_scales = nullptr;    // (n_centroids)
        const float *dimension_scales = nullptr;   // (dim); unused with HALF, as all that follow
        const float *bucket_values = nullptr;      // (2^n_bits), ascending
        const float *bucket_cutoffs = nullptr;     // (2^n_bits - 1), ascending
        const float *lengths = nullptr;            // (256), ascending
    };

    explicit Codec(const Parameters &parameters);

    std::size_t dim() const { return dim_; }
    unsigned n_bits() const { return n_bits_; }
    bool is_half() const { return n_bits_ == HALF; }
    std::size_t n_centroids() const { return n_centroids_; }
    std::size_t code_bytes() const { return dim_ * n_bits_ / 8; }
    float length(std::uint8_t code) const { return lengths_[code]; }
    const float *dimension_scales() const { return dimension_scales_.data(); }

    // The centroid in single precision, (dim).
    void centroid(std::size_t which, float *into) const;

    // What a code says without its centroid, scales and length: (dim) bucket values, or with
    // HALF the embedding itself.
    void unpack(const std::uint8_t *code, float *into) const;

    // The decompressed embedding, (dim).
    void decode(std::size_t centroid, const std::uint8_t *code, std::uint8_t length,
                float *into) const;

    // Codes and lengths of embeddings whose centroids are known; not with HALF.
    void encode(const float *embeddings, const std::uint32_t *centroids, std::size_t count,
                std::uint8_t *codes, std::uint8_t *lengths) const;

   private:
    unsigned bucket(float value) const;
    std::uint8_t nearest_length(float value) const;

    std::size_t dim_;
    unsigned n_bits_;
    std::size_t n_centroids_;
    std::vector<std::int8_t> centroids_;
    std::vector<float> centroid_scales_, dimension_scales_, bucket_values_, bucket_cutoffs_;
    std::vector<float> lengths_;
    std::vector<float> byte_values_;  // (256, 8 / n_bits): the bucket values of each byte
};

}  // namespace colxtr
