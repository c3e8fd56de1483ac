// Memory that starts on a cache line, so that no vector load crosses two of them.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

namespace colxtr {

template <typename T>
class Buffer {
   public:
    Buffer() = default;
    // `size` values, all zero.
    explicit Buffer(std::size_t size) : size_(size) {
        if (size == 0) return;
        values_ = static_cast<T *>(::operator new(size * sizeof(T), std::align_val_t(64)));
        std::memset(values_, 0, size * sizeof(T));
    }
    Buffer(Buffer &&other) noexcept
        : values_(std::exchange(other.values_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Buffer &operator=(Buffer &&other) noexcept {
        std::swap(values_, other.values_);
        std::swap(size_, other.size_);
        return *this;
    }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    ~Buffer() { ::operator delete(values_, std::align_val_t(64)); }

    T *data() { return values_; }
    const T *data() const { return values_; }
    std::size_t size() const { return size_; }
    T &operator[](std::size_t i) { return values_[i]; }
    const T &operator[](std::size_t i) const { return values_[i]; }

   private:
    T *values_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace colxtr
