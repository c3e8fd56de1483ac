// Rows that are worked out once, by whichever thread asks first, and found by their numbers. They
// lie side by side in the order in which they came: a few of very many stay in a near cache.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace colxtr {

class OnceRows {
 public:
    // Forgets all rows; those to come are of `size` floats, their numbers below `n_numbers`.
    void reset(std::size_t n_numbers, std::size_t size);

    // The row of a number, or null if it is not there yet.
    const float* find(std::uint32_t number) const {
        const std::uint32_t place = places_[number].load(std::memory_order_acquire);
        return place >= FIRST ? row(place - FIRST) : nullptr;
    }
    // A place for a row, if the caller is the first to want it, or NONE: somebody is at it. Once
    // there is room for the place, the caller writes the row there, and publishes it.
    static constexpr std::uint32_t NONE = UINT32_MAX;
    std::uint32_t claim(std::uint32_t number);
    void make_room(std::uint32_t place);
    float* at(std::uint32_t place) { return row(place); }
    void publish(std::uint32_t number, std::uint32_t place) {
        places_[number].store(FIRST + place, std::memory_order_release);
    }

    std::size_t bytes() const;

 private:
    static constexpr std::uint32_t NOBODY = 0, CLAIMED = 1, FIRST = 2;
    static constexpr std::size_t CHUNK = std::size_t{1}
                                         << 18;  // floats that are given room together

    float* row(std::size_t place) const {
        const std::size_t mask = (std::size_t{1} << shift_) - 1;
        return chunks_[place >> shift_].get() + (place & mask) * size_;
    }

    std::size_t n_numbers_ = 0, size_ = 0, most_size_ = 0;
    std::unique_ptr<std::atomic<std::uint32_t>[]> places_;  // by number: NOBODY, CLAIMED, or where
    std::vector<std::uint32_t> numbers_;                    // of the places that were claimed
    std::atomic<std::uint32_t> n_claimed_{0};
    std::vector<std::unique_ptr<float[]>>
        chunks_;  // of 1 << shift_ rows of up to most_size_ floats
    unsigned shift_ = 0;
    std::mutex growing_;
};

}  // namespace colxtr
