// Which inverted list holds a position, with one line of memory to wait for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bits.h"

namespace colxtr {

class ListTable {
 public:
    ListTable() = default;
    // offsets: (n_lists + 1), ascending from 0; the last one is the number of positions.
    ListTable(const std::uint64_t* offsets, std::size_t n_lists);

    std::size_t operator[](std::size_t position) const {
        const Block& block = blocks_[position >> shift_];
        const std::size_t at = position & ((std::size_t{1} << shift_) - 1);
        std::size_t list = block.list;
        if (block.starts[0] == 0) {
            while (offsets_[list + 1] <= position) ++list;
            return list;
        }
        for (std::size_t i = 0; i < STARTS; ++i) list += block.starts[i] <= at;
        return list;
    }

    // Asks for what is read of a position.
    COLXTR_PREFETCH void prefetch(std::size_t position) const {
        prefetch_line(blocks_.data() + (position >> shift_));
    }

 private:
    static constexpr std::size_t STARTS = 4;
    static constexpr std::uint8_t NONE = 255;
    static constexpr unsigned LEAST_SHIFT = 3, MOST_SHIFT = 7;

    // Neighbouring positions: the list that holds the first, and where in the block others start.
    // If these are more than STARTS, the first of them is said to be 0.
    struct Block {
        std::uint32_t list;
        std::uint8_t starts[STARTS];
    };
    static_assert((1u << MOST_SHIFT) < NONE, "a start is a byte");

    Block block_of(std::size_t first, std::size_t end, std::size_t list) const;

    const std::uint64_t* offsets_ = nullptr;
    unsigned shift_ = MOST_SHIFT;
    std::vector<Block> blocks_;
};

}  // namespace colxtr
