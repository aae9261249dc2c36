#include "runtime/buffer/frame_pool.h"

#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

#ifdef WEIR_RECYCLER_OFF
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, size) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(memory, size) static_cast<void>(0)
#endif

namespace weir::runtime {
namespace {

#ifndef NDEBUG
constexpr int kPoison = 0xdb;  // in free frames
#endif

}  // namespace

absl::StatusOr<FramePool::Ptr> FramePool::Create(const Options& options) {
  if (options.frame_size != 2048 && options.frame_size != 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("frame size ", options.frame_size, ": AF_XDP takes 2048 or 4096"));
  }
  if (options.frames == 0) return absl::InvalidArgumentError("a frame pool needs frames");
  Ptr pool(new FramePool);
  absl::StatusOr<MemoryArea> area = MemoryArea::Map(size_t{options.frames} * options.frame_size, options.populate);
  if (!area.ok()) return area.status();
  pool->area_ = *std::move(area);
  pool->memory_ = pool->area_.bytes().data();
  pool->frame_size_ = options.frame_size;
  pool->frame_shift_ = static_cast<uint32_t>(std::countr_zero(options.frame_size));
  pool->frames_.resize(options.frames);
  for (uint32_t i = options.frames; i-- > 0;) {
    Frame& frame = pool->frames_[i];
    frame.pool = pool.get();
    frame.base = pool->memory_ + size_t{i} * options.frame_size;
    frame.next = pool->free_;
    pool->free_ = &frame;
#ifdef WEIR_FRAMES_WATCHED
    pool->Watch(&frame);
#endif
  }
  pool->free_count_ = options.frames;
  pool->last_frames_ = options.frames / 16;
  return pool;
}

FramePool::~FramePool() {
  ASAN_UNPOISON_MEMORY_REGION(area_.bytes().data(), area_.bytes().size());
}

std::string FramePool::Describe() const {
  return absl::StrCat(size(), " frames of ", frame_size_, " bytes, ", memory().size() >> 20, " MiB in ",
                      PagesName(area_.pages()));
}

void FramePool::ForgetHolders() {
  if (charged_ == 0) return;
  for (Frame& frame : frames_) {
    if (frame.charged()) frame.next = nullptr;
  }
  charged_ = 0;
}

// What is retired, or came back when the pool had been given up.
void FramePool::FreeUnusual(Frame* frame) {
  bool last = false;
  {
    std::lock_guard lock(mutex_);
    FreeLocked(frame);
    last = released_ && AllBack();
  }
  if (last) delete this;
}

void FramePool::Release() {
  bool last = false;
  {
    std::lock_guard lock(mutex_);
    // Before it is given up: what comes back in here is no reason to delete it.
    TakeReturnedLocked();
    owner_.store(nullptr, std::memory_order_relaxed);
    notify_ = nullptr;
    released_ = true;
    last = AllBack();
  }
  if (last) delete this;
}

void FramePool::GiveBack(std::span<Frame* const> frames, void* block, size_t block_size) {
  bool last = false;
  {
    std::lock_guard lock(mutex_);
    if (!released_) {
      returned_.insert(returned_.end(), frames.begin(), frames.end());
      if (block != nullptr) returned_blocks_.push_back({block, block_size});
      if (notify_ == nullptr || std::exchange(notified_, true)) return;
      return notify_(notify_argument_);
    }
    for (Frame* frame : frames) DropLocked(frame);
    last = AllBack();
  }
  if (block != nullptr) Recycler::ThisThread().Free(block, block_size);
  if (last) delete this;
}

size_t FramePool::TakeReturned() {
  std::lock_guard lock(mutex_);
  return TakeReturnedLocked();
}

size_t FramePool::TakeReturnedLocked() {
  const size_t count = returned_.size();
  for (Frame* frame : returned_) DropLocked(frame);
  returned_.clear();
  for (const Block& block : returned_blocks_) Recycler::ThisThread().Free(block.memory, block.size);
  returned_blocks_.clear();
  return count;
}

void FramePool::NotifyReturns(void (*notify)(void*), void* argument) {
  std::lock_guard lock(mutex_);
  notify_ = notify;
  notify_argument_ = argument;
  notified_ = false;
}

size_t FramePool::NoteReturned() {
  std::lock_guard lock(mutex_);
  notified_ = false;
  return TakeReturnedLocked();
}

void FramePool::FreeLocked(Frame* frame) {
  Discharge(frame);
  if (frame->tx_pending != 0) {
    ++retired_;
  } else {
    PutBack(frame);
  }
}

void FramePool::DropLocked(Frame* frame) {
  WEIR_DCHECK(frame->refs > 0);
  if (--frame->refs == 0) FreeLocked(frame);
}

void FramePool::Watch(Frame* frame) {
  frame->data = nullptr;
#ifndef NDEBUG
  std::memset(frame->base, kPoison, frame_size_);
#endif
  ASAN_POISON_MEMORY_REGION(frame->base, frame_size_);
}

void FramePool::EndWatch(Frame* frame) {
  ASAN_UNPOISON_MEMORY_REGION(frame->base, frame_size_);
#ifndef NDEBUG
  // The first byte is the poison, and each byte is as the one before it.
  const bool untouched = frame->base[0] == std::byte{kPoison} &&
                         std::memcmp(frame->base, frame->base + 1, frame_size_ - 1) == 0;
  WEIR_CHECK(untouched && "a frame was written to after it was given back");
#else
  static_cast<void>(frame);
#endif
}

}  // namespace weir::runtime
