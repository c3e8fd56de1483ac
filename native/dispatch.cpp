// Which table of kernels this machine runs.
#include <atomic>
#include <cstring>

#include "kernels.h"

#if defined(COLXTR_X86) && defined(_MSC_VER)
#include <intrin.h>
#elif defined(COLXTR_X86)
#include <cpuid.h>
#endif

namespace colxtr {

extern const Kernels scalar_kernels;
#if defined(COLXTR_X86)
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
#elif defined(COLXTR_NEON)
extern const Kernels neon_kernels;
#endif

namespace {

#if defined(COLXTR_X86)
// Read here, not through __builtin_cpu_supports: MSVC has none, and Clang's does not know "f16c"
// before version 18.
struct Registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

#if defined(_MSC_VER)
Registers cpuid(unsigned leaf) {
    int r[4];
    __cpuid(r, 0);
    if (static_cast<unsigned>(r[0]) < leaf) return {};
    __cpuidex(r, static_cast<int>(leaf), 0);
    return {static_cast<unsigned>(r[0]), static_cast<unsigned>(r[1]), static_cast<unsigned>(r[2]),
            static_cast<unsigned>(r[3])};
}
unsigned saved_registers() { return static_cast<unsigned>(_xgetbv(0)); }
#else
Registers cpuid(unsigned leaf) {
    Registers r;
    __get_cpuid_count(leaf, 0, &r.a, &r.b, &r.c, &r.d);  // zeros if there is no such leaf
    return r;
}
unsigned saved_registers() {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif

bool all_of(unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; }

bool has_avx2() {
    constexpr unsigned FMA = 1u << 12, OSXSAVE = 1u << 27, F16C = 1u << 29, AVX2 = 1u << 5;
    return all_of(cpuid(1).c, FMA | OSXSAVE | F16C) && all_of(saved_registers(), 0x06) &&
           all_of(cpuid(7).b, AVX2);
}
bool has_avx512() {
    constexpr unsigned F = 1u << 16, DQ = 1u << 17, BW = 1u << 30, VL = 1u << 31, VNNI = 1u << 11;
    return has_avx2() && all_of(saved_registers(), 0xe6) && all_of(cpuid(7).b, F | DQ | BW | VL) &&
           all_of(cpuid(7).c, VNNI);
}
#endif

constexpr std::size_t MOST = 3;

// The tables that this machine runs, the slowest first.
std::size_t tables(const Kernels* (&found)[MOST]) {
    std::size_t n = 0;
    found[n++] = &scalar_kernels;
#if defined(COLXTR_X86)
    if (has_avx2()) found[n++] = &avx2_kernels;
    if (has_avx512()) found[n++] = &avx512_kernels;
#elif defined(COLXTR_NEON)
    found[n++] = &neon_kernels;
#endif
    return n;
}

const Kernels* fastest() {
    const Kernels* found[MOST];
    return found[tables(found) - 1];
}

std::atomic<const Kernels*>& active() {
    static std::atomic<const Kernels*> table{fastest()};
    return table;
}

}  // namespace

const Kernels& kernels() { return *active().load(std::memory_order_relaxed); }

std::size_t available(const char** names, std::size_t room) {
    const Kernels* found[MOST];
    const std::size_t n = tables(found);
    for (std::size_t i = 0; i < n && i < room; ++i) names[i] = found[i]->name;
    return n;
}

bool use(const char* name) {
    const Kernels* found[MOST];
    const std::size_t n = tables(found);
    for (std::size_t i = 0; i < n; ++i)
        if (std::strcmp(found[i]->name, name) == 0) {
            active().store(found[i], std::memory_order_relaxed);
            return true;
        }
    return false;
}

}  // namespace colxtr
