// The k-th largest value of each column of a tall matrix.
#pragma once

#include <cstddef>
#include <vector>

namespace colxtr {

struct Rows {
    const float* values;  // (count, stride)
    std::size_t count;
};

// values[column] = the ranks[column]-th largest value (from 1) of the column through all parts;
// the smallest if it has fewer, minus infinity if it has none or the rank is 0. What is not a
// number, or minus infinity, does not count.
void kth_largest(const std::vector<Rows>& parts, std::size_t stride,
                 const std::vector<std::size_t>& ranks, std::size_t threads, float* values);

}  // namespace colxtr
