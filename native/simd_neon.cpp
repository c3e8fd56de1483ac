// NEON: every 64-bit ARM.
#include "kernels.h"

#if defined(COLXTR_NEON)
#include <arm_neon.h>
#include <string.h>

namespace {

struct V {
    static constexpr std::size_t LANES = 4;
    static constexpr std::size_t ROWS = 2;  // 2 x 8 sums + 8 columns + 1 value: 25 of 32 registers
    float32x4_t lanes;

    static V zero() { return {vdupq_n_f32(0)}; }
    static V load(const float* p) { return {vld1q_f32(p)}; }
    static void store(float* p, V a) { vst1q_f32(p, a.lanes); }
    static V broadcast(const float* p) { return {vld1q_dup_f32(p)}; }
    static V multiply_add(V a, V b, V c) { return {vfmaq_f32(c.lanes, a.lanes, b.lanes)}; }
    static V max(V a, V b) { return {vmaxq_f32(a.lanes, b.lanes)}; }
    static V add(V a, V b) { return {vaddq_f32(a.lanes, b.lanes)}; }
    static V multiply(V a, V b) { return {vmulq_f32(a.lanes, b.lanes)}; }
    static std::uint32_t between(V a, V low, V high) {
        const uint32x4_t bits = {1, 2, 4, 8};
        const uint32x4_t both =
            vandq_u32(vcgtq_f32(a.lanes, low.lanes), vcleq_f32(a.lanes, high.lanes));
        return vaddvq_u32(vandq_u32(both, bits));
    }

    using Counter = uint32x4_t;
    static Counter load_count(const std::uint32_t* p) { return vld1q_u32(p); }
    static void store_count(std::uint32_t* p, Counter c) { vst1q_u32(p, c); }
    static Counter count(Counter c, V a, V b) {
        return vsubq_u32(c, vcgtq_f32(a.lanes, b.lanes));  // -1 where it is so
    }
};

struct I {
    static constexpr std::size_t LANES = 4;
    static constexpr std::size_t SUMS = 16;
    using Group = int8x16_t;
    using Columns = int8x16_t;
    int32x4_t lanes;

    static Group group(const std::int8_t* p) {
        std::int32_t four;
        memcpy(&four, p, sizeof four);
        return vreinterpretq_s8_s32(vdupq_n_s32(four));
    }
    static Columns columns(const std::int8_t* p) { return vld1q_s8(p); }
    static void dot(I& sums, Group group, Columns columns) {
#if defined(__ARM_FEATURE_DOTPROD)
        sums.lanes = vdotq_s32(sums.lanes, group, columns);
#else
        const int16x8_t low = vmull_s8(vget_low_s8(group), vget_low_s8(columns));
        const int16x8_t high = vmull_high_s8(group, columns);
        sums.lanes = vpadalq_s16(sums.lanes, vpaddq_s16(low, high));  // two products fit 16 bits
#endif
    }
    static I load(const std::int32_t* p) { return {vld1q_s32(p)}; }
    static V to_float(I sums) { return {vcvtq_f32_s32(sums.lanes)}; }
    static void start(const std::int8_t*, std::size_t, std::int32_t* into) {
        for (std::size_t lane = 0; lane < colxtr::STRIP; ++lane) into[lane] = 0;
    }
};

struct T {
    static constexpr std::size_t LANES = 4;
    static constexpr std::size_t TOKENS = 4;
    using Pair = int16x8_t;
    int32x4_t lanes;

    static T broadcast(std::int32_t a) { return {vdupq_n_s32(a)}; }
    static T load(const std::int32_t* p) { return {vld1q_s32(p)}; }
    static void store(std::int32_t* p, T a) { vst1q_s32(p, a.lanes); }
    static T add(T a, T b) { return {vaddq_s32(a.lanes, b.lanes)}; }
    static T min(T a, T b) { return {vminq_s32(a.lanes, b.lanes)}; }
    static Pair pair(const std::int16_t* p) {
        std::int32_t two;
        memcpy(&two, p, sizeof two);
        return vreinterpretq_s16_s32(vdupq_n_s32(two));
    }
    template <std::size_t PAIRS>
    static T costs(T bases, const Pair (&pairs)[PAIRS], const std::int16_t* values) {
        int32x4_t low = vdupq_n_s32(0), high = low;  // the products of two lanes each, not yet in
        for (std::size_t p = 0; p < PAIRS; ++p) {    // the sums of their pairs
            const int16x8_t two = vld1q_s16(values + p * 2 * colxtr::Trellis::STATES);
            low = vmlal_s16(low, vget_low_s16(pairs[p]), vget_low_s16(two));
            high = vmlal_high_s16(high, pairs[p], two);
        }
        return {vaddq_s32(bases.lanes, vpaddq_s32(low, high))};
    }
};

struct B {
    uint8x16_t lanes;

    static B load(const std::uint8_t* p) { return {vld1q_u8(p)}; }
    static void store(std::uint8_t* p, B a) { vst1q_u8(p, a.lanes); }
    static B max(B a, B b) { return {vmaxq_u8(a.lanes, b.lanes)}; }
    static B above(B a, B b) { return {vqsubq_u8(a.lanes, b.lanes)}; }
    static std::uint32_t sum(B a) { return vaddlvq_u8(a.lanes); }
    static bool reaches(B a, B b) { return vmaxvq_u8(vcgeq_u8(a.lanes, b.lanes)) != 0; }
    static B from_floats(const float* values, const float* factors) {
        int16x4_t rounded[4];
        for (std::size_t i = 0; i < 4; ++i)
            rounded[i] = vqmovn_s32(
                vcvtnq_s32_f32(vmulq_f32(vld1q_f32(values + 4 * i), vld1q_f32(factors + 4 * i))));
        const uint8x8_t low = vqmovun_s16(vcombine_s16(rounded[0], rounded[1]));
        const uint8x8_t high = vqmovun_s16(vcombine_s16(rounded[2], rounded[3]));
        return {vmaxq_u8(vcombine_u8(low, high), vdupq_n_u8(1))};
    }
};

#include "kernels.inl"
#include "levels.inl"
#include "nearest.inl"
#include "scoring.inl"
#include "trellis.inl"

void half_to_float(const std::uint16_t* from, std::size_t n, float* into) {
    for (std::size_t i = 0; i < n; i += 4)
        vst1q_f32(into + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + i))));
}

}  // namespace

namespace colxtr {
extern const Kernels neon_kernels;
const Kernels neon_kernels = {"neon",      multiply,     improve,    score,          find_between,
                              count_above, transform,    sum_maxima, search_trellis, maxima,
                              to_levels,   raise_levels, sum_levels, find_near,      half_to_float};
}  // namespace colxtr
#endif
