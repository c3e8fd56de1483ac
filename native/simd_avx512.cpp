// AVX-512 F, BW, VL, DQ: Intel servers since 2017, AMD since Zen 4.
#include "kernels.h"

#if defined(COLXTR_X86)
#include <immintrin.h>

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
};

#include "half_f16c.inl"
#include "kernels.inl"
#include "nearest.inl"

}  // namespace

namespace colxtr {
extern const Kernels avx512_kernels;
const Kernels avx512_kernels = {"avx512", multiply, improve, maximum, half_to_float};
}  // namespace colxtr
#endif
