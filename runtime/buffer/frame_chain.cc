#include "runtime/buffer/frame_chain.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/base/recycler.h"

namespace weir::runtime {

void FrameChain::FreeBlock() { Recycler::ThisThread().Free(std::exchange(block_, nullptr), sizeof(Block)); }

void FrameChain::Spill() {
  auto* block = static_cast<Block*>(Recycler::ThisThread().Alloc(sizeof(Block)));
  for (uint32_t i = 0; i < count_; ++i) {
    block->iov[i] = inline_iov_[first_ + i];
    block->frames[i] = inline_frames_[first_ + i];
  }
  first_ = 0;
  block_ = block;
}

void FrameChain::Compact() {
  std::move(iov() + first_, iov() + first_ + count_, iov());
  std::move(frames() + first_, frames() + first_ + count_, frames());
  first_ = 0;
}

// For one more slice at the end.
void FrameChain::MakeRoom() {
  WEIR_DCHECK(!full());
  const uint32_t capacity = block_ != nullptr ? kMaxSlices : kInlineSlices;
  if (first_ + count_ < capacity) return;
  if (count_ == capacity) {
    Spill();
  } else {
    Compact();
  }
}

FrameChain FrameChain::Share() const {
  FrameChain other;
  for (uint32_t i = first_; i < first_ + count_; ++i) {
    Ref(frames()[i]);
    other.Append(frames()[i], {static_cast<const std::byte*>(iov()[i].iov_base), iov()[i].iov_len});
  }
  return other;
}

void FrameChain::Append(FrameChain&& other) {
  while (other.count_ > 0 && !full()) {
    std::span<std::byte> bytes;
    Frame* frame = other.PopFront(&bytes);
    Append(frame, bytes);
  }
}

Frame* FrameChain::PopFront(std::span<std::byte>* bytes) {
  WEIR_DCHECK(count_ > 0);
  const iovec& slice = iov()[first_];
  *bytes = {static_cast<std::byte*>(slice.iov_base), slice.iov_len};
  Frame* frame = frames()[first_];
  size_ -= bytes->size();
  ++first_;
  --count_;
  return frame;
}

void FrameChain::Consume(size_t n) {
  WEIR_CHECK(n <= size_);
  while (n > 0) {
    iovec& slice = iov()[first_];
    if (n < slice.iov_len) {
      slice.iov_base = static_cast<std::byte*>(slice.iov_base) + n;
      slice.iov_len -= n;
      size_ -= n;
      return;
    }
    n -= slice.iov_len;
    std::span<std::byte> gone;
    Unref(PopFront(&gone));
  }
}

FrameChain FrameChain::Split(size_t n) {
  WEIR_CHECK(n <= size_);
  if (n == size_) return std::move(*this);
  FrameChain front;
  while (n > 0) {
    const iovec& slice = iov()[first_];
    if (n < slice.iov_len) {
      Ref(front_frame());
      front.Append(front_frame(), {static_cast<const std::byte*>(slice.iov_base), n});
      Consume(n);
      break;
    }
    n -= slice.iov_len;
    std::span<std::byte> bytes;
    Frame* frame = PopFront(&bytes);
    front.Append(frame, bytes);
  }
  return front;
}

size_t FrameChain::CopyTo(std::span<std::byte> out, size_t offset) const {
  size_t copied = 0;
  for (const iovec& slice : buffers()) {
    if (offset >= slice.iov_len) {
      offset -= slice.iov_len;
      continue;
    }
    if (copied == out.size()) break;
    const size_t n = std::min(slice.iov_len - offset, out.size() - copied);
    std::memcpy(out.data() + copied, static_cast<const std::byte*>(slice.iov_base) + offset, n);
    copied += n;
    offset = 0;
  }
  return copied;
}

std::optional<size_t> FrameChain::Find(std::byte byte, size_t from) const {
  size_t position = 0;
  for (const iovec& slice : buffers()) {
    if (from < position + slice.iov_len) {
      const size_t skip = from > position ? from - position : 0;
      const auto* start = static_cast<const std::byte*>(slice.iov_base);
      const void* hit = std::memchr(start + skip, std::to_integer<int>(byte), slice.iov_len - skip);
      if (hit != nullptr) return position + static_cast<size_t>(static_cast<const std::byte*>(hit) - start);
    }
    position += slice.iov_len;
  }
  return std::nullopt;
}

}  // namespace weir::runtime
