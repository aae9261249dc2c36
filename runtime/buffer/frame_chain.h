// FrameChain: an ordered chain of slices, each a piece of a frame on which the chain holds one reference. It is
// the common body of RecvBuffer and SendBuffer.
//
// The first few slices lie inside the object; a longer chain moves to a recycled block of kMaxSlices. Move-only.
// Belongs to the shard whose pool its frames come from. It may be moved to another thread, which may read it (buffers,
// CopyTo, Find, a RecvReader) and drop it, as a whole or from the front: the frames then go home by themselves
// (FramePool::GiveBack). Everything else, Split, Share and sending among that, is for the shard's own thread.
#ifndef RUNTIME_BUFFER_FRAME_CHAIN_H_
#define RUNTIME_BUFFER_FRAME_CHAIN_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
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

  FrameChain() {}
  // Of one slice, as Append makes it.
  FrameChain(Frame* frame, std::span<const std::byte> bytes)
      : head_{.size = static_cast<uint32_t>(bytes.size()), .count = 1} {
    inline_.iov[0] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
    inline_.frames[0] = frame;
  }
  FrameChain(FrameChain&& other) noexcept { MoveFrom(other); }
  FrameChain& operator=(FrameChain&& other) noexcept {
    if (this != &other) {
      Clear();
      MoveFrom(other);
    }
    return *this;
  }
  ~FrameChain() { Release(); }

  // The bytes, in order. Valid until the chain is changed, moved or destroyed.
  std::span<const iovec> buffers() const { return {iov() + head_.first, head_.count}; }
  size_t size() const { return head_.size; }
  bool empty() const { return head_.size == 0; }
  bool full() const { return head_.count == kMaxSlices; }

  // Appends `bytes`, which lie in `frame`; the chain takes over one reference. Not to be called when full().
  void Append(Frame* frame, std::span<const std::byte> bytes) {
    if (head_.spilled != 0 || head_.first + head_.count == kInlineSlices) [[unlikely]] MakeRoom();
    const uint32_t at = head_.first + head_.count++;
    iov()[at] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
    frames()[at] = frame;
    head_.size += static_cast<uint32_t>(bytes.size());
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
    Release();
    head_ = Head();
  }
  // The bytes and the free memory behind them, when they lie in one frame that nobody else uses: an answer may be written
  // where the question is. Else empty.
  std::span<std::byte> OwnFrame() const;
  // What of that the chain is from now on, from its front: at least one byte, and at most all.
  void Resize(size_t n);
  // Another chain of the same bytes, with references of its own. Nothing may be written into either then.
  FrameChain Share() const;

  // The first slice's frame, without giving up its reference; the slice is buffers()[0].
  Frame* front_frame() const { return frames()[head_.first]; }
  // Takes the first slice off; the caller gets its reference. The slice is not empty.
  Frame* PopFront(std::span<std::byte>* bytes);

 private:
  struct Block {
    iovec iov[kMaxSlices];
    Frame* frames[kMaxSlices];
  };

  const iovec* iov() const { return head_.spilled != 0 ? block_->iov : inline_.iov; }
  iovec* iov() { return head_.spilled != 0 ? block_->iov : inline_.iov; }
  Frame* const* frames() const { return head_.spilled != 0 ? block_->frames : inline_.frames; }
  Frame** frames() { return head_.spilled != 0 ? block_->frames : inline_.frames; }
  void MoveFrom(FrameChain& other) noexcept {
    head_ = std::exchange(other.head_, Head());
    // All of them, used or not: less work than to see which.
    std::memcpy(&inline_, &other.inline_, sizeof inline_);
  }
  // Gives the frames back. Most chains have one slice, or none.
  void Release() {
    if (head_.one()) [[likely]] return Drop(inline_.frames[0]);
    if (head_.any()) [[unlikely]] ReleaseMany();
  }
  // A call, with nothing to save and to restore on the way of nearly all: of this thread, and nobody else's.
  [[gnu::noinline]] static void Drop(Frame* frame) {
    FramePool& pool = *frame->pool;
    if (pool.here() && frame->alone()) [[likely]] return pool.FreeAlone(frame);
    DropUnusual(frame);
  }
  [[gnu::noinline]] static void DropUnusual(Frame* frame);
  void ReleaseMany();
  void MakeRoom();
  void Spill();
  void Compact();
  void FreeBlock();

  // Moved as one: a value that was written in pieces and is read whole makes a processor wait.
  struct Head {
    uint32_t size = 0;  // of kMaxSlices frames at most
    uint8_t first = 0;  // slices before it are consumed
    uint8_t count = 0;
    uint16_t spilled = 0;  // 1: the slices lie in block_

    // Of the three, as one number.
    uint32_t slices() const { return first | uint32_t{count} << 8 | uint32_t{spilled} << 16; }
    // The first slice, and no other, lies in the object.
    bool one() const { return slices() == 1 << 8; }
    bool any() const { return slices() >= 1 << 8; }
  };
  struct Inline {
    iovec iov[kInlineSlices];
    Frame* frames[kInlineSlices];
  };
  Head head_;
  union {
    Inline inline_;
    Block* block_;
  };
};

}  // namespace weir::runtime

#endif  // RUNTIME_BUFFER_FRAME_CHAIN_H_
