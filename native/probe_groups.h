// Centroids in groups of neighbours: a query token meets the centres of all groups, and the
// centroids of those few only that may hold its nearest ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "buffer.h"

namespace colxtr {

class ProbeGroups {
 public:
    ProbeGroups() = default;  // without groups

    // centroids: (n_centroids, dim), in units of `scales`, (n_centroids). `grouped`: the numbers of
    // the centroids, group after group; `ends`: where in it each group ends.
    ProbeGroups(const std::int8_t* centroids, const float* scales, std::size_t dim,
                const std::uint32_t* grouped, const std::uint32_t* ends, std::size_t n_groups);

    std::size_t size() const { return spreads_.size(); }

    // The centres, (size, dim), in units of `centre_scales`, and the root of the mean square of how
    // far a group's centroids are from its centre.
    const std::int8_t* centres() const { return centres_.data(); }
    const std::vector<float>& centre_scales() const { return centre_scales_; }
    const std::vector<float>& spreads() const { return spreads_; }

    // A group's centroids, as the columns of strips (kernels.h), with zeros after the last one.
    struct Group {
        const std::int8_t* strips;
        const float* scales;           // of the columns
        const std::uint32_t* numbers;  // of the centroids
        std::size_t count, n_strips;
    };
    Group operator[](std::size_t group) const;
    std::size_t most_strips() const { return most_strips_; }  // of a group

 private:
    void measure(const std::int8_t* centroids, const float* scales, const std::uint32_t* numbers,
                 std::size_t count, std::size_t group);
    void lay_out(const std::int8_t* centroids, const float* scales, const std::uint32_t* numbers,
                 std::size_t count, std::size_t first_strip);

    std::size_t dim_ = 0, most_strips_ = 0;
    std::vector<std::int8_t> centres_;
    std::vector<float> centre_scales_, spreads_;
    std::vector<std::size_t> first_strips_;  // of each group, and the end
    std::vector<std::size_t> counts_;
    Buffer<std::int8_t> strips_;
    std::vector<float> scales_;
    std::vector<std::uint32_t> numbers_;
};

}  // namespace colxtr
