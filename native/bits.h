// Bits, and what compilers spell differently.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace colxtr {

// The number of the lowest bit that is set; `bits` is not zero.
inline std::size_t lowest_bit(std::uint32_t bits) {
#if defined(_MSC_VER)
    unsigned long found;
    _BitScanForward(&found, bits);
    return found;
#else
    return static_cast<std::size_t>(__builtin_ctz(bits));
#endif
}

// Of a row of bits, the lowest of each byte first.
inline bool is_set(const std::uint8_t* bits, std::uint64_t i) { return bits[i / 8] >> (i % 8) & 1; }

// Functions that only ask for memory: GCC takes a call of one for a call without effect, and drops
// it, unless it has been inlined before that.
#if defined(__GNUC__) || defined(__clang__)
#define COLXTR_PREFETCH __attribute__((always_inline)) inline
#else
#define COLXTR_PREFETCH inline
#endif

// Asks for a cache line, without waiting for it.
COLXTR_PREFETCH void prefetch_line(const void* address) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(address);
#else
    (void)address;
#endif
}

}  // namespace colxtr
