// Umem: the frames of a FramePool lent to one AF_XDP socket, and the two rings that carry them between the
// kernel and us without data:
//
//   Fill        us -> kernel   empty frames for what arrives
//   Completion  kernel -> us   frames whose transmission is over
//
// Names and semantics: linux Documentation/networking/af_xdp.rst. A frame in the Fill ring has one reference,
// the Umem's, which Poll hands on to whoever takes the received frame. A frame on its way out has one reference
// for each Tx descriptor (and Frame::tx_pending counts them), dropped when its completion is reaped. What is
// out is written down frame by frame, so that closing gives every one back even if the kernel kept some.
//
// Several Umems may lend the frames of one pool, one for each interface: a frame that came in through one can go
// out through another as it lies.
//
// The kernel takes frames from the Fill ring in the order in which they came, so the more lie there, the longer a frame
// has left the caches when its turn comes. Fill therefore begins full, and is filled only to half as much whenever the
// half was enough for a while; it is doubled again before it runs dry. A device that holds descriptors (zero-copy) takes
// all it gets, and so gets all.
//
// One thread; nothing is allocated after Create.
#ifndef XDP_UMEM_H_
#define XDP_UMEM_H_

#include <xdp/xsk.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/buffer/frame_pool.h"

namespace weir::xdp {

class Umem {
 public:
  struct Options {
    uint32_t fill_size;        // entries, a power of two
    uint32_t completion_size;  // entries, a power of two
    uint32_t reserve;          // frames that Fill leaves in the pool
  };

  // Registers the pool's memory. The pool is not owned; the caller keeps it (or its frames) alive.
  // Errors: kPermissionDenied, kUnimplemented (no AF_XDP), kResourceExhausted (locked memory).
  static absl::StatusOr<std::unique_ptr<Umem>> Create(const Options& options, runtime::FramePool& pool);

  Umem(const Umem&) = delete;
  Umem& operator=(const Umem&) = delete;
  // The socket that uses it must be closed before.
  ~Umem();

  // Depth that Fill does not go below: four bursts, for what arrives while a turn is worked on.
  static constexpr uint32_t kLeastFillDepth = 256;
  // Frames received without Fill coming down to half its depth, after which the half is enough: some hundredths of a
  // second under load, so that a busy shard is soon in its caches, and a rare burst does not find it shallow for long.
  static constexpr uint32_t kCalmFrames = 1u << 16;

  // Puts free frames on the Fill ring until fill_depth() are there or the pool is down to the reserve.
  void Refill();

  // The driver stopped for want of frames, and Fill has some again: it wants a kick.
  bool FillNeedsWakeup() const {
    return xsk_ring_prod__needs_wakeup(&fill_) != 0 &&
           *fill_.producer != __atomic_load_n(fill_.consumer, __ATOMIC_RELAXED);
  }

  // The frame of a received descriptor; its reference is the caller's from now on.
  runtime::Frame* TakeReceived(const xdp_desc& descriptor);

  // Notes that `frame` goes on the Tx ring; takes a reference. Returns its address for the descriptor.
  uint64_t BeginTransmit(runtime::Frame* frame);

  // Drops the references of frames whose transmission is over; returns how many descriptors that were.
  uint32_t ReapCompletions();

  // Descriptors given to BeginTransmit that have not completed.
  uint32_t outstanding_tx() const { return outstanding_tx_; }
  // Frames that the kernel has for receiving.
  uint32_t fill_frames() const { return fill_frames_; }
  // How many frames Fill is kept at.
  uint32_t fill_depth() const { return fill_depth_; }
  // Times that Refill found too few frames in the pool.
  uint64_t fill_starved() const { return fill_starved_; }

  xsk_umem* handle() { return umem_; }

 private:
  void AdjustDepth(uint32_t left);

  explicit Umem(runtime::FramePool& pool) : pool_(pool) {}

  runtime::FramePool& pool_;
  xsk_umem* umem_ = nullptr;
  xsk_ring_prod fill_ = {};
  xsk_ring_cons completion_ = {};
  uint32_t reserve_ = 0;
  uint32_t fill_size_ = 0;
  uint32_t fill_depth_ = 0;
  uint32_t calm_frames_ = 0;  // received since Fill was down to half its depth, or the depth was changed
  uint32_t fill_frames_ = 0;
  uint32_t outstanding_tx_ = 0;
  uint64_t fill_starved_ = 0;
  // By index in the pool: the frame is with the kernel for receiving, and on how many Tx descriptors.
  std::vector<bool> receiving_;
  std::vector<uint16_t> sending_;
};

}  // namespace weir::xdp

#endif  // XDP_UMEM_H_
