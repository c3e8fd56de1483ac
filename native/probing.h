// The nearest centroids of the tokens of a query: those whose lists it looks into.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "buffer.h"
#include "probe_groups.h"
#include "top.h"

namespace colxtr {

// The tokens of a query in eight bits.
struct ProbingTokens {
    std::size_t count, stride, dim;
    const std::int8_t* strips;  // as columns (kernels.h)
    const std::int8_t* rows;    // (count, dim)
    const float* lengths;       // (stride): of the tokens, in units of their scales
};

// Whether groups would spare anything: not where more than a fraction of them would be looked into,
// and not if there are none. For very long queries they are done without: estimates take memory.
bool groups_help(std::size_t n_groups, std::size_t n_tokens, std::size_t n_centroids,
                 std::size_t n_probe);

// For each token its `n_probe` nearest centroids, as far as they lie in the groups that are most
// likely to hold them; by their products in units of the token's scale. With fewer than `n_probe`
// for some token (one of length 0, or nearly) it returns nothing.
std::vector<Top> probe_groups(const ProbeGroups& groups, const ProbingTokens& tokens,
                              std::size_t n_centroids, std::size_t n_probe, std::size_t threads);

}  // namespace colxtr
