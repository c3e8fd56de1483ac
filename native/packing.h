// Integers of a fixed number of bits, one after the other, the lowest bit first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "an index is little-endian and mapped as it is: this machine cannot read it"
#endif

namespace colxtr {

constexpr unsigned MOST_BITS = 56;  // a value and its shift of up to 7 bits fit one 64-bit load
constexpr std::size_t PACKED_SLACK = 8;  // bytes behind the last value, so that such a load is safe

inline std::size_t packed_bytes(std::size_t count, unsigned width) {
    return (count * width + 7) / 8 + PACKED_SLACK;
}

struct Packed {
    const std::uint8_t* bytes = nullptr;
    std::size_t count = 0;
    unsigned width = 0;

    std::uint64_t operator[](std::size_t i) const {
        const std::size_t bit = i * width;
        std::uint64_t word;
        std::memcpy(&word, bytes + (bit >> 3), sizeof word);
        return (word >> (bit & 7)) & ((std::uint64_t{1} << width) - 1);
    }
};

// `bytes`: packed_bytes(count, width), all zero.
void pack(const std::uint64_t* values, std::size_t count, unsigned width, std::uint8_t* bytes);

}  // namespace colxtr
