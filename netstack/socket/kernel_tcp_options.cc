#include "netstack/socket/kernel_tcp_options.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "netstack/socket/kernel_listener.h"
#include "netstack/socket/kernel_stream.h"
#include "netstack/socket/sockaddr.h"
#include "netstack/tcp/tcp_state.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {
namespace {

absl::Status Failed(std::string_view what) {
  return runtime::ErrnoStatus(errno, absl::StrCat("cannot set ", absl::string_view(what.data(), what.size())));
}

// By the kernel's numbers (net/tcp_states.h), which begin with 1.
constexpr TcpState kStates[] = {TcpState::kClosed,      TcpState::kEstablished, TcpState::kSynSent,
                                TcpState::kSynReceived, TcpState::kFinWait1,    TcpState::kFinWait2,
                                TcpState::kTimeWait,    TcpState::kClosed,      TcpState::kCloseWait,
                                TcpState::kLastAck,     TcpState::kClosed,      TcpState::kClosing,
                                TcpState::kSynReceived};

}  // namespace

absl::Status SetKernelTcpOption(int fd, TcpSockOption option, uint64_t value) {
  struct {
    int level, name;
    std::string_view text;
  } constexpr kNames[] = {{IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY"},
                          {IPPROTO_TCP, TCP_CORK, "TCP_CORK"},
                          {IPPROTO_TCP, TCP_QUICKACK, "TCP_QUICKACK"},
                          {IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT"},
                          {SOL_SOCKET, SO_LINGER, "SO_LINGER"},
                          {SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF"},
                          {SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF"},
                          {SOL_SOCKET, SO_MAX_PACING_RATE, "SO_MAX_PACING_RATE"},
                          {IPPROTO_TCP, TCP_LINGER2, "TCP_LINGER2"},
                          {IPPROTO_TCP, TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT"}};
  static_assert(std::size(kNames) == kTcpSockOptions);
  const auto& [level, name, text] = kNames[static_cast<size_t>(option)];
  if (option == TcpSockOption::kResetOnClose) {
    if (value > 1) return runtime::ErrnoStatus(EINVAL, "cannot set SO_LINGER");
    const linger now{.l_onoff = value != 0, .l_linger = 0};
    return setsockopt(fd, level, name, &now, sizeof now) == 0 ? absl::OkStatus() : Failed(text);
  }
  if (option == TcpSockOption::kMaxPacingRate) {
    const uint64_t rate = value == 0 ? UINT64_MAX : value;
    return setsockopt(fd, level, name, &rate, sizeof rate) == 0 ? absl::OkStatus() : Failed(text);
  }
  // To the kernel a negative time is none at all.
  if (option == TcpSockOption::kFinTimeout && value > INT_MAX) {
    return runtime::ErrnoStatus(EINVAL, "cannot set TCP_LINGER2");
  }
  return SetSocketOption(fd, level, name, static_cast<int>(value)) ? absl::OkStatus() : Failed(text);
}

absl::Status SetKernelKeepAlive(int fd, const std::optional<TcpKeepAlive>& times) {
  const bool set = !times.has_value() || (SetSocketOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, times->idle_s) &&
                                          SetSocketOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, times->interval_s) &&
                                          SetSocketOption(fd, IPPROTO_TCP, TCP_KEEPCNT, times->count));
  if (!set || !SetSocketOption(fd, SOL_SOCKET, SO_KEEPALIVE, times.has_value())) return Failed("SO_KEEPALIVE");
  return absl::OkStatus();
}

absl::Status SetKernelCongestionControl(int fd, std::string_view name) {
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size())) == 0) {
    return absl::OkStatus();
  }
  return Failed("TCP_CONGESTION");
}

absl::StatusOr<TcpInfo> KernelTcpInfo(int fd) {
  tcp_info info{};  // an older kernel fills less of it
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return runtime::ErrnoStatus(errno, "TCP_INFO");
  constexpr uint32_t kNoMinRtt = UINT32_MAX;
  int unread = 0, unacked = 0;
  if (ioctl(fd, SIOCINQ, &unread) != 0 || ioctl(fd, SIOCOUTQ, &unacked) != 0) {
    return runtime::ErrnoStatus(errno, "SIOCINQ");
  }
  return TcpInfo{.state = info.tcpi_state < std::size(kStates) ? kStates[info.tcpi_state] : TcpState::kClosed,
                 .ca_state = static_cast<TcpCaState>(info.tcpi_ca_state),
                 .timestamps = (info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0,
                 .sack = (info.tcpi_options & TCPI_OPT_SACK) != 0,
                 .window_scaling = (info.tcpi_options & TCPI_OPT_WSCALE) != 0,
                 .syn_data = (info.tcpi_options & TCPI_OPT_SYN_DATA) != 0,
                 .snd_wscale = info.tcpi_snd_wscale,
                 .rcv_wscale = info.tcpi_rcv_wscale,
                 .retransmits = info.tcpi_retransmits,
                 .probes = info.tcpi_probes,
                 .backoff = info.tcpi_backoff,
                 .rto_ns = info.tcpi_rto * kMicrosecond,
                 .rtt_ns = info.tcpi_rtt * kMicrosecond,
                 .rttvar_ns = info.tcpi_rttvar * kMicrosecond,
                 .min_rtt_ns = info.tcpi_min_rtt == kNoMinRtt ? 0 : info.tcpi_min_rtt * kMicrosecond,
                 .snd_mss = info.tcpi_snd_mss,
                 .rcv_mss = info.tcpi_rcv_mss,
                 .advmss = info.tcpi_advmss,
                 .snd_cwnd = info.tcpi_snd_cwnd,
                 .snd_ssthresh = info.tcpi_snd_ssthresh,
                 .unacked = info.tcpi_unacked,
                 .lost = info.tcpi_lost,
                 .snd_wnd = info.tcpi_snd_wnd,
                 .notsent_bytes = info.tcpi_notsent_bytes,
                 .unread_bytes = static_cast<uint32_t>(unread),
                 .unacked_bytes = static_cast<uint32_t>(unacked),
                 .bytes_sent = info.tcpi_bytes_sent,
                 .bytes_retrans = info.tcpi_bytes_retrans,
                 .bytes_acked = info.tcpi_bytes_acked,
                 .bytes_received = info.tcpi_bytes_received,
                 .segs_out = info.tcpi_segs_out,
                 .segs_in = info.tcpi_segs_in,
                 .total_retrans = info.tcpi_total_retrans};
}

absl::Status KernelStream::SetTcpOption(TcpSockOption option, uint64_t value) {
  return SetKernelTcpOption(fd_, option, value);
}

absl::Status KernelStream::SetKeepAlive(const std::optional<TcpKeepAlive>& times) {
  return SetKernelKeepAlive(fd_, times);
}

absl::Status KernelStream::SetCongestionControl(std::string_view name) { return SetKernelCongestionControl(fd_, name); }

// What the kernel has queued, and what lies here already.
absl::StatusOr<TcpInfo> KernelStream::Info() const {
  absl::StatusOr<TcpInfo> info = KernelTcpInfo(fd_);
  if (!info.ok()) return info;
  for (const runtime::Frame* frame = queue_.head(); frame != nullptr; frame = frame->next) {
    info->unread_bytes += frame->len;
  }
  return info;
}

// The kernel copies what a listening socket has to those that are accepted from it.
absl::Status KernelListener::SetTcpOption(TcpSockOption option, uint64_t value) {
  return SetKernelTcpOption(fd_, option, value);
}

absl::Status KernelListener::SetKeepAlive(const std::optional<TcpKeepAlive>& times) {
  return SetKernelKeepAlive(fd_, times);
}

absl::Status KernelListener::SetCongestionControl(std::string_view name) {
  return SetKernelCongestionControl(fd_, name);
}

}  // namespace weir::netstack
