// The nearest of very many vectors without comparing a row with all of them.
//
// The vectors are divided into groups round centres; a row looks into the groups whose centres have
// the largest products with it. What it finds is nearly always the nearest (docs/log.md, "Build").
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "buffer.h"
#include "panels.h"

namespace colxtr {

class Groups {
 public:
    // vectors: (count, dim); group_of: the group of each, below n_groups; centres: (n_groups, dim).
    Groups(const float* vectors, const std::uint32_t* group_of, std::size_t count,
           const float* centres, std::size_t n_groups, std::size_t dim);

    std::size_t dim() const { return dim_; }
    std::size_t n_groups() const { return n_groups_; }

    // The vector with the largest inner product among those of the `n_probe` best groups of each
    // row; 1 <= n_probe <= n_groups. A row's result depends on that row alone.
    void nearest(const float* rows, std::size_t n_rows, std::size_t n_probe,
                 std::uint32_t* best) const;

 private:
    struct Group {
        std::size_t first;  // of its columns; a multiple of PANEL
        std::size_t count;  // of its vectors
    };

    // Rows and the groups they look into, sorted by group: which[starts[g] ... starts[g + 1]].
    struct Visits {
        std::vector<std::size_t> starts;
        std::vector<std::uint32_t> which;
    };

    Visits visits(const float* rows, std::size_t n_rows, std::size_t n_probe) const;

    std::size_t dim_, n_groups_;
    Panels centres_;
    std::vector<Group> groups_;
    std::vector<std::uint32_t> numbers_;  // of the vector in each column
    Buffer<float> columns_;               // in panels, group after group
};

}  // namespace colxtr
