#include "xdp/xdp_link.h"

#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"
#include "xdp/steer_program.h"
#include "xdp/uapi.h"

namespace weir::xdp {
namespace {

using runtime::Frame;

// A closed socket leaves its queue when RCU and the driver are done with it: milliseconds, tens of them on a
// NIC that resets its queues. A second is beyond any of that, so then the queue belongs to somebody.
constexpr int kBindAttempts = 100;
constexpr useconds_t kBindRetryUs = 10000;

// How long closing waits for transmissions under way. A frame on the slowest link that has XDP (1 Gbit/s)
// takes 12 us, a full Tx ring 25 ms; after a NIC reset completions never come.
constexpr int kDrainAttempts = 100;
constexpr useconds_t kDrainStepUs = 1000;

// Linux TX_BATCH_SIZE: frames that one sendto moves in copy mode before 6.17.
constexpr uint32_t kTxBatch = 32;

// What a frame in flight counts against the socket's send buffer in copy mode: a page of data and the sk_buff
// with its shared info, rounded up.
constexpr int kTxTruesize = 8192;

// SO_BUSY_POLL: how long a poll looks at the device before it gives up, in us. One interrupt's latency.
constexpr int kBusyPollUs = 20;

absl::Status CheckOptions(const XdpLink::Options& options, const InterfaceInfo& interface) {
  if (options.queue >= interface.rx_queues) {
    return absl::InvalidArgumentError(absl::StrCat(
        "interface ", interface.name, " has no queue ", options.queue, ": it has ", interface.rx_queues,
        ", numbered from 0 ('ethtool -l ", interface.name, "'); use fewer shards"));
  }
  for (const uint32_t size : {options.rx_size, options.fill_size, options.tx_size, options.completion_size}) {
    if (!std::has_single_bit(size)) {
      return absl::InvalidArgumentError(absl::StrCat("ring size ", size, ": rings are powers of two"));
    }
  }
  return absl::OkStatus();
}

absl::Status BindError(int error, const InterfaceInfo& interface, const XdpLink::Options& options) {
  const std::string where = absl::StrCat("queue ", options.queue, " of ", interface.name);
  switch (error) {
    case EBUSY:
      return absl::AlreadyExistsError(
          absl::StrCat(where, " has an AF_XDP socket already: stop the process that holds it"));
    case EPERM:
    case EACCES:
      return absl::PermissionDeniedError(absl::StrCat(
          "binding to ", where, " needs root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF; or use --stack=kernel"));
    case ENOBUFS:
    case ENOMEM:
      return absl::ResourceExhaustedError(absl::StrCat(
          "no memory for the AF_XDP rings of ", where, ": raise RLIMIT_MEMLOCK ('ulimit -l unlimited')"));
    case EOPNOTSUPP:
    case EINVAL:
    case EPROTONOSUPPORT:
      if (options.multi_buffer) {
        return absl::UnimplementedError(absl::StrCat(
            "on ", where, " a packet cannot take several frames, as the MTU needs: Linux 6.6 and later can, and with "
            "zero-copy some drivers; use a smaller --mtu (the interface has ", interface.mtu, ")"));
      }
      if (options.zero_copy == ZeroCopy::kOn) {
        return absl::UnimplementedError(absl::StrCat("driver ", interface.driver, " of ", interface.name,
                                                     " has no zero-copy: use --zero_copy=auto"));
      }
      return absl::UnimplementedError(absl::StrCat(
          "AF_XDP does not work on ", where, " (driver ", interface.driver, "): use --stack=kernel"));
    case ENETDOWN:
      return absl::FailedPreconditionError(absl::StrCat("interface ", interface.name, " is down: 'ip link set ",
                                                        interface.name, " up'"));
    default:
      return runtime::ErrnoStatus(error, absl::StrCat("cannot bind an AF_XDP socket to ", where));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<XdpLink>> XdpLink::Create(const Options& options, SteerProgram& program,
                                                         runtime::FramePool& pool) {
  std::unique_ptr<XdpLink> link(new XdpLink);
  link->interface_ = program.interface();
  link->queue_ = options.queue;
  link->native_ = program.mode() == AttachMode::kNative;
  if (absl::Status status = CheckOptions(options, link->interface_); !status.ok()) return status;
  if (absl::Status status = link->Bind(options, pool); !status.ok()) return status;
  link->ConfigureSocket(options);
  if (absl::Status status = program.RegisterSocket(options.queue, link->fd_); !status.ok()) return status;
  return link;
}

absl::Status XdpLink::Bind(const Options& options, runtime::FramePool& pool) {
  const Umem::Options umem_options = {.fill_size = options.fill_size,
                                      .completion_size = options.completion_size,
                                      .reserve = options.tx_reserve};
  int error = 0;
  for (const bool zero_copy : {true, false}) {
    if (options.zero_copy == (zero_copy ? ZeroCopy::kOff : ZeroCopy::kOn)) continue;
    for (int attempt = 0; attempt < kBindAttempts; ++attempt) {
      if (attempt > 0) usleep(kBindRetryUs);
      // A new UMEM each time: its descriptor becomes the socket, and rings cannot be set up twice on one.
      umem_.reset();
      absl::StatusOr<std::unique_ptr<Umem>> umem = Umem::Create(umem_options, pool);
      if (!umem.ok()) return umem.status();
      umem_ = *std::move(umem);
      umem_->Refill();  // before the bind: zero-copy drivers take frames as soon as they start the queue
      error = TryBind(options, zero_copy);
      if (error == 0) {
        zero_copy_ = zero_copy;
        fd_ = xsk_socket__fd(socket_);
        return absl::OkStatus();
      }
      if (error != EBUSY) break;
    }
    if (error == EBUSY || error == EPERM) break;  // copying would not help
  }
  return BindError(error, interface_, options);
}

// One attempt; 0 or an errno value.
int XdpLink::TryBind(const Options& options, bool zero_copy) {
  const xsk_socket_config config = {
      .rx_size = options.rx_size,
      .tx_size = options.tx_size,
      .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,  // the program is SteerProgram's
      .xdp_flags = 0,
      .bind_flags = static_cast<uint16_t>(XDP_USE_NEED_WAKEUP | (zero_copy ? XDP_ZEROCOPY : XDP_COPY) |
                                          (options.multi_buffer ? XDP_USE_SG : 0)),
  };
  return -xsk_socket__create(&socket_, interface_.name.c_str(), queue_, umem_->handle(), &rx_, &tx_, &config);
}

// Options that make things faster where the kernel has them; none is needed.
void XdpLink::ConfigureSocket(const Options& options) {
  if (!zero_copy_) {
    const uint32_t budget = options.tx_size;
    setsockopt(fd_, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof budget);
    const int send_buffer = static_cast<int>(options.tx_size) * kTxTruesize;
    setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof send_buffer);
  }
  if (options.busy_poll) {
    const int on = 1;
    const int budget = static_cast<int>(kBurst);
    busy_poll_ = setsockopt(fd_, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof on) == 0 &&
                 setsockopt(fd_, SOL_SOCKET, SO_BUSY_POLL, &kBusyPollUs, sizeof kBusyPollUs) == 0 &&
                 setsockopt(fd_, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof budget) == 0;
  }
}

XdpLink::~XdpLink() {
  if (socket_ == nullptr) return;
  for (int i = 0; i < kDrainAttempts; ++i) {
    Doorbell();
    ReapCompletions();
    if (umem_->outstanding_tx() == 0) break;
    usleep(kDrainStepUs);
  }
  while (chain_first_ != nullptr) Unref(std::exchange(chain_first_, std::exchange(chain_first_->next, nullptr)));
  xsk_socket__delete(socket_);
  umem_.reset();  // closes the descriptor, then gives the frames back
}

size_t XdpLink::Poll(std::span<Frame*> out) {
  const uint32_t want = static_cast<uint32_t>(std::min(out.size(), kBurst));
  uint32_t index = 0;
  uint32_t n = xsk_ring_cons__peek(&rx_, want, &index);
  if (n == 0 && busy_poll_) {
    recvfrom(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);  // runs the device's NAPI
    n = xsk_ring_cons__peek(&rx_, want, &index);
  }
  size_t packets = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const xdp_desc& descriptor = *xsk_ring_cons__rx_desc(&rx_, index + i);
    const bool continued = (descriptor.options & XDP_PKT_CONTD) != 0;
    Frame* frame = umem_->TakeReceived(descriptor);
    if (continued || chain_first_ != nullptr) [[unlikely]] {
      frame = Gather(frame, continued);
      if (frame == nullptr) continue;
    }
    out[packets++] = frame;
  }
  if (n > 0) xsk_ring_cons__release(&rx_, n);
  counted_.rx_frames += n;
  counted_.rx_deepest = std::max(counted_.rx_deepest, n + (rx_.cached_prod - rx_.cached_cons));

  umem_->Refill();
  if (umem_->FillNeedsWakeup()) recvfrom(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
  return packets;
}

// Puts `frame` behind what there is of its packet; the whole packet, if it was the last, else nullptr.
Frame* XdpLink::Gather(Frame* frame, bool continued) {
  if (++chain_frames_ > kMaxChain) {
    Unref(frame);
  } else {
    (chain_first_ == nullptr ? chain_first_ : chain_last_->next) = frame;
    chain_last_ = frame;
  }
  if (continued) return nullptr;
  chain_frames_ = 0;
  return std::exchange(chain_first_, nullptr);
}

size_t XdpLink::Transmit(std::span<Frame* const> frames, uint64_t continued) {
  const uint32_t want = static_cast<uint32_t>(frames.size());
  WEIR_DCHECK(continued == 0 || want <= 64);
  uint32_t n = std::min(want, xsk_prod_nb_free(&tx_, want));
  while (n > 0 && continued != 0 && (continued >> (n - 1) & 1) != 0) --n;
  counted_.tx_ring_full += want - n;
  if (n == 0) return 0;
  uint32_t index = 0;
  WEIR_CHECK(xsk_ring_prod__reserve(&tx_, n, &index) == n);
  for (uint32_t i = 0; i < n; ++i) {
    const uint64_t address = umem_->BeginTransmit(frames[i]);
    const uint32_t more = continued != 0 && (continued >> i & 1) != 0 ? XDP_PKT_CONTD : 0;
    *xsk_ring_prod__tx_desc(&tx_, index + i) = {.addr = address, .len = frames[i]->len, .options = more};
  }
  xsk_ring_prod__submit(&tx_, n);
  counted_.tx_frames += n;
  return n;
}

// Descriptors on the Tx ring that the kernel has not taken.
uint32_t XdpLink::UnsentTx() const {
  return *tx_.producer - __atomic_load_n(tx_.consumer, __ATOMIC_ACQUIRE);
}

void XdpLink::Doorbell() {
  uint32_t unsent = UnsentTx();
  // A zero-copy driver may also have to be woken to complete what it took.
  if (unsent == 0 && (!zero_copy_ || umem_->outstanding_tx() == 0)) return;
  if (xsk_ring_prod__needs_wakeup(&tx_) == 0) return;
  // One call takes them all, but for copy mode before Linux 6.17: then one call for each kTxBatch.
  for (uint32_t calls = unsent / kTxBatch + 1; calls > 0; --calls) {
    ++counted_.doorbells;
    if (sendto(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0) return;
    if (errno != EAGAIN) {
      // EBUSY, ENOBUFS: the device's queue is full; the frames stay, or the kernel dropped and completed one.
      if (errno != EBUSY && errno != ENOBUFS) ++counted_.doorbell_errors;
      return;
    }
    const uint32_t left = UnsentTx();
    if (left == 0 || left == unsent) return;  // done, or out of send buffer until some complete
    unsent = left;
  }
}

size_t XdpLink::ReapCompletions() {
  const uint32_t n = umem_->ReapCompletions();
  counted_.tx_completed += n;
  return n;
}

XdpLink::Counters XdpLink::counters() const {
  Counters counters = counted_;
  counters.fill_starved = umem_->fill_starved();
  counters.fill_depth = umem_->fill_depth();
  counters.tx_outstanding = umem_->outstanding_tx();
  xdp_statistics kernel = {};
  socklen_t size = sizeof kernel;
  if (getsockopt(fd_, SOL_XDP, XDP_STATISTICS, &kernel, &size) == 0) {
    counters.kernel_rx_dropped = kernel.rx_dropped;
    counters.kernel_rx_ring_full = kernel.rx_ring_full;
    counters.kernel_fill_ring_empty = kernel.rx_fill_ring_empty_descs;
    counters.kernel_rx_invalid = kernel.rx_invalid_descs;
    counters.kernel_tx_invalid = kernel.tx_invalid_descs;
    counters.kernel_tx_ring_empty = kernel.tx_ring_empty_descs;
  }
  return counters;
}

}  // namespace weir::xdp
