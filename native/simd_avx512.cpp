// AVX-512 F, BW, VL, DQ and VNNI: Intel servers since 2019, AMD since Zen 4.
#include "kernels.h"

#if defined(COLXTR_X86)
#include <immintrin.h>
#include <string.h>

namespace {

struct V {
    static constexpr std::size_t LANES = 16;
    static constexpr std::size_t ROWS = 8;  // 8 x 2 sums + 2 columns + 1 value: 19 of 32 registers
    __m512 lanes;

    static V zero() { return {_mm512_setzero_ps()}; }
    static V load(const float* p) { return {_mm512_loadu_ps(p)}; }
    static void store(float* p, V a) { _mm512_storeu_ps(p, a.lanes); }
    static V broadcast(const float* p) { return {_mm512_set1_ps(*p)}; }
    static V multiply_add(V a, V b, V c) { return {_mm512_fmadd_ps(a.lanes, b.lanes, c.lanes)}; }
    static V max(V a, V b) { return {_mm512_max_ps(a.lanes, b.lanes)}; }
    static V add(V a, V b) { return {_mm512_add_ps(a.lanes, b.lanes)}; }
    static V multiply(V a, V b) { return {_mm512_mul_ps(a.lanes, b.lanes)}; }
    static std::uint32_t between(V a, V low, V high) {
        const __mmask16 above = _mm512_cmp_ps_mask(a.lanes, low.lanes, _CMP_GT_OQ);
        return _mm512_mask_cmp_ps_mask(above, a.lanes, high.lanes, _CMP_LE_OQ);
    }

    using Counter = __m512i;
    static Counter load_count(const std::uint32_t* p) { return _mm512_loadu_si512(p); }
    static void store_count(std::uint32_t* p, Counter c) { _mm512_storeu_si512(p, c); }
    static Counter count(Counter c, V a, V b) {
        const __mmask16 more = _mm512_cmp_ps_mask(a.lanes, b.lanes, _CMP_GT_OQ);
        return _mm512_mask_add_epi32(c, more, c, _mm512_set1_epi32(1));
    }
};

struct I {
    static constexpr std::size_t LANES = 16;
    // Twice as many would fit the registers, but GCC then moves each to another at every step, and
    // some to memory: half the speed.
    static constexpr std::size_t SUMS = 8;
    using Group = __m512i;
    using Columns = __m512i;
    __m512i lanes;

    // The instruction multiplies unsigned with signed bytes: values of rows go in as value + 128,
    // and the sums start at -128 times the sum of the column.
    static Group group(const std::int8_t* p) {
        int four;
        memcpy(&four, p, sizeof four);
        return _mm512_xor_si512(_mm512_set1_epi32(four), _mm512_set1_epi8(-128));
    }
    static Columns columns(const std::int8_t* p) { return _mm512_loadu_si512(p); }
    static void dot(I& sums, Group group, Columns columns) {
        sums.lanes = _mm512_dpbusd_epi32(sums.lanes, group, columns);
    }
    static I load(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
    static V to_float(I sums) { return {_mm512_cvtepi32_ps(sums.lanes)}; }
    static void start(const std::int8_t* strip, std::size_t n_groups, std::int32_t* into) {
        __m512i even = _mm512_setzero_si512(), odd = even;  // dim is a multiple of 8
        for (std::size_t g = 0; g < n_groups; g += 2) {
            const std::int8_t* four = strip + g * colxtr::STRIP * 4;
            even = _mm512_dpbusd_epi32(even, _mm512_set1_epi8(-128), columns(four));
            odd =
                _mm512_dpbusd_epi32(odd, _mm512_set1_epi8(-128), columns(four + colxtr::STRIP * 4));
        }
        const __m512i sum = _mm512_add_epi32(even, odd);
        _mm512_storeu_si512(into, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
    }
};

struct T {
    static constexpr std::size_t LANES = 16;
    static constexpr std::size_t TOKENS = 4;
    using Pair = __m512i;
    __m512i lanes;

    static T broadcast(std::int32_t a) { return {_mm512_set1_epi32(a)}; }
    static T load(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
    static void store(std::int32_t* p, T a) { _mm512_storeu_si512(p, a.lanes); }
    static T add(T a, T b) { return {_mm512_add_epi32(a.lanes, b.lanes)}; }
    static T min(T a, T b) { return {_mm512_min_epi32(a.lanes, b.lanes)}; }
    static Pair pair(const std::int16_t* p) {
        int two;
        memcpy(&two, p, sizeof two);
        return _mm512_set1_epi32(two);
    }
    template <std::size_t PAIRS>
    static T costs(T bases, const Pair (&pairs)[PAIRS], const std::int16_t* values) {
        for (std::size_t p = 0; p < PAIRS; ++p)
            bases.lanes =
                _mm512_dpwssd_epi32(bases.lanes, pairs[p],
                                    _mm512_loadu_si512(values + p * 2 * colxtr::Trellis::STATES));
        return bases;
    }
};

#include "bytes_sse.inl"

B B::from_floats(const float* values, const float* factors) {
    const __m512i rounded =
        _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(values), _mm512_loadu_ps(factors)));
    return {_mm512_cvtusepi32_epi8(_mm512_max_epi32(rounded, _mm512_set1_epi32(1)))};
}

#include "half_f16c.inl"
#include "kernels.inl"
#include "levels.inl"
#include "nearest.inl"
#include "scoring.inl"
#include "trellis.inl"

}  // namespace

namespace colxtr {
extern const Kernels avx512_kernels;
const Kernels avx512_kernels = {"avx512",       multiply,    improve,      score,
                                find_between,   count_above, transform,    sum_maxima,
                                search_trellis, maxima,      to_levels,    raise_levels,
                                sum_levels,     find_near,   half_to_float};
}  // namespace colxtr
#endif
