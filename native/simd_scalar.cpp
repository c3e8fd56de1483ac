// Plain C++: the path of machines without a vector unit that we know, and the second opinion in
// the tests. The compiler may use the platform's baseline (SSE2 on x86-64).
#include <string.h>

#include "kernels.h"

namespace {

struct V {
    static constexpr std::size_t LANES = 4;
    static constexpr std::size_t ROWS = 1;
    float lane[4];

    static V zero() { return {{0, 0, 0, 0}}; }
    static V load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
    static void store(float* p, V a) {
        for (std::size_t i = 0; i < 4; ++i) p[i] = a.lane[i];
    }
    static V broadcast(const float* p) { return {{*p, *p, *p, *p}}; }
    static V multiply_add(V a, V b, V c) {
        for (std::size_t i = 0; i < 4; ++i) c.lane[i] += a.lane[i] * b.lane[i];
        return c;
    }
    static V max(V a, V b) {
        for (std::size_t i = 0; i < 4; ++i)
            a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
        return a;
    }
};

#include "kernels.inl"
#include "nearest.inl"

inline float as_float(std::uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void half_to_float(const std::uint16_t* from, std::size_t n, float* into) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint32_t sign = static_cast<std::uint32_t>(from[i] & 0x8000u) << 16;
        const std::uint32_t magnitude = static_cast<std::uint32_t>(from[i] & 0x7fffu) << 13;
        // 2^112 moves the exponent from half's bias to single's, subnormals included.
        const float value = as_float(magnitude) * 5.192296858534828e33f;
        into[i] = magnitude >= 0x0f800000u ? as_float(sign | 0x7f800000u | magnitude)
                                           : as_float(sign) + (sign ? -value : value);
    }
}

}  // namespace

namespace colxtr {
extern const Kernels scalar_kernels;
const Kernels scalar_kernels = {"scalar", multiply, improve, maximum, half_to_float};
}  // namespace colxtr
