// A first-in first-out queue of at most Capacity elements, in place. Capacity is a power of two.
#ifndef RUNTIME_BASE_FIXED_RING_H_
#define RUNTIME_BASE_FIXED_RING_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "runtime/base/check.h"

namespace weir::runtime {

template <typename T>
class FixedRing {
 public:
  // Rounds `capacity` up to a power of two; the memory is allocated here and never again.
  explicit FixedRing(size_t capacity)
      : mask_(std::bit_ceil(capacity) - 1), slots_(std::make_unique<T[]>(mask_ + 1)) {}

  size_t size() const { return tail_ - head_; }
  size_t capacity() const { return mask_ + 1; }
  bool empty() const { return head_ == tail_; }
  bool full() const { return size() == capacity(); }

  // False, and `value` untouched, when the ring is full.
  bool Push(T value) {
    if (full()) return false;
    slots_[tail_++ & mask_] = std::move(value);
    return true;
  }
  // The place behind the last element, to be assigned before anything else is called; nullptr when the ring is full.
  T* PushSlot() { return full() ? nullptr : &slots_[tail_++ & mask_]; }
  T& Front() {
    WEIR_DCHECK(!empty());
    return slots_[head_ & mask_];
  }
  // Takes Front() out, which the caller has moved from.
  void DropFront() {
    WEIR_DCHECK(!empty());
    ++head_;
  }
  T Pop() {
    WEIR_DCHECK(!empty());
    return std::move(slots_[head_++ & mask_]);
  }
  // Element `i` counted from the oldest.
  T& At(size_t i) {
    WEIR_DCHECK(i < size());
    return slots_[(head_ + i) & mask_];
  }

 private:
  size_t mask_;
  size_t head_ = 0;
  size_t tail_ = 0;
  std::unique_ptr<T[]> slots_;
};

}  // namespace weir::runtime

#endif  // RUNTIME_BASE_FIXED_RING_H_
