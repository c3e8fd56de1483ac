// AVX2 with FMA and F16C: x86-64 since 2013 (Intel) and 2015 (AMD).
#include "kernels.h"

#if defined(COLXTR_X86)
#include <immintrin.h>

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
};

#include "half_f16c.inl"
#include "kernels.inl"
#include "nearest.inl"

}  // namespace

namespace colxtr {
extern const Kernels avx2_kernels;
const Kernels avx2_kernels = {"avx2", multiply, improve, maximum, half_to_float};
}  // namespace colxtr
#endif
