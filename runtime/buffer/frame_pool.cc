#include "runtime/buffer/frame_pool.h"

#include <sys/mman.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"

namespace weir::runtime {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

absl::StatusOr<FramePool::Ptr> FramePool::Create(const Options& options) {
  if (options.frame_size != 2048 && options.frame_size != 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("frame size ", options.frame_size, ": AF_XDP takes 2048 or 4096"));
  }
  if (options.frames == 0) return absl::InvalidArgumentError("a frame pool needs frames");
  Ptr pool(new FramePool);
  const size_t wanted = size_t{options.frames} * options.frame_size;
  const size_t mapped = (wanted + kHugePage - 1) / kHugePage * kHugePage;
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (options.populate ? MAP_POPULATE : 0);
  void* memory = MAP_FAILED;
  if (options.populate) memory = mmap(nullptr, mapped, kProtection, flags | MAP_HUGETLB, -1, 0);
  pool->huge_pages_ = memory != MAP_FAILED;
  if (memory == MAP_FAILED) memory = mmap(nullptr, mapped, kProtection, flags, -1, 0);
  if (memory == MAP_FAILED) {
    return ErrnoStatus(errno, absl::StrCat("cannot map ", mapped >> 20, " MiB for frames"));
  }
  pool->memory_ = static_cast<std::byte*>(memory);
  pool->mapped_ = mapped;
  pool->frame_size_ = options.frame_size;
  pool->frame_shift_ = static_cast<uint32_t>(std::countr_zero(options.frame_size));
  pool->frames_.resize(options.frames);
  for (uint32_t i = options.frames; i-- > 0;) {
    Frame& frame = pool->frames_[i];
    frame.pool = pool.get();
    frame.base = pool->memory_ + size_t{i} * options.frame_size;
    frame.next = pool->free_;
    pool->free_ = &frame;
  }
  pool->free_count_ = options.frames;
  pool->last_frames_ = options.frames / 16;
  return pool;
}

FramePool::~FramePool() {
  if (memory_ != nullptr) munmap(memory_, mapped_);
}

void FramePool::DischargeCharged(Frame* frame) {
  const auto bits = reinterpret_cast<uintptr_t>(std::exchange(frame->next, nullptr));
  --charged_;
  const OnReturn on_return = on_return_[(bits & Frame::kOtherKind) != 0 ? 1 : 0];
  on_return(reinterpret_cast<void*>(bits & ~(Frame::kCharged | Frame::kOtherKind)));
}

void FramePool::ForgetHolders() {
  if (charged_ == 0) return;
  for (Frame& frame : frames_) {
    if (frame.charged()) frame.next = nullptr;
  }
  charged_ = 0;
}

void FramePool::FreeUnusual(Frame* frame) {
  if (frame->charged()) {
    DischargeCharged(frame);
    if ((frame->tx_pending | released_) == 0) return PutBack(frame);
  }
  if (frame->tx_pending != 0) {
    ++retired_;
  } else {
    PutBack(frame);
  }
  if (released_) MaybeDelete();
}

void FramePool::Release() {
  released_ = true;
  MaybeDelete();
}

void FramePool::MaybeDelete() {
  if (free_count_ + retired_ == size()) delete this;
}

// Use after give-back shows at once in debug builds.
void FramePool::Poison(Frame* frame) { std::memset(frame->base, 0xdb, frame_size_); }

}  // namespace weir::runtime
