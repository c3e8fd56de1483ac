// Memory of a search, kept for the next one: pages that the system hands out anew at every query
// cost more than the arithmetic on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "once_rows.h"

namespace colxtr {

// Memory on a cache line that grows; what is in it is lost then, unless `kept` says how much stays.
template <typename T>
class Room {
 public:
    Room() = default;
    Room(Room&& other) noexcept : values_(other.values_), size_(other.size_) {
        other.values_ = nullptr;
        other.size_ = 0;
    }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;
    ~Room() { ::operator delete(values_, std::align_val_t(64)); }

    T* of(std::size_t size, std::size_t kept = 0) {
        if (size > size_) {
            T* larger = static_cast<T*>(::operator new(size * sizeof(T), std::align_val_t(64)));
            for (std::size_t i = 0; i < kept; ++i) larger[i] = values_[i];
            ::operator delete(values_, std::align_val_t(64));
            values_ = larger;
            size_ = size;
        }
        return values_;
    }
    T* data() { return values_; }
    const T* data() const { return values_; }
    std::size_t bytes() const { return size_ * sizeof(T); }

 private:
    T* values_ = nullptr;
    std::size_t size_ = 0;
};

struct Workspace {
    struct Part {  // of one thread
        Room<float> rows, best;
        Room<std::uint8_t> levels;
        Room<std::uint32_t> touched, sums;
        // The slot of each document of the collection, NO_SLOT between queries.
        std::vector<std::uint32_t> slots;
    };
    static constexpr std::uint32_t NO_SLOT = UINT32_MAX;

    Room<float> products, bases;
    Room<std::uint8_t> levels;
    OnceRows known;  // products with some centroids
    std::vector<Part> parts;

    std::size_t bytes() const;
};

// A workspace, back among the free ones at the end.
class Lease {
 public:
    Lease();
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace* operator->() const { return workspace_.get(); }
    Workspace& operator*() const { return *workspace_; }

 private:
    std::unique_ptr<Workspace> workspace_;
};

}  // namespace colxtr
