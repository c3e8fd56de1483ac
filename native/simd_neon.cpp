// NEON: every 64-bit ARM.
#include "kernels.h"

#if defined(COLXTR_NEON)
#include <arm_neon.h>

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
};

#include "kernels.inl"
#include "nearest.inl"

void half_to_float(const std::uint16_t* from, std::size_t n, float* into) {
    for (std::size_t i = 0; i < n; i += 4)
        vst1q_f32(into + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + i))));
}

}  // namespace

namespace colxtr {
extern const Kernels neon_kernels;
const Kernels neon_kernels = {"neon", multiply, improve, maximum, half_to_float};
}  // namespace colxtr
#endif
