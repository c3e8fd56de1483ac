#include "packing.h"

namespace colxtr {

void pack(const std::uint64_t *values, std::size_t count, unsigned width, std::uint8_t *bytes) {
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t bit = i * width;
        std::uint64_t word;
        std::memcpy(&word, bytes + (bit >> 3), sizeof word);
        word |= values[i] << (bit & 7);
        std::memcpy(bytes + (bit >> 3), &word, sizeof word);
    }
}

}  // namespace colxtr
