// FramePool: the frames of one shard. One contiguous, page-aligned piece of memory (huge pages when there are
// any), cut into frames of 2048 or 4096 bytes; the xdp backend registers it as UMEM, the kernel backend takes
// its io_uring provided buffers from it. Nothing is allocated after Create.
//
// A pool belongs to one thread. It may be given up (Release) while frames are still out, because a program may
// keep a RecvBuffer longer than its Host: the memory stays readable until the last frame came back.
#ifndef RUNTIME_BUFFER_FRAME_POOL_H_
#define RUNTIME_BUFFER_FRAME_POOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/buffer/frame.h"

namespace weir::runtime {

class FramePool {
 public:
  struct Options {
    uint32_t frame_size = 2048;  // 2048 or 4096 (an AF_XDP chunk)
    uint32_t frames = 16384;
    // The memory is there from the start, in huge pages if there are any; else when it is first used.
    bool populate = true;
  };
  // Whom a frame may count against that a program keeps.
  enum class Holder : uint8_t { kTcp, kUdp };
  using OnReturn = void (*)(void* holder);
  struct Deleter {
    void operator()(FramePool* pool) const { pool->Release(); }
  };
  using Ptr = std::unique_ptr<FramePool, Deleter>;

  static absl::StatusOr<Ptr> Create(const Options& options);

  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  // A frame with one reference, empty, with `headroom` bytes in front; nullptr when the pool is empty.
  Frame* Alloc(uint32_t headroom = kTxHeadroom) {
    Frame* frame = free_;
    if (frame == nullptr) [[unlikely]] {
      ++exhausted_;
      return nullptr;
    }
    free_ = frame->next;
    --free_count_;
    frame->next = nullptr;
    frame->refs = 1;
    frame->data = frame->base + headroom;
    frame->len = 0;
    return frame;
  }

  // Puts back a frame whose last reference went; callers use Unref. One that is still being read (tx_pending) is
  // retired: never handed out nor written to again, for nobody will say when the reading ends.
  void Free(Frame* frame) {
    WEIR_DCHECK(frame->pool == this && frame->refs == 0);
    if ((frame->tx_pending | released_) != 0 || frame->charged()) [[unlikely]] return FreeUnusual(frame);
    PutBack(frame);
  }

  // From now on `frame`, which is in no queue, counts against `holder`, an aligned object, until it comes back to the pool
  // or is discharged; then its kind's function is called (skb->destructor, sock_rfree).
  void Charge(Frame* frame, Holder kind, void* holder) {
    WEIR_DCHECK(!frame->charged());
    const uintptr_t bits = Frame::kCharged | (kind == Holder::kTcp ? 0 : Frame::kOtherKind);
    frame->next = reinterpret_cast<Frame*>(reinterpret_cast<uintptr_t>(holder) | bits);
    ++charged_;
  }
  void SetOnReturn(Holder kind, OnReturn on_return) { on_return_[static_cast<size_t>(kind)] = on_return; }
  OnReturn on_return(Holder kind) const { return on_return_[static_cast<size_t>(kind)]; }
  // Whoever they counted against is gone.
  void ForgetHolders();
  // Frames that count against somebody.
  uint32_t charged() const { return charged_; }

  std::span<std::byte> memory() const { return {memory_, size_t{size()} * frame_size_}; }
  uint32_t frame_size() const { return frame_size_; }
  uint32_t size() const { return static_cast<uint32_t>(frames_.size()); }
  uint32_t free_count() const { return free_count_; }
  uint32_t outstanding() const { return size() - free_count_; }  // retired ones too
  // No more than a sixteenth is left: what waits for somebody who may never come gets none of it.
  bool short_of_frames() const { return free_count_ <= last_frames_; }
  uint32_t retired() const { return retired_; }
  uint64_t exhausted() const { return exhausted_; }
  bool huge_pages() const { return huge_pages_; }

  // The frame that the byte at `offset` from the start of memory() lies in.
  Frame& FrameAt(uint64_t offset) { return frames_[offset >> frame_shift_]; }
  uint64_t OffsetOf(const std::byte* p) const { return static_cast<uint64_t>(p - memory_); }
  uint32_t IndexOf(const Frame& frame) const {
    return static_cast<uint32_t>(&frame - frames_.data());
  }
  Frame& operator[](uint32_t index) { return frames_[index]; }

 private:
  FramePool() = default;
  ~FramePool();
  void PutBack(Frame* frame) {
#ifndef NDEBUG
    Poison(frame);
#endif
    frame->next = free_;
    free_ = frame;
    ++free_count_;
  }
  friend void Discharge(Frame* frame);
  void DischargeCharged(Frame* frame);
  void FreeUnusual(Frame* frame);
  void Release();
  void MaybeDelete();
  void Poison(Frame* frame);

  std::byte* memory_ = nullptr;
  size_t mapped_ = 0;
  uint32_t frame_size_ = 0;
  uint32_t frame_shift_ = 0;
  uint32_t free_count_ = 0;
  uint32_t last_frames_ = 0;  // a sixteenth of all
  uint32_t retired_ = 0;
  uint32_t charged_ = 0;
  bool huge_pages_ = false;
  bool released_ = false;
  uint64_t exhausted_ = 0;
  OnReturn on_return_[2] = {};
  Frame* free_ = nullptr;
  std::vector<Frame> frames_;
};

inline void Ref(Frame* frame) {
  WEIR_DCHECK(frame->refs > 0);
  ++frame->refs;
}

// Drops one reference; the last one gives the frame back to its pool.
inline void Unref(Frame* frame) {
  WEIR_DCHECK(frame->refs > 0);
  if (--frame->refs == 0) frame->pool->Free(frame);
}

// Before a frame that a program kept goes into a queue of the stack.
inline void Discharge(Frame* frame) {
  if (frame->charged()) frame->pool->DischargeCharged(frame);
}

inline uint32_t Frame::tailroom() const {
  return pool->frame_size() - static_cast<uint32_t>(data - base) - len;
}

}  // namespace weir::runtime

#endif  // RUNTIME_BUFFER_FRAME_POOL_H_
