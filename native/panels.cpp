#include "panels.h"

namespace colxtr {

Panels::Panels(const float *vectors, std::size_t count, std::size_t dim)
    : count_(count), dim_(dim), values_((count + PANEL - 1) / PANEL * PANEL * dim) {
    for (std::size_t i = 0; i < count; ++i) {
        float *column = values_.data() + i / PANEL * dim * PANEL + i % PANEL;
        for (std::size_t d = 0; d < dim; ++d) column[d * PANEL] = vectors[i * dim + d];
    }
}

void Panels::nearest(const float *rows, std::size_t n_rows, std::uint32_t *best) const {
    const std::size_t whole = n_rows / ROWS * ROWS;
    kernels().nearest(rows, whole, dim_, values_.data(), count_, best);
    if (whole == n_rows) return;
    Buffer<float> tail(ROWS * dim_);  // the kernel reads whole tiles
    std::memcpy(tail.data(), rows + whole * dim_, (n_rows - whole) * dim_ * sizeof(float));
    kernels().nearest(tail.data(), n_rows - whole, dim_, values_.data(), count_, best + whole);
}

}  // namespace colxtr
