// FrameChain: an ordered chain of slices, each a piece of a frame on which the chain holds one reference. It is
// the common body of RecvBuffer and SendBuffer.
//
// The first few slices lie inside the object; a longer chain moves to a recycled block of kMaxSlices. Move-only.
// Belongs to the shard whose pool its frames come from.
#ifndef RUNTIME_BUFFER_FRAME_CHAIN_H_
#define RUNTIME_BUFFER_FRAME_CHAIN_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "runtime/buffer/frame_pool.h"

namespace weir::runtime {

class FrameChain {
 public:
  static constexpr size_t kInlineSlices = 2;
  // A receive call hands out at most this much, the same as one burst of the link.
  static constexpr size_t kMaxSlices = 64;

  FrameChain() = default;
  FrameChain(FrameChain&& other) noexcept { MoveFrom(other); }
  FrameChain& operator=(FrameChain&& other) noexcept {
    if (this != &other) {
      Clear();
      MoveFrom(other);
    }
    return *this;
  }
  ~FrameChain() {
    if (count_ > 0 || block_ != nullptr) Clear();
  }

  // The bytes, in order. Valid until the chain is changed, moved or destroyed.
  std::span<const iovec> buffers() const { return {iov() + first_, count_}; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool full() const { return count_ == kMaxSlices; }

  // Appends `bytes`, which lie in `frame`; the chain takes over one reference. Not to be called when full().
  void Append(Frame* frame, std::span<const std::byte> bytes) {
    if (block_ != nullptr || first_ + count_ == kInlineSlices) [[unlikely]] MakeRoom();
    const uint32_t at = first_ + count_++;
    iov()[at] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
    frames()[at] = frame;
    size_ += bytes.size();
  }
  // Moves slices from the front of `other` to the end until this chain is full.
  void Append(FrameChain&& other);
  // Drops `n` bytes from the front, giving back the frames that hold nothing more; n <= size().
  void Consume(size_t n);
  // Cuts off the first `n` bytes; a frame that both parts lie in is then shared.
  FrameChain Split(size_t n);
  // Copies up to out.size() bytes from the front, from `offset` on; returns how many.
  size_t CopyTo(std::span<std::byte> out, size_t offset = 0) const;
  // Position of the first `byte` at or after `from`.
  std::optional<size_t> Find(std::byte byte, size_t from = 0) const;
  void Clear() {
    Frame** frame = frames();
    for (uint32_t i = first_; i < first_ + count_; ++i) Unref(frame[i]);
    size_ = first_ = count_ = 0;
    if (block_ != nullptr) [[unlikely]] FreeBlock();
  }
  // Another chain of the same bytes, with references of its own. Nothing may be written into either then.
  FrameChain Share() const;

  // The first slice's frame, without giving up its reference; the slice is buffers()[0].
  Frame* front_frame() const { return frames()[first_]; }
  // Takes the first slice off; the caller gets its reference. The slice is not empty.
  Frame* PopFront(std::span<std::byte>* bytes);

 private:
  struct Block {
    iovec iov[kMaxSlices];
    Frame* frames[kMaxSlices];
  };

  const iovec* iov() const { return block_ != nullptr ? block_->iov : inline_iov_; }
  iovec* iov() { return block_ != nullptr ? block_->iov : inline_iov_; }
  Frame* const* frames() const { return block_ != nullptr ? block_->frames : inline_frames_; }
  Frame** frames() { return block_ != nullptr ? block_->frames : inline_frames_; }
  void MoveFrom(FrameChain& other) noexcept {
    size_ = std::exchange(other.size_, 0);
    first_ = std::exchange(other.first_, 0);
    count_ = std::exchange(other.count_, 0);
    block_ = std::exchange(other.block_, nullptr);
    if (block_ != nullptr) return;
    for (uint32_t i = first_; i < first_ + count_; ++i) {
      inline_iov_[i] = other.inline_iov_[i];
      inline_frames_[i] = other.inline_frames_[i];
    }
  }
  void MakeRoom();
  void Spill();
  void Compact();
  void FreeBlock();

  size_t size_ = 0;
  uint32_t first_ = 0;  // slices before it are consumed
  uint32_t count_ = 0;
  Block* block_ = nullptr;
  iovec inline_iov_[kInlineSlices];
  Frame* inline_frames_[kInlineSlices];
};

}  // namespace weir::runtime

#endif  // RUNTIME_BUFFER_FRAME_CHAIN_H_
