#include "panels.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace colxtr {

Panels::Panels(const float* vectors, std::size_t count, std::size_t dim)
    : count_(count), dim_(dim), values_((count + PANEL - 1) / PANEL * PANEL * dim) {
    for (std::size_t i = 0; i < count; ++i) {
        float* column = values_.data() + i / PANEL * dim * PANEL + i % PANEL;
        for (std::size_t d = 0; d < dim; ++d) column[d * PANEL] = vectors[i * dim + d];
    }
}

void Panels::nearest(const float* rows, std::size_t n_rows, std::uint32_t* best) const {
    constexpr std::size_t ROW_BLOCK = 128;                // rows that share a block of panels
    constexpr std::size_t PANEL_BLOCK_BYTES = 256 << 10;  // of panels: a part of an L2 cache
    const std::size_t vector_bytes = dim_ * sizeof(float);
    const std::size_t block = std::max(PANEL_BLOCK_BYTES / (vector_bytes * PANEL), std::size_t{1});
    std::vector<Best> running(std::min(n_rows, ROW_BLOCK));
    std::vector<std::uint32_t> all(running.size());
    std::iota(all.begin(), all.end(), 0);
    for (std::size_t row = 0; row < n_rows; row += ROW_BLOCK) {
        const std::size_t count = std::min(n_rows - row, ROW_BLOCK);
        std::fill(running.begin(), running.end(), no_best());
        for (std::size_t first = 0; first < count_; first += block * PANEL)
            kernels().improve(rows + row * dim_, all.data(), count, dim_,
                              values_.data() + first * dim_,
                              std::min(count_ - first, block * PANEL),
                              static_cast<std::uint32_t>(first), running.data());
        for (std::size_t i = 0; i < count; ++i) best[row + i] = winner(running[i]);
    }
}

std::uint32_t winner(const Best& best) {
    std::size_t top = 0;
    for (std::size_t lane = 1; lane < PANEL; ++lane)
        if (best.score[lane] > best.score[top] ||
            (best.score[lane] == best.score[top] && best.column[lane] < best.column[top]))
            top = lane;
    return best.column[top];
}

}  // namespace colxtr
