#include "trellis.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace colxtr {

namespace {

constexpr std::size_t STATES = Trellis::STATES;
constexpr int BRANCH = 256;  // costs count in this: below it is the branch that they belong to,
constexpr int ROOT = 16;     // so both factors of a product are multiplied with its root

}  // namespace

TrellisCoder::TrellisCoder(const std::int8_t* codebook, std::size_t width)
    : width_(width), bases_(CODEWORDS), values_(CODEWORDS * width) {
    for (std::size_t i = 0; i < CODEWORDS; ++i) {
        const std::size_t before = i % STATES, low = i / STATES % 16, after = i / STATES / 16;
        const std::size_t block = before * 16 + low;
        const std::int8_t* codeword = codebook + i * width;
        int square = 0;
        for (std::size_t d = 0; d < width; ++d) {
            square += codeword[d] * codeword[d];
            values_[((block * width / 2 + d / 2) * STATES + after) * 2 + d % 2] =
                static_cast<std::int16_t>(ROOT * codeword[d]);
        }
        bases_[block * STATES + after] =
            BRANCH * Trellis::STEPS / 2 * square + static_cast<std::int32_t>(block);
    }
}

void TrellisCoder::encode(const float* shapes, std::size_t n_groups, std::uint8_t* codes) const {
    constexpr float most = Trellis::MOST;
    std::vector<std::int16_t> steps(TOKENS * n_groups * width_);
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const float value = std::min(std::max(-most, shapes[i] * Trellis::STEPS), most);
        steps[i] = static_cast<std::int16_t>(-ROOT * std::lrint(value));
    }
    Trellis trellis;
    trellis.bases = bases_.data();
    trellis.values = values_.data();
    trellis.n_pairs = width_ / 2;
    kernels().search_trellis(trellis, steps.data(), n_groups, codes);
}

}  // namespace colxtr
