// The best few of many.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace colxtr {

struct Scored {
    float score;
    std::uint64_t number;
};

// The order of every ranking: the higher score first, equals by number.
inline bool before(const Scored& a, const Scored& b) {
    return a.score > b.score || (a.score == b.score && a.number < b.number);
}

class Top {
 public:
    explicit Top(std::size_t k) : k_(k) {}

    // A score must be at least this to come in.
    float floor() const {
        return heap_.size() < k_ ? -std::numeric_limits<float>::infinity() : heap_.front().score;
    }

    void offer(Scored candidate) {
        if (heap_.size() < k_) {
            heap_.push_back(candidate);
            std::push_heap(heap_.begin(), heap_.end(), before);
        } else if (k_ > 0 && before(candidate, heap_.front())) {
            replace_worst(candidate);
        }
    }

    void offer(const Top& others) {
        for (const Scored& other : others.heap_) offer(other);
    }

    bool is_full() const { return heap_.size() == k_; }

    // The best first.
    std::vector<Scored> sorted() const {
        std::vector<Scored> found = heap_;
        std::sort(found.begin(), found.end(), before);
        return found;
    }

 private:
    // The candidate sinks from the top to where it belongs.
    void replace_worst(Scored candidate) {
        std::size_t at = 0;
        for (std::size_t child = 1; child < k_; child = 2 * at + 1) {
            if (child + 1 < k_ && before(heap_[child], heap_[child + 1])) ++child;
            if (!before(candidate, heap_[child])) break;
            heap_[at] = heap_[child];
            at = child;
        }
        heap_[at] = candidate;
    }

    std::size_t k_;
    std::vector<Scored> heap_;  // the worst on top
};

}  // namespace colxtr
