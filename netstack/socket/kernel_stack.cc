#include "netstack/socket/kernel_stack.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/socket/kernel_listener.h"
#include "netstack/socket/kernel_stream.h"
#include "netstack/socket/kernel_udp.h"
#include "netstack/socket/kernel_unix_datagram.h"
#include "netstack/socket/sockaddr.h"
#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/unique_fd.h"

namespace weir::netstack {
namespace {

using runtime::UniqueFd;

// A quarter of the shard's frames lie ready for the kernel, at most what 64 busy sockets fill in one turn (the kernel
// takes 32 buffers for one socket before it goes on to the next); an eighth of the frames is left for senders.
constexpr uint32_t kRingFraction = 4;
constexpr uint32_t kMaxRingEntries = 2048;
constexpr uint32_t kReserveFraction = 8;

// How often to look whether readers gave frames back, while a receive waits for them: frames do not announce it.
constexpr Nanos kBufferRetry = kMillisecond;

// How often to look whether others gave so much back that a stalled socket may go on, and at how many sockets; what it
// gives back itself is announced.
constexpr Nanos kStalledRetry = 10 * kMillisecond;
constexpr int kStalledRound = 64;

// Completions of closed sockets arrive within a turn; see Reactor's own limit.
constexpr Nanos kCloseLimit = 10 * kSecond;

absl::Status SocketError(int error, absl::string_view what, absl::string_view ss_flags) {
  absl::Status status = runtime::ErrnoStatus(error, what);
  std::string hint;
  if (error == EADDRINUSE) {
    hint = absl::StrCat("; another program has that port: 'ss ", ss_flags, "' shows it");
  } else if (error == EADDRNOTAVAIL) {
    hint = "; no interface has that address: 'ip address' shows them";
  } else if (error == EACCES) {
    hint = "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
  } else {
    return status;
  }
  return absl::Status(status.code(), absl::StrCat(status.message(), hint));
}

struct Reuse {
  bool reuse_port = false;
  bool reuse_address = false;
};

// A socket bound to `local`. Invalid, with errno set, when that fails. "::" falls back to 0.0.0.0 on a kernel
// without IPv6.
UniqueFd BoundSocket(int type, Endpoint local, const Reuse& reuse) {
  int family = FamilyOf(local.ip);
  UniqueFd fd(socket(family, type | SOCK_CLOEXEC, 0));
  if (!fd.valid() && errno == EAFNOSUPPORT && local.ip == IpAddress()) {
    family = AF_INET;
    fd = UniqueFd(socket(family, type | SOCK_CLOEXEC, 0));
  }
  if (!fd.valid()) return fd;
  const SocketAddress address(local, family);
  if ((reuse.reuse_address && !SetSocketOption(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1)) ||
      (reuse.reuse_port && !SetSocketOption(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1)) ||
      (family == AF_INET6 && !SetSocketOption(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0)) ||
      bind(fd.get(), &address.base, address.length) != 0) {
    const int error = errno;
    fd.Reset();
    errno = error;
  }
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelStack>> KernelStack::Create(runtime::Reactor& reactor, runtime::FramePool& pool,
                                                                 runtime::Scheduler& scheduler,
                                                                 const Options& options) {
  std::unique_ptr<KernelStack> stack(new KernelStack(reactor, pool, scheduler, options));
  const uint32_t entries = std::clamp(std::bit_floor(pool.size() / kRingFraction), 1u, kMaxRingEntries);
  auto buffers = runtime::BufferRing::Create(reactor, pool, reactor.NewBufferGroup(), entries,
                                             pool.size() / kReserveFraction);
  if (!buffers.ok()) return buffers.status();
  stack->buffers_ = *std::move(buffers);
  return stack;
}

KernelStack::KernelStack(runtime::Reactor& reactor, runtime::FramePool& pool, runtime::Scheduler& scheduler,
                         const Options& options)
    : reactor_(reactor), pool_(pool), scheduler_(scheduler), options_(options) {
  pool.SetOnReturn(runtime::FrameHolder::Kind::kKernel, &OnFrameBack);
}

KernelStack::~KernelStack() {
  const Nanos limit = MonotonicNow() + kCloseLimit;
  while (stats_.sockets > 0) {
    WEIR_CHECK(MonotonicNow() < limit);  // a socket was not closed before its stack
    reactor_.Wait(MonotonicNow() + kMillisecond);
    reactor_.Poll();
  }
  scheduler_.timers().Cancel(retry_);
  scheduler_.timers().Cancel(stalled_retry_);
  if (leftovers_.empty()) return;
  pool_.ForgetHolders();
  while (KernelReceiver* receiver = leftovers_.PopFront()) receiver->Free();
}

absl::StatusOr<ListenerBackendPtr> KernelStack::ListenTcp(const Endpoint& local, const TcpListenOptions& options) {
  const std::string what = absl::StrCat("cannot listen on ", local.ToString());
  if (options.backlog < 1) return absl::InvalidArgumentError(absl::StrCat(what, ": the backlog must be at least 1"));
  UniqueFd fd = BoundSocket(SOCK_STREAM, local, {.reuse_port = options_.reuse_port, .reuse_address = true});
  const bool fast_open = options.fast_open > 0;
  if (!fd.valid() || (fast_open && !SetSocketOption(fd.get(), IPPROTO_TCP, TCP_FASTOPEN, options.fast_open)) ||
      listen(fd.get(), options.backlog) != 0) {
    return SocketError(errno, what, "-ltnp");
  }
  const std::string name = LocalEndpoint(fd.get()).ToString();
  return ListenerBackendPtr(
      new KernelListener(*this, fd.Release(), static_cast<size_t>(options.backlog), name, /*shared=*/false));
}

absl::StatusOr<StreamBackendPtr> KernelStack::OpenTcp(const Endpoint& peer) {
  UniqueFd fd(socket(FamilyOf(peer.ip), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return runtime::ErrnoStatus(errno, absl::StrCat("cannot connect to ", peer.ToString()));
  }
  return StreamBackendPtr(new KernelStream(*this, fd.Release(), peer));
}

absl::StatusOr<UdpBackendPtr> KernelStack::BindUdp(const Endpoint& local, const UdpBindOptions& options) {
  const std::string what = absl::StrCat("cannot bind UDP ", local.ToString());
  UniqueFd fd = BoundSocket(SOCK_DGRAM, local,
                            {.reuse_port = options_.reuse_port || options.reuse_port,
                             .reuse_address = options.reuse_address});
  if (!fd.valid()) return SocketError(errno, what, "-lunp");
  if (!KernelUdp::Prepare(fd.get(), options)) return runtime::ErrnoStatus(errno, what);
  return UdpBackendPtr(new KernelUdp(*this, fd.Release()));
}

StreamBackendPtr KernelStack::AdoptStream(int fd) { return StreamBackendPtr(new KernelStream(*this, fd)); }

ListenerBackendPtr KernelStack::AdoptListener(int fd, int backlog, std::string name, bool shared) {
  return ListenerBackendPtr(
      new KernelListener(*this, fd, static_cast<size_t>(backlog), std::move(name), shared));
}

UnixDatagramBackendPtr KernelStack::AdoptUnixDatagram(int fd) {
  return UnixDatagramBackendPtr(new KernelUnixDatagram(*this, fd));
}

bool KernelStack::BuffersOrWait(KernelReceiver& receiver) {
  ++stats_.out_of_buffers;
  buffers_->RanDry();
  if (buffers_->provided() > 0) return true;
  WaitForFrames(receiver);
  return false;
}

void KernelStack::WaitForFrames(KernelReceiver& receiver) {
  if (!receiver.linked()) waiting_.PushBack(receiver);
  if (!retry_.armed()) scheduler_.timers().Arm(retry_, SaturatingAdd(scheduler_.now_ns(), kBufferRetry));
}

void KernelStack::OnRetry(runtime::Timer& timer, Nanos now_ns) {
  KernelStack& self = static_cast<RetryTimer&>(timer).stack;
  if (self.waiting_.empty()) return;
  self.buffers_->Refill();
  // One receiver a buffer at most: the others would only end again.
  for (uint32_t n = self.buffers_->provided(); n > 0; --n) {
    KernelReceiver* receiver = self.waiting_.PopFront();
    if (receiver == nullptr) return;
    receiver->BuffersBack();
  }
  if (!self.waiting_.empty()) self.scheduler_.timers().Arm(timer, SaturatingAdd(now_ns, kBufferRetry));
}

bool KernelStack::HasTooMuch(const KernelReceiver& receiver) const {
  const uint32_t free = pool_.free_count() + buffers_->provided(), reserve = pool_.size() / kReserveFraction;
  const uint32_t left = free > reserve ? free - reserve : 0;
  return receiver.held() + receiver.unread() > (receiver.tell() ? left / 2 : left);
}

bool KernelStack::MayReceive(KernelReceiver& receiver) {
  if (!HasTooMuch(receiver)) [[likely]] {
    if (receiver.stalled()) receiver.Unlink();
    receiver.set_tell(false);
    return true;
  }
  if (receiver.stalled()) return false;
  if (!receiver.tell()) ++stats_.recv_stalled;
  receiver.set_tell(true);
  stalled_.PushBack(receiver);
  if (!stalled_retry_.armed()) {
    scheduler_.timers().Arm(stalled_retry_, SaturatingAdd(scheduler_.now_ns(), kStalledRetry));
  }
  return false;
}

void KernelStack::OnStalledRetry(runtime::Timer& timer, Nanos now_ns) {
  KernelStack& self = static_cast<RetryTimer&>(timer).stack;
  // Those that have too much still go behind the others.
  runtime::List<KernelReceiver, KernelReceiver> round;
  round.Splice(self.stalled_);
  for (int n = 0; n < kStalledRound && !round.empty(); ++n) round.PopFront()->BuffersBack();
  round.Splice(self.stalled_);
  self.stalled_.Splice(round);
  if (!self.stalled_.empty()) self.scheduler_.timers().Arm(timer, SaturatingAdd(now_ns, kStalledRetry));
}

// Nothing is prepared in here, where frames are being given back: BuffersBack is called in the next round of timers.
void KernelStack::OnFrameBack(runtime::FrameHolder& holder) {
  auto& receiver = static_cast<KernelReceiver&>(holder);
  KernelStack& self = receiver.stack();
  if (receiver.leftover()) {
    if (receiver.held() > 0) return;
    receiver.Unlink();
    return receiver.Free();
  }
  if (!receiver.stalled() || self.HasTooMuch(receiver)) return;
  receiver.set_tell(false);
  receiver.Unlink();
  self.waiting_.PushBack(receiver);
  if (!self.retry_.armed()) self.scheduler_.timers().Arm(self.retry_, self.scheduler_.now_ns());
}

void KernelStack::Leave(KernelReceiver& receiver) {
  --stats_.sockets;
  if (receiver.held() == 0) return receiver.Free();
  receiver.BecomeLeftover();
  leftovers_.PushBack(receiver);
}

}  // namespace weir::netstack
