#include "probe_groups.h"

#include <algorithm>
#include <cmath>

#include "kernels.h"

namespace colxtr {

ProbeGroups::ProbeGroups(const std::int8_t* centroids, const float* scales, std::size_t dim,
                         const std::uint32_t* grouped, const std::uint32_t* ends,
                         std::size_t n_groups)
    : dim_(dim), centres_(n_groups * dim), centre_scales_(n_groups), spreads_(n_groups) {
    first_strips_.push_back(0);
    for (std::size_t g = 0; g < n_groups; ++g) {
        counts_.push_back(ends[g] - (g ? ends[g - 1] : 0));
        const std::size_t n_strips = (counts_[g] + STRIP - 1) / STRIP;
        first_strips_.push_back(first_strips_.back() + n_strips);
        most_strips_ = std::max(most_strips_, n_strips);
    }
    const std::size_t n_columns = first_strips_.back() * STRIP;
    strips_ = Buffer<std::int8_t>(n_columns * dim);
    scales_.resize(n_columns);
    numbers_.resize(n_columns);
    for (std::size_t g = 0; g < n_groups; ++g) {
        const std::uint32_t* numbers = grouped + (g ? ends[g - 1] : 0);
        measure(centroids, scales, numbers, counts_[g], g);
        lay_out(centroids, scales, numbers, counts_[g], first_strips_[g]);
    }
}

ProbeGroups::Group ProbeGroups::operator[](std::size_t group) const {
    const std::size_t first = first_strips_[group] * STRIP;
    return {strips_.data() + first * dim_, scales_.data() + first, numbers_.data() + first,
            counts_[group], first_strips_[group + 1] - first_strips_[group]};
}

void ProbeGroups::measure(const std::int8_t* centroids, const float* scales,
                          const std::uint32_t* numbers, std::size_t count, std::size_t group) {
    std::vector<float> centre(dim_), squares(dim_);
    for (std::size_t i = 0; i < count; ++i) {
        const std::int8_t* values = centroids + numbers[i] * dim_;
        const float scale = scales[numbers[i]];
        for (std::size_t d = 0; d < dim_; ++d) {
            const float value = scale * static_cast<float>(values[d]);
            centre[d] += value;
            squares[d] += value * value;
        }
    }
    double spread = 0;  // the sum of squares less that of the centre, count times
    float largest = 0;
    for (std::size_t d = 0; d < dim_; ++d) {
        centre[d] /= static_cast<float>(count);
        spread += squares[d] / static_cast<double>(count) - double{centre[d]} * centre[d];
        largest = std::max(largest, std::fabs(centre[d]));
    }
    spreads_[group] = static_cast<float>(std::sqrt(std::max(spread, 0.0)));
    const float scale = centre_scales_[group] = largest / 127;
    std::int8_t* into = centres_.data() + group * dim_;
    for (std::size_t d = 0; d < dim_; ++d)
        into[d] = static_cast<std::int8_t>(scale > 0 ? std::nearbyint(centre[d] / scale) : 0);
}

void ProbeGroups::lay_out(const std::int8_t* centroids, const float* scales,
                          const std::uint32_t* numbers, std::size_t count,
                          std::size_t first_strip) {
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t strip = first_strip + i / STRIP, lane = i % STRIP;
        const std::int8_t* values = centroids + numbers[i] * dim_;
        std::int8_t* column = strips_.data() + strip * STRIP * dim_ + lane * 4;
        for (std::size_t d = 0; d < dim_; d += 4) std::copy_n(values + d, 4, column + d * STRIP);
        scales_[strip * STRIP + lane] = scales[numbers[i]];
        numbers_[strip * STRIP + lane] = numbers[i];
    }
}

}  // namespace colxtr
