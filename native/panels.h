// Vectors laid out for `Kernels::multiply` and `Kernels::improve` (kernels.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "buffer.h"
#include "kernels.h"

namespace colxtr {

// A row that has seen no vector yet; vector 0 wins if no product is a number.
inline Best no_best() {
    Best best{};
    for (float& score : best.score) score = -3.402823466e38f;
    return best;
}

// The column with the largest score, the first of equals.
std::uint32_t winner(const Best& best);

class Panels {
 public:
    Panels() = default;
    // vectors: (count, dim).
    Panels(const float* vectors, std::size_t count, std::size_t dim);

    std::size_t dim() const { return dim_; }
    std::size_t n_panels() const { return (count_ + PANEL - 1) / PANEL; }
    std::size_t stride() const { return n_panels() * PANEL; }

    // products: (n_rows, stride); rows and products as kernels.h says.
    void multiply(const float* rows, std::size_t n_rows, float* products) const {
        kernels().multiply(rows, n_rows, dim_, values_.data(), n_panels(), products);
    }

    // The vector with the largest inner product for each row, the first of equals.
    void nearest(const float* rows, std::size_t n_rows, std::uint32_t* best) const;

 private:
    std::size_t count_ = 0, dim_ = 0;
    Buffer<float> values_;
};

}  // namespace colxtr
