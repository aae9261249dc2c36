// BufferRing: the receive buffers that the kernel picks from by itself (an io_uring provided buffer ring), each of them
// a Frame of the shard's pool. Idle connections thus hold no memory, and what was received is in a frame already, which
// goes up to the coroutine as it is.
//
// Ownership: a frame in the ring is the kernel's (the ring holds its reference). A completion names the buffer it used;
// Take gives that frame, with its one reference, to the caller. Frames come from the pool again with Refill.
//
// The kernel takes buffers in the order in which it got them, so the more lie there, the longer a frame has left the
// caches when its turn comes. The ring is therefore filled only to `depth()`, which doubles whenever the kernel used that up
// and shrinks again when it stayed enough for a while.
//
// When the ring runs dry, receives end with ENOBUFS. Whoever owns such a receive says so with RanDry, and prepares it
// again once `provided()` is not 0 any more.
#ifndef RUNTIME_IO_BUFFER_RING_H_
#define RUNTIME_IO_BUFFER_RING_H_

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/buffer/frame_pool.h"
#include "runtime/io/reactor.h"

namespace weir::runtime {

class BufferRing {
 public:
  static constexpr uint32_t kMaxEntries = 32768;  // of the kernel
  // After this many buffers without running dry the depth is halved: a second of a busy shard, or less.
  static constexpr uint32_t kCalmTakes = 1u << 16;

  // A ring of `entries` (a power of two) frames under buffer group `group`, filled from `pool`. It leaves the last
  // `reserve` frames of the pool alone, for those who send.
  static absl::StatusOr<std::unique_ptr<BufferRing>> Create(Reactor& reactor, FramePool& pool, uint16_t group,
                                                            uint32_t entries, uint32_t reserve = 0);
  BufferRing(const BufferRing&) = delete;
  BufferRing& operator=(const BufferRing&) = delete;
  // Takes the frames back; no operation that uses the group may be in flight.
  ~BufferRing();

  // The frame of a completion with IORING_CQE_F_BUFFER in its flags: one reference, `data` at its start, `len` 0 for
  // the caller to set. Refills when enough entries are free.
  Frame* Take(uint32_t cqe_flags);

  // Gives the kernel frames until it has depth() of them or the pool is down to the reserve.
  void Refill();
  // A receive ended with ENOBUFS: Refill, to twice the depth unless it was the pool that was empty.
  void RanDry();

  // Frames that the kernel has and has not used, as far as the completions taken tell.
  uint32_t provided() const { return static_cast<uint32_t>(frames_.size() - free_ids_.size()); }
  uint32_t entries() const { return static_cast<uint32_t>(frames_.size()); }
  uint32_t depth() const { return depth_; }
  uint16_t group() const { return group_; }

 private:
  BufferRing(Reactor& reactor, FramePool& pool, uint16_t group, uint32_t entries, uint32_t reserve);

  Reactor& reactor_;
  FramePool& pool_;
  uint16_t group_;
  uint32_t reserve_;
  io_uring_buf_ring* ring_ = nullptr;
  bool registered_ = false;
  std::vector<Frame*> frames_;      // by buffer id; nullptr when the id is free
  std::vector<uint16_t> free_ids_;  // a stack; its memory is reserved at the start
  uint32_t depth_;
  uint32_t calm_takes_ = 0;  // since the depth was last changed or used up
};

}  // namespace weir::runtime

#endif  // RUNTIME_IO_BUFFER_RING_H_
