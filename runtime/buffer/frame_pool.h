// FramePool: the frames of one shard. One contiguous, page-aligned piece of memory (memory_area.h), cut into frames of
// 2048 or 4096 bytes; the xdp backend registers it as UMEM, the kernel backend takes its io_uring provided buffers from
// it. Nothing is allocated after Create.
//
// A pool belongs to the thread that made it. A chain of frames that ends on another thread goes home by GiveBack: the
// reference counts are the owner's, so the references wait in a list until that takes them (runtime/io/frame_returns.h
// has its mailbox told).
//
// It may be given up (Release) while frames are still out, because a program may keep a RecvBuffer longer than its Host:
// the memory stays readable until the last frame came back, on whatever thread.
//
// Debug builds (without NDEBUG) catch a reference given back twice, and a frame that was written to after it was given
// back, at the latest when it is handed out again; with AddressSanitizer every access to a free frame.
#ifndef RUNTIME_BUFFER_FRAME_POOL_H_
#define RUNTIME_BUFFER_FRAME_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/recycler.h"
#include "runtime/buffer/frame.h"
#include "runtime/buffer/memory_area.h"

#if !defined(NDEBUG) || defined(WEIR_RECYCLER_OFF)
#define WEIR_FRAMES_WATCHED 1
#endif

namespace weir::runtime {

// Whom frames count against that a program keeps, or that wait for it: a socket (sk_rmem_alloc).
class FrameHolder {
 public:
  enum class Kind : uint8_t { kTcp, kUdp, kKernel };
  static constexpr size_t kKinds = 3;

  explicit FrameHolder(Kind kind) : word_(static_cast<uint32_t>(kind) * kKindOne) {}

  Kind kind() const { return static_cast<Kind>(word_ / kKindOne % 4); }

  // Frames.
  uint32_t held() const { return word_ / kOne; }
  // Ever.
  bool has_held() const { return (word_ & kHasHeld) != 0; }
  void NoteHolds() { word_ |= kHasHeld; }
  // It is told of each that comes back.
  bool tell() const { return (word_ & kTell) != 0; }
  void set_tell(bool on) { word_ = (word_ & ~kTell) | (on ? kTell : 0); }
  // Nobody holds the socket any more but these frames.
  bool leftover() const { return (word_ & kLeftover) != 0; }
  void BecomeLeftover() { word_ |= kLeftover | kTell; }
  // The frames no longer say whom they belong to.
  void ForgetHeld() { word_ %= kOne; }

  // Frames that count against it without saying so.
  void Take(uint32_t frames) { word_ += frames * kOne; }
  void PutBack(uint32_t frames) { word_ -= frames * kOne; }

 private:
  friend class FramePool;
  static constexpr uint32_t kTell = 1;
  static constexpr uint32_t kHasHeld = 2;
  static constexpr uint32_t kLeftover = 4;
  static constexpr uint32_t kKindOne = 8;  // two bits
  static constexpr uint32_t kOne = 32;

  uint32_t word_;  // the number and five bits: what derives from it has no room for more
};

class FramePool {
 public:
  struct Options {
    uint32_t frame_size = 2048;  // 2048 or 4096 (an AF_XDP chunk)
    uint32_t frames = 16384;
    // The memory is there from the start, in huge pages if there are any; else when it is first used.
    bool populate = true;
  };
  using OnReturn = void (*)(FrameHolder& holder);
  struct Deleter {
    void operator()(FramePool* pool) const { pool->Release(); }
  };
  using Ptr = std::unique_ptr<FramePool, Deleter>;

  static absl::StatusOr<Ptr> Create(const Options& options);

  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  // A frame with one reference, empty, with `headroom` bytes in front; nullptr when the pool is empty.
  Frame* Alloc(uint32_t headroom = kTxHeadroom) {
    if (free_ == nullptr) [[unlikely]] {
      if (TakeReturned() == 0 || free_ == nullptr) {
        ++exhausted_;
        return nullptr;
      }
    }
    Frame* frame = free_;
#ifdef WEIR_FRAMES_WATCHED
    EndWatch(frame);
#endif
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
    if ((frame->tx_pending | released_) != 0) [[unlikely]] return FreeUnusual(frame);
    FreeUsual(frame);
  }
  // The same, with its last reference, of one that is alone(), on the owner's thread.
  void FreeAlone(Frame* frame) {
    WEIR_DCHECK(frame->pool == this && frame->alone() && here());
    frame->refs = 0;
    FreeUsual(frame);
  }

  // From now on `frame`, which is in no queue that is linked by `next`, counts against `holder`, until it comes back to
  // the pool or is discharged (skb->destructor, sock_rfree). `on_return` of its kind is then called, if the holder
  // wants that; it must take no frame and give none back.
  void Charge(Frame* frame, FrameHolder& holder) {
    holder.Take(1);
    ChargeTaken(frame, holder);
  }
  // The same of a frame that counts already, without saying so.
  void ChargeTaken(Frame* frame, FrameHolder& holder) {
    WEIR_DCHECK(frame->next == nullptr);
    frame->next = reinterpret_cast<Frame*>(reinterpret_cast<uintptr_t>(&holder) + Frame::kCharged);
    ++charged_;
  }
  void SetOnReturn(FrameHolder::Kind kind, OnReturn on_return) { on_return_[static_cast<size_t>(kind)] = on_return; }
  OnReturn on_return(FrameHolder::Kind kind) const { return on_return_[static_cast<size_t>(kind)]; }
  // Whoever frames counted against is gone.
  void ForgetHolders();
  // Frames that count against somebody.
  uint32_t charged() const { return charged_; }

  // Whether this is the owner's thread, and the pool is not given up.
  bool here() const { return owner_.load(std::memory_order_relaxed) == __builtin_thread_pointer(); }
  bool given_up() const { return owner_.load(std::memory_order_relaxed) == nullptr; }
  // From any thread: gives back one reference on each of `frames`, and what the Recycler is to get, `block` (nullptr:
  // nothing) of `block_size` bytes. On another thread than the owner's; or on any when the pool was given up.
  void GiveBack(std::span<Frame* const> frames, void* block, size_t block_size);
  // On the owner's thread: takes in what others gave back, and returns how many references that were. The pool does so by
  // itself when it has no free frame.
  size_t TakeReturned();
  // `notify(argument)` is called, on the thread that gives back, when something was returned, and then not before the
  // next NoteReturned(), which the owner's thread calls for it and which takes in what there is. nullptr: nobody is told.
  void NotifyReturns(void (*notify)(void* argument), void* argument);
  size_t NoteReturned();

  std::span<std::byte> memory() const { return {memory_, size_t{size()} * frame_size_}; }
  uint32_t frame_size() const { return frame_size_; }
  uint32_t size() const { return static_cast<uint32_t>(frames_.size()); }
  uint32_t free_count() const { return free_count_; }
  uint32_t outstanding() const { return size() - free_count_; }  // retired ones too
  // No more than a sixteenth is left: what waits for somebody who may never come gets none of it.
  bool short_of_frames() const { return free_count_ <= last_frames_; }
  uint32_t retired() const { return retired_; }
  uint64_t exhausted() const { return exhausted_; }
  Pages pages() const { return area_.pages(); }
  // "16384 frames of 2048 bytes, 32 MiB in 4 KiB pages"
  std::string Describe() const;

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
#ifdef WEIR_FRAMES_WATCHED
    Watch(frame);
#endif
    frame->next = free_;
    free_ = frame;
    ++free_count_;
  }
  friend void Discharge(Frame* frame);
  // What it counts against is asked first and told last, so that nothing is kept meanwhile but one pointer.
  void FreeUsual(Frame* frame) {
    Frame* const next = frame->next;
    const bool charged = frame->charged();
    PutBack(frame);
    if (charged) Uncharge(next);
  }
  // `next`: of a charged frame.
  void Uncharge(Frame* next) {
    auto& holder = *reinterpret_cast<FrameHolder*>(reinterpret_cast<uintptr_t>(next) - Frame::kCharged);
    --charged_;
    holder.PutBack(1);
    if (holder.tell()) [[unlikely]] return on_return(holder.kind())(holder);
  }
  void FreeUnusual(Frame* frame);
  void Release();
  void FreeLocked(Frame* frame);
  void DropLocked(Frame* frame);
  size_t TakeReturnedLocked();
  bool AllBack() const { return free_count_ + retired_ == size(); }
  // Of frames that are free: nobody may touch them.
  void Watch(Frame* frame);
  void EndWatch(Frame* frame);

  std::atomic<const void*> owner_ = __builtin_thread_pointer();  // nullptr: given up
  MemoryArea area_;
  std::byte* memory_ = nullptr;  // where it begins
  uint32_t frame_size_ = 0;
  uint32_t frame_shift_ = 0;
  uint32_t free_count_ = 0;
  uint32_t last_frames_ = 0;  // a sixteenth of all
  uint32_t retired_ = 0;
  uint32_t charged_ = 0;
  bool released_ = false;
  uint64_t exhausted_ = 0;
  OnReturn on_return_[FrameHolder::kKinds] = {};
  Frame* free_ = nullptr;
  std::vector<Frame> frames_;

  // What other threads give back.
  struct Block {
    void* memory;
    size_t size;
  };
  std::mutex mutex_;
  std::vector<Frame*> returned_;
  std::vector<Block> returned_blocks_;
  bool notified_ = false;
  void (*notify_)(void*) = nullptr;
  void* notify_argument_ = nullptr;
};

// References are counted on the pool's own thread.
inline void Ref(Frame* frame) {
  WEIR_DCHECK(frame->refs > 0 && (frame->pool->here() || frame->pool->given_up()));
  ++frame->refs;
}

// Drops one reference; the last one gives the frame back to its pool.
inline void Unref(Frame* frame) {
  WEIR_DCHECK(frame->refs > 0 && (frame->pool->here() || frame->pool->given_up()));
  if (--frame->refs == 0) frame->pool->Free(frame);
}

// Before a frame that a program kept goes into a queue of the stack.
inline void Discharge(Frame* frame) {
  if (frame->charged()) frame->pool->Uncharge(std::exchange(frame->next, nullptr));
}

inline uint32_t Frame::tailroom() const {
  return pool->frame_size() - static_cast<uint32_t>(data - base) - len;
}

}  // namespace weir::runtime

#endif  // RUNTIME_BUFFER_FRAME_POOL_H_
