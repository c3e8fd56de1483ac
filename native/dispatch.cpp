// Which table of kernels this machine runs.
#include <atomic>
#include <cstring>

#include "kernels.h"

#if defined(COLXTR_X86) && defined(_MSC_VER)
#include <intrin.h>
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
#if defined(_MSC_VER)
struct Features {
    bool avx2 = false, avx512 = false;
    Features() {
        int r[4];
        __cpuid(r, 1);
        const bool fma = r[2] & (1 << 12), f16c = r[2] & (1 << 29), osxsave = r[2] & (1 << 27);
        if (!osxsave) return;
        const unsigned long long state = _xgetbv(0);
        __cpuidex(r, 7, 0);
        const unsigned b = static_cast<unsigned>(r[1]);
        avx2 = (state & 6) == 6 && fma && f16c && (b >> 5 & 1);
        avx512 = avx2 && (state & 0xe6) == 0xe6 && (b >> 16 & 1) && (b >> 17 & 1) &&
                 (b >> 30 & 1) && (b >> 31 & 1);
    }
};
bool has_avx2() { return Features().avx2; }
bool has_avx512() { return Features().avx512; }
#else
bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
}
bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif
#endif

constexpr std::size_t MOST = 3;

// The tables that this machine runs, the slowest first.
std::size_t tables(const Kernels *(&found)[MOST]) {
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

const Kernels *fastest() {
    const Kernels *found[MOST];
    return found[tables(found) - 1];
}

std::atomic<const Kernels *> &active() {
    static std::atomic<const Kernels *> table{fastest()};
    return table;
}

}  // namespace

const Kernels &kernels() { return *active().load(std::memory_order_relaxed); }

std::size_t available(const char **names, std::size_t room) {
    const Kernels *found[MOST];
    const std::size_t n = tables(found);
    for (std::size_t i = 0; i < n && i < room; ++i) names[i] = found[i]->name;
    return n;
}

bool use(const char *name) {
    const Kernels *found[MOST];
    const std::size_t n = tables(found);
    for (std::size_t i = 0; i < n; ++i)
        if (std::strcmp(found[i]->name, name) == 0) {
            active().store(found[i], std::memory_order_relaxed);
            return true;
        }
    return false;
}

}  // namespace colxtr
