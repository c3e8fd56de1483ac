#include "list_table.h"

#include <algorithm>

namespace colxtr {

ListTable::ListTable(const std::uint64_t* offsets, std::size_t n_lists) : offsets_(offsets) {
    const std::size_t n = static_cast<std::size_t>(offsets[n_lists]);
    // Blocks are no longer than lists are on the average: few lists start in them.
    while (shift_ > LEAST_SHIFT && (n_lists << shift_) > n) --shift_;
    const std::size_t size = std::size_t{1} << shift_;
    blocks_.reserve((n + size - 1) / size);
    std::size_t list = 0;
    for (std::size_t first = 0; first < n; first += size) {
        while (offsets[list + 1] <= first) ++list;
        blocks_.push_back(block_of(first, std::min(first + size, n), list));
    }
}

ListTable::Block ListTable::block_of(std::size_t first, std::size_t end, std::size_t list) const {
    Block block{static_cast<std::uint32_t>(list), {NONE, NONE, NONE, NONE}};
    std::size_t count = 0;
    for (++list; offsets_[list] < end; ++list, ++count) {
        if (count == STARTS) {
            block.starts[0] = 0;
            break;
        }
        block.starts[count] = static_cast<std::uint8_t>(offsets_[list] - first);
    }
    return block;
}

}  // namespace colxtr
