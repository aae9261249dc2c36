#include "runtime/io/buffer_ring.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"

namespace weir::runtime {
namespace {

// The kernel gets frames in groups of an eighth of the depth: the shared tail is then written seldom.
constexpr uint32_t kRefillFraction = 8;

// The least depth: eight busy sockets, of each of which the kernel takes 32 buffers before it goes on to the next. Their
// records and half a kilobyte of each fit into a second-level cache.
constexpr uint32_t kMinDepth = 256;

}  // namespace

absl::StatusOr<std::unique_ptr<BufferRing>> BufferRing::Create(Reactor& reactor, FramePool& pool, uint16_t group,
                                                               uint32_t entries, uint32_t reserve) {
  WEIR_CHECK(std::has_single_bit(entries) && entries <= kMaxEntries);
  std::unique_ptr<BufferRing> ring(new BufferRing(reactor, pool, group, entries, reserve));
  void* memory = mmap(nullptr, entries * sizeof(io_uring_buf), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) return ErrnoStatus(errno, "cannot map a buffer ring");
  ring->ring_ = static_cast<io_uring_buf_ring*>(memory);
  io_uring_buf_ring_init(ring->ring_);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uintptr_t>(memory);
  registration.ring_entries = entries;
  registration.bgid = group;
  const int result = io_uring_register_buf_ring(reactor.uring().raw(), &registration, 0);
  if (result < 0) return ErrnoStatus(-result, "cannot register a buffer ring");
  ring->registered_ = true;
  ring->Refill();
  return ring;
}

BufferRing::BufferRing(Reactor& reactor, FramePool& pool, uint16_t group, uint32_t entries, uint32_t reserve)
    : reactor_(reactor), pool_(pool), group_(group), reserve_(reserve), frames_(entries), depth_(std::min(entries, kMinDepth)) {
  free_ids_.reserve(entries);
  for (uint32_t id = entries; id-- > 0;) free_ids_.push_back(static_cast<uint16_t>(id));
}

BufferRing::~BufferRing() {
  if (registered_) WEIR_CHECK(io_uring_unregister_buf_ring(reactor_.uring().raw(), group_) == 0);
  if (ring_ != nullptr) munmap(ring_, frames_.size() * sizeof(io_uring_buf));
  for (Frame* frame : frames_) {
    if (frame != nullptr) Unref(frame);
  }
}

Frame* BufferRing::Take(uint32_t cqe_flags) {
  const uint32_t id = cqe_flags >> IORING_CQE_BUFFER_SHIFT;
  WEIR_CHECK(id < frames_.size() && frames_[id] != nullptr);
  Frame* frame = std::exchange(frames_[id], nullptr);
  free_ids_.push_back(static_cast<uint16_t>(id));
  if (++calm_takes_ == kCalmTakes) {
    calm_takes_ = 0;
    depth_ = std::max(depth_ / 2, std::min(entries(), kMinDepth));
  }
  if (provided() + std::max(depth_ / kRefillFraction, 1u) <= depth_) Refill();
  return frame;
}

void BufferRing::RanDry() {
  // Several receives of one turn end for the same want: the first of them counts.
  if (calm_takes_ >= depth_ / 2 && pool_.free_count() > reserve_) depth_ = std::min(2 * depth_, entries());
  calm_takes_ = 0;
  Refill();
}

void BufferRing::Refill() {
  const int mask = io_uring_buf_ring_mask(entries());
  int added = 0;
  while (provided() < depth_ && pool_.free_count() > reserve_) {
    Frame* frame = pool_.Alloc(/*headroom=*/0);
    const uint16_t id = free_ids_.back();
    free_ids_.pop_back();
    frames_[id] = frame;
    io_uring_buf_ring_add(ring_, frame->data, pool_.frame_size(), id, mask, added++);
  }
  if (added > 0) io_uring_buf_ring_advance(ring_, added);
}

}  // namespace weir::runtime
