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
    static V add(V a, V b) {
        for (std::size_t i = 0; i < 4; ++i) a.lane[i] += b.lane[i];
        return a;
    }
    static V multiply(V a, V b) {
        for (std::size_t i = 0; i < 4; ++i) a.lane[i] *= b.lane[i];
        return a;
    }
    static std::uint32_t between(V a, V low, V high) {
        std::uint32_t bits = 0;
        for (std::size_t i = 0; i < 4; ++i)
            bits |= std::uint32_t{a.lane[i] > low.lane[i] && a.lane[i] <= high.lane[i]} << i;
        return bits;
    }

    struct Counter {
        std::uint32_t lane[4];
    };
    static Counter load_count(const std::uint32_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
    static void store_count(std::uint32_t* p, Counter c) {
        for (std::size_t i = 0; i < 4; ++i) p[i] = c.lane[i];
    }
    static Counter count(Counter c, V a, V b) {
        for (std::size_t i = 0; i < 4; ++i) c.lane[i] += a.lane[i] > b.lane[i];
        return c;
    }
};

struct I {
    static constexpr std::size_t LANES = 4;
    static constexpr std::size_t SUMS = 8;
    using Group = const std::int8_t*;
    using Columns = const std::int8_t*;
    std::int32_t lane[4];

    static Group group(const std::int8_t* p) { return p; }
    static Columns columns(const std::int8_t* p) { return p; }
    static void dot(I& sums, Group group, Columns columns) {
        for (std::size_t i = 0; i < 4; ++i)
            for (std::size_t d = 0; d < 4; ++d) sums.lane[i] += group[d] * columns[4 * i + d];
    }
    static I load(const std::int32_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
    static V to_float(I sums) {
        V floats;
        for (std::size_t i = 0; i < 4; ++i) floats.lane[i] = static_cast<float>(sums.lane[i]);
        return floats;
    }
    static void start(const std::int8_t*, std::size_t, std::int32_t* into) {
        for (std::size_t lane = 0; lane < colxtr::STRIP; ++lane) into[lane] = 0;
    }
};

struct T {
    static constexpr std::size_t LANES = 4;
    static constexpr std::size_t TOKENS = 1;
    using Pair = const std::int16_t*;
    std::int32_t lane[4];

    static T broadcast(std::int32_t a) { return {{a, a, a, a}}; }
    static T load(const std::int32_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
    static void store(std::int32_t* p, T a) {
        for (std::size_t i = 0; i < 4; ++i) p[i] = a.lane[i];
    }
    static T add(T a, T b) {
        for (std::size_t i = 0; i < 4; ++i) a.lane[i] += b.lane[i];
        return a;
    }
    static T min(T a, T b) {
        for (std::size_t i = 0; i < 4; ++i)
            a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
        return a;
    }
    static Pair pair(const std::int16_t* p) { return p; }
    template <std::size_t PAIRS>
    static T costs(T bases, const Pair (&pairs)[PAIRS], const std::int16_t* values) {
        for (std::size_t p = 0; p < PAIRS; ++p) {
            const std::int16_t* two = values + p * 2 * colxtr::Trellis::STATES;
            for (std::size_t i = 0; i < 4; ++i)
                bases.lane[i] += pairs[p][0] * two[2 * i] + pairs[p][1] * two[2 * i + 1];
        }
        return bases;
    }
};

struct B {
    std::uint8_t lane[16];

    static B load(const std::uint8_t* p) {
        B a;
        memcpy(a.lane, p, sizeof a.lane);
        return a;
    }
    static void store(std::uint8_t* p, B a) { memcpy(p, a.lane, sizeof a.lane); }
    static B max(B a, B b) {
        for (std::size_t i = 0; i < 16; ++i)
            a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
        return a;
    }
    static B above(B a, B b) {
        for (std::size_t i = 0; i < 16; ++i)
            a.lane[i] = static_cast<std::uint8_t>((a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]) -
                                                  b.lane[i]);
        return a;
    }
    static std::uint32_t sum(B a) {
        std::uint32_t found = 0;
        for (std::size_t i = 0; i < 16; ++i) found += a.lane[i];
        return found;
    }
    static bool reaches(B a, B b) {
        bool found = false;
        for (std::size_t i = 0; i < 16; ++i) found |= a.lane[i] >= b.lane[i];
        return found;
    }
    static B from_floats(const float* values, const float* factors) {
        constexpr float WHOLE = 12582912;  // 1.5 * 2^23: floats near it are integers
        B a;
        for (std::size_t i = 0; i < 16; ++i) {
            const float level = values[i] * factors[i];
            const float within = level < 1 ? 1 : level > 255 ? 255 : level;
            a.lane[i] = static_cast<std::uint8_t>(within + WHOLE - WHOLE);
        }
        return a;
    }
};

#include "kernels.inl"
#include "levels.inl"
#include "nearest.inl"
#include "scoring.inl"
#include "trellis.inl"

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
const Kernels scalar_kernels = {"scalar",       multiply,    improve,      score,
                                find_between,   count_above, transform,    sum_maxima,
                                search_trellis, maxima,      to_levels,    raise_levels,
                                sum_levels,     find_near,   half_to_float};
}  // namespace colxtr
