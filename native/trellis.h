// The codewords of a trellis and the search for the nearest ones: trellis-coded quantisation
// (Marcellin and Fischer 1990) with a bitshift trellis (Tseng et al. 2024, "QTIP") that bites its
// tail. A byte chooses one of 256 codewords; which 256 of 4,096 depends on the byte before.
//
// Knows nothing of centroids and gains.
#pragma once

#include <cstddef>
#include <cstdint>

#include "buffer.h"
#include "kernels.h"

namespace colxtr {

class TrellisCoder {
 public:
    static constexpr std::size_t CODEWORDS = 4096;
    static constexpr std::size_t TOKENS = Trellis::TOKENS;

    TrellisCoder() = default;
    // codebook: (CODEWORDS, width), width 2, 4 or 8.
    TrellisCoder(const std::int8_t* codebook, std::size_t width);

    // Which codeword a byte stands for.
    static std::size_t codeword(std::uint8_t before, std::uint8_t byte) {
        return std::size_t{byte} << 4 | before >> 4;
    }

    // Codes, (TOKENS, n_groups), of shapes, (TOKENS, n_groups * width), in the codewords' units.
    void encode(const float* shapes, std::size_t n_groups, std::uint8_t* codes) const;

 private:
    std::size_t width_ = 0;
    Buffer<std::int32_t> bases_;
    Buffer<std::int16_t> values_;
};

}  // namespace colxtr
