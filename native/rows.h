// Rows of similarities: how many of them the loops touch, and what is asked of them with floors
// only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels.h"

namespace colxtr {

// Kernels read, and some write, whole tiles of rows.
inline std::size_t up_to_tile(std::size_t count) { return (count + ROWS - 1) / ROWS * ROWS; }

// As Kernels::find_between, without ceilings.
inline std::size_t find_above(const float* rows, std::size_t n_rows, std::size_t stride,
                              const float* floors, std::uint32_t* lanes) {
    static const std::array<float, STRIP> unbounded = [] {
        std::array<float, STRIP> ceilings;
        ceilings.fill(std::numeric_limits<float>::infinity());
        return ceilings;
    }();
    return kernels().find_between(rows, n_rows, stride, floors, unbounded.data(), lanes);
}

// Whether a row of `stride` values has one above its floor.
inline bool any_above(const float* row, std::size_t stride, const float* floors) {
    for (std::size_t strip = 0; strip < stride; strip += STRIP) {
        std::uint32_t lanes = 0;
        if (find_above(row + strip, 1, stride, floors + strip, &lanes) == 0) return true;
    }
    return false;
}

}  // namespace colxtr
