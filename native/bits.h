// What compilers spell differently.
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

// Asks for a cache line, without waiting for it.
inline void prefetch_line(const void* address) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(address);
#else
    (void)address;
#endif
}

}  // namespace colxtr
