#include "runtime/buffer/frame_chain.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/base/recycler.h"

namespace weir::runtime {

void FrameChain::FreeBlock() {
  Recycler::ThisThread().Free(block_, sizeof(Block));
  head_.spilled = 0;
}

void FrameChain::DropUnusual(Frame* frame) {
  if (frame->pool->here()) return Unref(frame);
  frame->pool->GiveBack({&frame, 1}, nullptr, 0);
}

void FrameChain::ReleaseMany() {
  std::span<Frame* const> all(frames() + head_.first, head_.count);
  if (!all.empty() && !all.front()->pool->here()) {
    // The block goes with the last of them: the owner's Recycler would have to make a new one otherwise, each time.
    while (!all.empty()) {
      FramePool& pool = *all.front()->pool;
      size_t n = 1;
      while (n < all.size() && all[n]->pool == &pool) ++n;
      const std::span<Frame* const> same = all.first(n);
      all = all.subspan(n);
      pool.GiveBack(same, all.empty() && head_.spilled != 0 ? block_ : nullptr, sizeof(Block));
    }
    head_.spilled = 0;
    return;
  }
  for (Frame* frame : all) Unref(frame);
  if (head_.spilled != 0) FreeBlock();
}

void FrameChain::Spill() {
  auto* block = static_cast<Block*>(Recycler::ThisThread().Alloc(sizeof(Block)));
  for (uint32_t i = 0; i < head_.count; ++i) {
    block->iov[i] = inline_.iov[head_.first + i];
    block->frames[i] = inline_.frames[head_.first + i];
  }
  head_.first = 0;
  head_.spilled = 1;
  block_ = block;
}

void FrameChain::Compact() {
  std::move(iov() + head_.first, iov() + head_.first + head_.count, iov());
  std::move(frames() + head_.first, frames() + head_.first + head_.count, frames());
  head_.first = 0;
}

// For one more slice at the end.
void FrameChain::MakeRoom() {
  WEIR_DCHECK(!full());
  const uint32_t capacity = head_.spilled != 0 ? kMaxSlices : kInlineSlices;
  if (head_.first + head_.count < capacity) return;
  if (head_.count == capacity) {
    Spill();
  } else {
    Compact();
  }
}

std::span<std::byte> FrameChain::OwnFrame() const {
  if (head_.count != 1) return {};
  const Frame& frame = *front_frame();
  if (!frame.alone()) return {};
  auto* const begin = static_cast<std::byte*>(iov()[head_.first].iov_base);
  return {begin, frame.base + frame.pool->frame_size()};
}

void FrameChain::Resize(size_t n) {
  WEIR_DCHECK(n > 0 && n <= OwnFrame().size());
  iov()[head_.first].iov_len = n;
  head_.size = static_cast<uint32_t>(n);
}

FrameChain FrameChain::Share() const {
  FrameChain other;
  for (uint32_t i = head_.first; i < head_.first + head_.count; ++i) {
    Ref(frames()[i]);
    other.Append(frames()[i], {static_cast<const std::byte*>(iov()[i].iov_base), iov()[i].iov_len});
  }
  return other;
}

void FrameChain::Append(FrameChain&& other) {
  while (other.head_.count > 0 && !full()) {
    std::span<std::byte> bytes;
    Frame* frame = other.PopFront(&bytes);
    Append(frame, bytes);
  }
}

Frame* FrameChain::PopFront(std::span<std::byte>* bytes) {
  WEIR_DCHECK(head_.count > 0);
  const iovec& slice = iov()[head_.first];
  *bytes = {static_cast<std::byte*>(slice.iov_base), slice.iov_len};
  Frame* frame = frames()[head_.first];
  head_.size -= static_cast<uint32_t>(bytes->size());
  ++head_.first;
  --head_.count;
  return frame;
}

void FrameChain::Consume(size_t n) {
  WEIR_CHECK(n <= head_.size);
  while (n > 0) {
    iovec& slice = iov()[head_.first];
    if (n < slice.iov_len) {
      slice.iov_base = static_cast<std::byte*>(slice.iov_base) + n;
      slice.iov_len -= n;
      head_.size -= static_cast<uint32_t>(n);
      return;
    }
    n -= slice.iov_len;
    std::span<std::byte> gone;
    Drop(PopFront(&gone));
  }
}

FrameChain FrameChain::Split(size_t n) {
  WEIR_CHECK(n <= head_.size);
  if (n == head_.size) return std::move(*this);
  FrameChain front;
  while (n > 0) {
    const iovec& slice = iov()[head_.first];
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
