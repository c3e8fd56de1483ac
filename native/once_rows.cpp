#include "once_rows.h"

#include <algorithm>

namespace colxtr {

void OnceRows::reset(std::size_t n_numbers, std::size_t size) {
    const std::uint32_t n_claimed = n_claimed_.exchange(0, std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < n_claimed; ++i)
        places_[numbers_[i]].store(NOBODY, std::memory_order_relaxed);
    if (n_numbers > n_numbers_) {
        places_.reset(new std::atomic<std::uint32_t>[n_numbers]());
        numbers_.resize(n_numbers);
        n_numbers_ = n_numbers;
    }
    if (size > most_size_) {
        chunks_.clear();
        most_size_ = size;
        for (shift_ = 0; (most_size_ << (shift_ + 1)) <= CHUNK; ++shift_) continue;
    }
    chunks_.resize((n_numbers_ >> shift_) + 1);
    size_ = size;
}

std::uint32_t OnceRows::claim(std::uint32_t number) {
    std::uint32_t nobody = NOBODY;
    if (!places_[number].compare_exchange_strong(nobody, CLAIMED, std::memory_order_relaxed))
        return NONE;
    const std::uint32_t place = n_claimed_.fetch_add(1, std::memory_order_relaxed);
    numbers_[place] = number;
    return place;
}

void OnceRows::make_room(std::uint32_t place) {
    const std::lock_guard<std::mutex> guard(growing_);
    for (std::size_t chunk = 0; chunk <= place >> shift_; ++chunk)
        if (!chunks_[chunk]) chunks_[chunk].reset(new float[most_size_ << shift_]);
}

std::size_t OnceRows::bytes() const {
    const auto there = [](const std::unique_ptr<float[]>& chunk) { return chunk != nullptr; };
    const auto n_chunks = std::count_if(chunks_.begin(), chunks_.end(), there);
    return n_numbers_ * 2 * sizeof(std::uint32_t) +
           (static_cast<std::size_t>(n_chunks) * most_size_ << shift_) * sizeof(float);
}

}  // namespace colxtr
