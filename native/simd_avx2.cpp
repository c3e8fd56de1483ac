// AVX2 with FMA and F16C: x86-64 since 2013 (Intel) and 2015 (AMD).
#include "kernels.h"

#if defined(COLXTR_X86)
#include <immintrin.h>
#include <string.h>

namespace {

struct V {
    static constexpr std::size_t LANES = 8;
    static constexpr std::size_t ROWS = 2;  // 2 x 4 sums + 4 columns + 1 value: 13 of 16 registers
    __m256 lanes;

    static V zero() { return {_mm256_setzero_ps()}; }
    static V load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static void store(float* p, V a) { _mm256_storeu_ps(p, a.lanes); }
    static V broadcast(const float* p) { return {_mm256_broadcast_ss(p)}; }
    static V multiply_add(V a, V b, V c) { return {_mm256_fmadd_ps(a.lanes, b.lanes, c.lanes)}; }
    static V max(V a, V b) { return {_mm256_max_ps(a.lanes, b.lanes)}; }
    static V add(V a, V b) { return {_mm256_add_ps(a.lanes, b.lanes)}; }
    static V multiply(V a, V b) { return {_mm256_mul_ps(a.lanes, b.lanes)}; }
    static std::uint32_t between(V a, V low, V high) {
        const __m256 both = _mm256_and_ps(_mm256_cmp_ps(a.lanes, low.lanes, _CMP_GT_OQ),
                                          _mm256_cmp_ps(a.lanes, high.lanes, _CMP_LE_OQ));
        return static_cast<std::uint32_t>(_mm256_movemask_ps(both));
    }

    using Counter = __m256i;
    static Counter load_count(const std::uint32_t* p) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    }
    static void store_count(std::uint32_t* p, Counter c) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), c);
    }
    static Counter count(Counter c, V a, V b) {
        const __m256 more = _mm256_cmp_ps(a.lanes, b.lanes, _CMP_GT_OQ);  // -1 where it is so
        return _mm256_sub_epi32(c, _mm256_castps_si256(more));
    }
};

struct I {
    static constexpr std::size_t LANES = 8;
    static constexpr std::size_t SUMS = 8;
    // The instruction multiplies unsigned with signed bytes, and saturates sums of two products:
    // with absolute values up to 128 and 127 none can.
    struct Group {
        __m256i value, absolute;
    };
    using Columns = __m256i;
    __m256i lanes;

    static Group group(const std::int8_t* p) {
        int four;
        memcpy(&four, p, sizeof four);
        const __m256i value = _mm256_set1_epi32(four);
        return {value, _mm256_abs_epi8(value)};
    }
    static Columns columns(const std::int8_t* p) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    }
    static void dot(I& sums, Group group, Columns columns) {
        const __m256i pairs =
            _mm256_maddubs_epi16(group.absolute, _mm256_sign_epi8(columns, group.value));
        const __m256i products = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
        sums.lanes = _mm256_add_epi32(sums.lanes, products);
    }
    static I load(const std::int32_t* p) {
        return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
    }
    static V to_float(I sums) { return {_mm256_cvtepi32_ps(sums.lanes)}; }
    static void start(const std::int8_t*, std::size_t, std::int32_t* into) {
        for (std::size_t lane = 0; lane < colxtr::STRIP; ++lane) into[lane] = 0;
    }
};

struct T {
    static constexpr std::size_t LANES = 8;
    static constexpr std::size_t TOKENS = 4;
    using Pair = __m256i;
    __m256i lanes;

    static T broadcast(std::int32_t a) { return {_mm256_set1_epi32(a)}; }
    static T load(const std::int32_t* p) {
        return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
    }
    static void store(std::int32_t* p, T a) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.lanes);
    }
    static T add(T a, T b) { return {_mm256_add_epi32(a.lanes, b.lanes)}; }
    static T min(T a, T b) { return {_mm256_min_epi32(a.lanes, b.lanes)}; }
    static Pair pair(const std::int16_t* p) {
        int two;
        memcpy(&two, p, sizeof two);
        return _mm256_set1_epi32(two);
    }
    template <std::size_t PAIRS>
    static T costs(T bases, const Pair (&pairs)[PAIRS], const std::int16_t* values) {
        for (std::size_t p = 0; p < PAIRS; ++p) {
            const __m256i two = _mm256_loadu_si256(
                reinterpret_cast<const __m256i*>(values + p * 2 * colxtr::Trellis::STATES));
            bases.lanes = _mm256_add_epi32(bases.lanes, _mm256_madd_epi16(pairs[p], two));
        }
        return bases;
    }
};

#include "bytes_sse.inl"

B B::from_floats(const float* values, const float* factors) {
    __m128i rounded[4];
    for (std::size_t i = 0; i < 4; ++i)
        rounded[i] = _mm_cvtps_epi32(
            _mm_mul_ps(_mm_loadu_ps(values + 4 * i), _mm_loadu_ps(factors + 4 * i)));
    const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(rounded[0], rounded[1]),
                                           _mm_packs_epi32(rounded[2], rounded[3]));
    return {_mm_max_epu8(bytes, _mm_set1_epi8(1))};
}

#include "half_f16c.inl"
#include "kernels.inl"
#include "levels.inl"
#include "nearest.inl"
#include "scoring.inl"
#include "trellis.inl"

}  // namespace

namespace colxtr {
extern const Kernels avx2_kernels;
const Kernels avx2_kernels = {"avx2",      multiply,     improve,    score,          find_between,
                              count_above, transform,    sum_maxima, search_trellis, maxima,
                              to_levels,   raise_levels, sum_levels, find_near,      half_to_float};
}  // namespace colxtr
#endif
