// Receiving, sending and poll of TcpPosix. Linux: tcp_recvmsg_locked, tcp_sendmsg_locked, tcp_poll, tcp_ioctl.
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_urgent.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/interop/tcp_posix.h"

namespace weir::interop {

using netstack::TcpSock;
using netstack::TcpState;

namespace {

constexpr unsigned kSiocOutqNsd = 0x894b;
constexpr unsigned kSiocAtMark = 0x8905;

}  // namespace

int64_t TcpPosix::Recv(std::span<std::byte> into, int flags, size_t* done, size_t* given, PosixAddress* from) {
  from->length = 0;
  *given = 0;
  if (listener_ != nullptr) return -ENOTCONN;
  if ((flags & MSG_ERRQUEUE) != 0) return -EAGAIN;
  if ((flags & MSG_OOB) != 0) return RecvUrgent(into, flags, given);
  const size_t wanted = (flags & MSG_WAITALL) != 0 ? into.size() : static_cast<size_t>(options_.receive_low);
  const size_t target = std::max<size_t>(std::min(wanted, into.size()), 1);
  if (conn_ != nullptr) {
    if (into.empty() && !conn_->receive_queue.empty()) return 0;
    if ((flags & MSG_PEEK) != 0) {
      const iovec all{into.data(), into.size()};
      *done = netstack::TcpPeekmsg(*conn_, {&all, 1});
    } else {
      const iovec rest{into.data() + *done, into.size() - *done};
      const size_t got = rest.iov_len == 0 ? 0 : netstack::TcpRecvmsg(*conn_, {&rest, 1});
      *done += got;
      netstack::TcpCleanupRbuf(*conn_);
    }
  }
  *given = *done;
  if (*done >= target) return static_cast<int64_t>(*done);
  const bool over = (shut() & kRecvShut) != 0 || state() == TcpState::kClosed;
  if (*done > 0) return over || (conn_ != nullptr && conn_->error != 0) ? static_cast<int64_t>(*done) : -EAGAIN;
  if (ended_) return 0;
  if (const int error = HardError(); error != 0) return -error;
  if ((shut() & kRecvShut) != 0) return 0;
  if (state() == TcpState::kClosed) return -ENOTCONN;
  if (conn_->fast_open.deferred) stack_.inet.tcp.WantOutput(*conn_);  // nothing will come before the SYN
  return -EAGAIN;
}

// tcp_recv_urg.
int64_t TcpPosix::RecvUrgent(std::span<std::byte> into, int flags, size_t* given) {
  if (options_.oob_inline || conn_ == nullptr || conn_->extra == nullptr) return -EINVAL;
  auto& urg = conn_->extra->urg;
  if (!urg.pending && !urg.kept) return -EINVAL;
  if (!urg.kept) {
    if (state() == TcpState::kClosed || (shut() & kRecvShut) != 0) return 0;
    return -EAGAIN;
  }
  if (into.empty()) return 0;
  into[0] = urg.byte;
  *given = 1;
  if ((flags & MSG_PEEK) == 0) urg.kept = false;
  return 1;
}

int TcpPosix::WhyNotSend(bool done) {
  const auto told = [&] {
    const int error = done ? 0 : HardError();
    return error != 0 ? -error : -EPIPE;
  };
  if (conn_ == nullptr) return told();
  const bool early = conn_->fast_open.early || conn_->fast_open.accepted;
  const TcpState now = state();
  if ((now == TcpState::kSynSent || now == TcpState::kSynReceived) && !early) {
    if (conn_->error != 0) return told();
    return (shut() & kSendShut) != 0 ? -EPIPE : -EAGAIN;
  }
  const bool open = now == TcpState::kEstablished || now == TcpState::kCloseWait || early;
  if (!open || conn_->error != 0 || (shut() & kSendShut) != 0 || now == TcpState::kClosed) return told();
  return 0;
}

// MSG_MORE is TCP_CORK for as long as the calls say so.
void TcpPosix::Cork(bool more) {
  msg_more_ = more;
  const bool cork = corked_ || more;
  if (conn_->cork == cork) return;
  conn_->cork = cork;
  stack_.inet.tcp.WantOutput(*conn_);
}

int TcpPosix::SendFastOpen(std::span<const std::byte> to) {
  if ((stack_.inet.tcp.settings.fastopen & 1) == 0) return -EOPNOTSUPP;
  if (phase_ != Phase::kUnconnected) return phase_ == Phase::kConnected ? -EISCONN : -EALREADY;
  Endpoint peer;
  if (const int error = FromPosix(to, domain_, ip_.v6only, ENETUNREACH, &peer); error != 0) return -error;
  return StartConnect(peer, /*fast_open=*/true);
}

int64_t TcpPosix::Send(std::span<const std::byte> data, int flags, size_t* done, std::span<const std::byte> to) {
  if ((flags & MSG_FASTOPEN) != 0 && *done == 0 && conn_ == nullptr) {
    if (const int error = SendFastOpen(to); error != 0) return error;
  }
  if (const int error = WhyNotSend(*done > 0); error != 0) {
    if (*done > 0 && error != -EAGAIN) return static_cast<int64_t>(*done);
    return error;
  }
  if (phase_ == Phase::kConnecting && !InHandshake()) phase_ = Phase::kConnected;
  const bool more = (flags & MSG_MORE) != 0;
  if (more || msg_more_) Cork(more);
  const iovec all{const_cast<std::byte*>(data.data()), data.size()};
  const bool taken = netstack::TcpSendmsg(*conn_, {&all, 1}, done);
  if ((flags & MSG_OOB) != 0 && taken && !data.empty()) netstack::TcpMarkUrgent(*conn_);
  return taken ? static_cast<int64_t>(*done) : -EAGAIN;
}

short TcpPosix::Poll() const {
  if (listener_ != nullptr) return listener_->accept_queue.empty() ? 0 : POLLIN | POLLRDNORM;
  int mask = 0;
  const uint8_t shut_now = shut();
  const TcpState now = state();
  if (shut_now == (kRecvShut | kSendShut) || now == TcpState::kClosed) mask |= POLLHUP;
  if ((shut_now & kRecvShut) != 0) mask |= POLLIN | POLLRDNORM | POLLRDHUP;
  if (!InHandshake()) {
    const auto target = static_cast<uint32_t>(std::max(options_.receive_low, 1));
    if (conn_ != nullptr && conn_->rcv.queued >= target) mask |= POLLIN | POLLRDNORM;
    if ((shut_now & kSendShut) != 0 || Writable()) mask |= POLLOUT | POLLWRNORM;
    const bool urgent = conn_ != nullptr && conn_->extra != nullptr && conn_->extra->urg.kept;
    if (urgent) mask |= POLLPRI;
  } else if (now == TcpState::kSynSent && conn_->fast_open.early) {
    mask |= POLLOUT | POLLWRNORM;
  }
  if ((conn_ == nullptr ? error_ : conn_->error) != 0) mask |= POLLERR;
  return static_cast<short>(mask);
}

// __sk_stream_is_writeable: a third of the buffer is free, and half of TCP_NOTSENT_LOWAT.
bool TcpPosix::Writable() const {
  if (conn_ == nullptr) return true;
  const auto queued = static_cast<uint32_t>(conn_->snd.write_seq - conn_->snd.una);
  const auto unsent = static_cast<uint64_t>(static_cast<uint32_t>(conn_->snd.write_seq - conn_->snd.nxt));
  const uint32_t room = conn_->snd.buffer > queued ? conn_->snd.buffer - queued : 0;
  return room >= queued / 2 && room > 0 && 2 * unsent < netstack::TcpNotSentLowat(*conn_);
}

int TcpPosix::Ioctl(unsigned request, int* value) {
  const bool before = conn_ == nullptr || InHandshake();
  switch (request) {
    case SIOCINQ:
      if (listener_ != nullptr) return -EINVAL;
      *value = before ? 0 : static_cast<int>(conn_->rcv.queued);
      return 0;
    case SIOCOUTQ:
      if (listener_ != nullptr) return -EINVAL;
      *value = before ? 0 : static_cast<int>(static_cast<uint32_t>(conn_->snd.write_seq - conn_->snd.una));
      return 0;
    case kSiocOutqNsd:
      if (listener_ != nullptr) return -EINVAL;
      *value = before ? 0 : static_cast<int>(static_cast<uint32_t>(conn_->snd.write_seq - conn_->snd.nxt));
      return 0;
    case kSiocAtMark:
      *value = !before && conn_->extra != nullptr && conn_->extra->urg.kept && conn_->receive_queue.empty();
      return 0;
    default:
      return -ENOTTY;
  }
}

std::array<uint32_t, 9> TcpPosix::MemInfo() const {
  std::array<uint32_t, 9> info{};
  info[1] = static_cast<uint32_t>(options_.receive_buffer.value_or(DefaultReceiveBuffer()));
  info[3] = static_cast<uint32_t>(options_.send_buffer.value_or(DefaultSendBuffer()));
  if (conn_ == nullptr) return info;
  const netstack::TcpMemInfo memory = netstack::TcpGetMemInfo(*conn_);
  info[0] = memory.receive_allocated;
  if (!options_.receive_buffer.has_value()) info[1] = 2 * memory.receive_buffer;
  if (!options_.send_buffer.has_value()) info[3] = 2 * memory.send_buffer;
  info[5] = memory.send_queued;
  return info;
}

}  // namespace weir::interop
