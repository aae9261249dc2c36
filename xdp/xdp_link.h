// XdpLink: one AF_XDP socket on one queue of an interface; raw Ethernet frames in and out, in place.
//
//   auto link = XdpLink::Create({.queue = 0}, *program, *pool);
//   Frame* burst[XdpLink::kBurst];
//   const size_t n = (*link)->Poll(burst);           // burst[0..n) are ours now, one reference each
//   ...
//   sent = (*link)->Transmit({burst, n});            // the link takes references of its own
//   (*link)->Doorbell();                             // one system call for all of them
//   (*link)->ReapCompletions();                      // now and then, and before waiting for frames
//
// With Options::multi_buffer a packet may be larger than a frame: it then comes as frames linked by `next`, and goes out
// as frames in a row.
//
// The pool's memory is the UMEM; frames that have not come back are given back when the link goes. The link
// does not own the pool nor the program; both outlive it. One thread; no allocation after Create; the only
// system calls on the data path are Doorbell's, and Poll's when the driver asks for a kick or busy polls.
#ifndef XDP_XDP_LINK_H_
#define XDP_XDP_LINK_H_

#include <xdp/xsk.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "runtime/buffer/frame_pool.h"
#include "xdp/interface_info.h"
#include "xdp/umem.h"

namespace weir::xdp {

class SteerProgram;

// Whether the device reads and writes the UMEM itself.
enum class ZeroCopy {
  kAuto,  // on, or off where the driver cannot
  kOn,
  kOff,
};

class XdpLink {
 public:
  // Frames of one turn of a shard. NAPI's own budget (linux NAPI_POLL_WEIGHT), so that a burst of ours matches
  // one of the kernel's.
  static constexpr size_t kBurst = 64;

  // A shard's turn is meant to stay under 1 ms; at 2 million frames a second, what one core can take in, that
  // is 2000 frames waiting. Rounded up to a power of two, as rings are.
  static constexpr uint32_t kRxSize = 2048;
  // Rx full, plus as many frames that the device holds to receive into while it is (NICs have up to 2048
  // descriptors by default).
  static constexpr uint32_t kFillSize = 2 * kRxSize;
  // What is received in one turn can be answered in it.
  static constexpr uint32_t kTxSize = kRxSize;
  // A completion for every descriptor that Tx can hold, so that the kernel never waits for us to reap.
  static constexpr uint32_t kCompletionSize = kTxSize;
  // Fill leaves one burst of answers and one of acknowledgements: a stack whose frames are all waiting for
  // input could not send the ACK that frees any.
  static constexpr uint32_t kTxReserve = 2 * kBurst;

  // Frames of a received packet that are kept: one more than the largest MTU needs (netstack/ip/tx_frame.h), so that
  // whoever gets it sees that it is too long. Those behind go back at once. Linux makes no more than 18 (MAX_SKB_FRAGS).
  static constexpr size_t kMaxChain = 7;

  struct Options {
    uint32_t queue = 0;
    ZeroCopy zero_copy = ZeroCopy::kAuto;
    // Ring sizes, powers of two.
    uint32_t rx_size = kRxSize;
    uint32_t fill_size = kFillSize;
    uint32_t tx_size = kTxSize;
    uint32_t completion_size = kCompletionSize;
    uint32_t tx_reserve = kTxReserve;
    // Poll runs the device's NAPI itself (SO_PREFER_BUSY_POLL). Left off where the kernel refuses.
    bool busy_poll = false;
    // Packets in several frames (XDP_USE_SG, Linux 6.6).
    bool multi_buffer = false;
  };

  struct Counters {
    uint64_t rx_frames = 0;
    uint64_t tx_frames = 0;       // put on the Tx ring
    uint64_t tx_completed = 0;    // came back
    uint64_t tx_ring_full = 0;    // frames that Transmit had no room for
    uint64_t fill_starved = 0;    // refills that found too few free frames
    uint32_t fill_depth = 0;      // how many frames Fill is kept at, now
    uint64_t doorbells = 0;       // system calls of Doorbell
    uint64_t doorbell_errors = 0;  // of these, failed for another reason than a full queue
    uint32_t tx_outstanding = 0;  // sent and not completed, now
    uint32_t rx_deepest = 0;      // most frames that one Poll found on the Rx ring
    // The kernel's (XDP_STATISTICS).
    uint64_t kernel_rx_dropped = 0;
    uint64_t kernel_rx_ring_full = 0;
    uint64_t kernel_fill_ring_empty = 0;
    uint64_t kernel_rx_invalid = 0;
    uint64_t kernel_tx_invalid = 0;
    uint64_t kernel_tx_ring_empty = 0;
  };

  // Binds to the queue of the program's interface and registers the socket with the program. May sleep up to
  // about a second when an earlier socket is still being torn down. Errors: kInvalidArgument (no such queue,
  // ring sizes), kPermissionDenied, kAlreadyExists (the queue has a socket), kUnimplemented (AF_XDP or
  // ZeroCopy::kOn or multi_buffer not supported), kResourceExhausted (locked memory).
  static absl::StatusOr<std::unique_ptr<XdpLink>> Create(const Options& options, SteerProgram& program,
                                                         runtime::FramePool& pool);

  XdpLink(const XdpLink&) = delete;
  XdpLink& operator=(const XdpLink&) = delete;
  // Waits, bounded, for outstanding transmissions, then closes the socket and takes all frames back.
  ~XdpLink();

  // Takes up to min(out.size(), kBurst) received frames, each with one reference that is the caller's, data at
  // the Ethernet header; refills Fill from the pool. A packet in several frames is in `out` by its first, once all of
  // them are there. ~ NAPI poll
  size_t Poll(std::span<runtime::Frame*> out);

  // Puts frames on the Tx ring in order and returns how many fit; the rest stays the caller's business. Bit n of
  // `continued`: the packet goes on in frame n + 1, which is there (and there are at most 64 frames); it is taken whole
  // or not. The link takes a reference of its own on each until it completes; the bytes must not change while
  // Frame::tx_pending is not 0. Sends nothing before Doorbell. ~ ndo_start_xmit
  size_t Transmit(std::span<runtime::Frame* const> frames, uint64_t continued = 0);

  // Tells the kernel about frames on the Tx ring, if it needs to be told. Never waits: what the kernel does not
  // take now (its queue is full) stays on the ring for the next call, so call it every turn.
  void Doorbell();

  // Drops the references of frames that were sent; returns how many descriptors completed.
  size_t ReapCompletions();

  // There are frames to Poll. Reads memory only.
  bool RxReady() const {
    return __atomic_load_n(rx_.producer, __ATOMIC_ACQUIRE) != rx_.cached_cons;
  }

  // Readable when frames are there: for a reactor to wait on. Owned by the link.
  int fd() const { return fd_; }

  // A snapshot; one system call.
  Counters counters() const;

  // What is in force.
  bool zero_copy() const { return zero_copy_; }
  bool native() const { return native_; }
  bool busy_poll() const { return busy_poll_; }
  uint32_t queue() const { return queue_; }
  const InterfaceInfo& interface() const { return interface_; }

 private:
  XdpLink() = default;
  absl::Status Bind(const Options& options, runtime::FramePool& pool);
  int TryBind(const Options& options, bool zero_copy);
  void ConfigureSocket(const Options& options);
  uint32_t UnsentTx() const;
  runtime::Frame* Gather(runtime::Frame* frame, bool continued);

  InterfaceInfo interface_;
  uint32_t queue_ = 0;
  bool zero_copy_ = false;
  bool native_ = false;
  bool busy_poll_ = false;
  int fd_ = -1;  // umem_'s
  std::unique_ptr<Umem> umem_;
  xsk_socket* socket_ = nullptr;
  xsk_ring_cons rx_ = {};
  xsk_ring_prod tx_ = {};
  // A packet of which the last frame is still on the Rx ring.
  runtime::Frame* chain_first_ = nullptr;
  runtime::Frame* chain_last_ = nullptr;
  size_t chain_frames_ = 0;
  Counters counted_;
};

}  // namespace weir::xdp

#endif  // XDP_XDP_LINK_H_
