#include "netstack/socket/kernel_tcp_options.h"

#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/socket/kernel_listener.h"
#include "netstack/socket/kernel_stream.h"
#include "netstack/socket/sockaddr.h"
#include "netstack/tcp/tcp_state.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {
namespace {

absl::Status Failed(absl::string_view what) { return runtime::ErrnoStatus(errno, absl::StrCat("cannot set ", what)); }

// By the kernel's numbers (net/tcp_states.h), which begin with 1.
constexpr TcpState kStates[] = {TcpState::kClosed,      TcpState::kEstablished, TcpState::kSynSent,
                                TcpState::kSynReceived, TcpState::kFinWait1,    TcpState::kFinWait2,
                                TcpState::kTimeWait,    TcpState::kClosed,      TcpState::kCloseWait,
                                TcpState::kLastAck,     TcpState::kClosed,      TcpState::kClosing,
                                TcpState::kSynReceived};

constexpr int kEcnBits = 3;

struct OptionName {
  int level, name;
  absl::string_view text;
  int name6 = 0;  // at IPPROTO_IPV6, of a socket of that version
};

const OptionName& NameOf(TcpSockOption option) {
  static constexpr OptionName kNames[] = {
      {IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY"},
      {IPPROTO_TCP, TCP_CORK, "TCP_CORK"},
      {IPPROTO_TCP, TCP_QUICKACK, "TCP_QUICKACK"},
      {IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT"},
      {SOL_SOCKET, SO_LINGER, "SO_LINGER"},
      {SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF"},
      {SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF"},
      {SOL_SOCKET, SO_MAX_PACING_RATE, "SO_MAX_PACING_RATE"},
      {IPPROTO_TCP, TCP_LINGER2, "TCP_LINGER2"},
      {IPPROTO_TCP, TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT"},
      {IPPROTO_TCP, TCP_SYNCNT, "TCP_SYNCNT"},
      {IPPROTO_TCP, TCP_MAXSEG, "TCP_MAXSEG"},
      {IPPROTO_TCP, TCP_WINDOW_CLAMP, "TCP_WINDOW_CLAMP"},
      {IPPROTO_IP, IP_TOS, "IP_TOS", IPV6_TCLASS},
      {IPPROTO_IP, IP_TTL, "IP_TTL", IPV6_UNICAST_HOPS},
      {IPPROTO_IP, IP_MTU_DISCOVER, "IP_MTU_DISCOVER", IPV6_MTU_DISCOVER},
      {IPPROTO_IP, IP_MINTTL, "IP_MINTTL", IPV6_MINHOPCOUNT},
      {IPPROTO_TCP, TCP_DEFER_ACCEPT, "TCP_DEFER_ACCEPT"},
  };
  static_assert(std::size(kNames) == kTcpSockOptions);
  return kNames[static_cast<size_t>(option)];
}

template <typename T>
bool Get(int fd, int level, int name, T* value) {
  socklen_t length = sizeof *value;
  return getsockopt(fd, level, name, value, &length) == 0;
}

bool IsV6(int fd) {
  int domain = 0;
  return Get(fd, SOL_SOCKET, SO_DOMAIN, &domain) && domain == AF_INET6;
}

}  // namespace

absl::Status SetKernelTcpOption(int fd, TcpSockOption option, uint64_t value) {
  const OptionName& name = NameOf(option);
  const auto done = [&](bool set) { return set ? absl::OkStatus() : Failed(name.text); };
  // Numbers that to the kernel would be negative, or that it brings within bounds.
  const bool bad = (option == TcpSockOption::kResetOnClose && value > 1) ||
                   (option != TcpSockOption::kMaxPacingRate && value > UINT_MAX) ||
                   ((option == TcpSockOption::kFinTimeout || option == TcpSockOption::kDeferAccept ||
                     option == TcpSockOption::kWindowClamp) &&
                    value > INT_MAX) ||
                   (option == TcpSockOption::kWindowClamp && value == 0);
  if (bad) {
    errno = EINVAL;
    return done(false);
  }
  if (option == TcpSockOption::kResetOnClose) {
    const linger now{.l_onoff = value != 0, .l_linger = 0};
    return done(setsockopt(fd, name.level, name.name, &now, sizeof now) == 0);
  }
  if (option == TcpSockOption::kMaxPacingRate) {
    const uint64_t rate = value == 0 ? UINT64_MAX : value;
    return done(setsockopt(fd, name.level, name.name, &rate, sizeof rate) == 0);
  }
  const int number = option == TcpSockOption::kTtl && value == 0 ? -1 : static_cast<int>(value);
  // One of IPv6 may carry IPv4.
  const bool both = name.name6 != 0 && IsV6(fd);
  return done(SetSocketOption(fd, name.level, name.name, number) &&
              (!both || SetSocketOption(fd, IPPROTO_IPV6, name.name6, number)));
}

absl::StatusOr<uint64_t> GetKernelTcpOption(int fd, TcpSockOption option) {
  const OptionName& name = NameOf(option);
  const auto failed = [&] { return runtime::ErrnoStatus(errno, absl::StrCat("cannot get ", name.text)); };
  if (option == TcpSockOption::kResetOnClose) {
    linger now{};
    if (!Get(fd, name.level, name.name, &now)) return failed();
    return now.l_onoff != 0 && now.l_linger == 0;
  }
  if (option == TcpSockOption::kMaxPacingRate) {
    uint64_t rate = 0;
    if (!Get(fd, name.level, name.name, &rate)) return failed();
    return rate == UINT64_MAX ? 0 : rate;
  }
  int number = 0;
  const bool v6 = name.name6 != 0 && IsV6(fd);
  if (!Get(fd, v6 ? IPPROTO_IPV6 : name.level, v6 ? name.name6 : name.name, &number)) return failed();
  if (option == TcpSockOption::kTos) number &= ~kEcnBits;  // which the kernel keeps there
  return static_cast<uint64_t>(number);
}

absl::Status SetKernelKeepAlive(int fd, const std::optional<TcpKeepAlive>& times) {
  const bool set = !times.has_value() || (SetSocketOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, times->idle_s) &&
                                          SetSocketOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, times->interval_s) &&
                                          SetSocketOption(fd, IPPROTO_TCP, TCP_KEEPCNT, times->count));
  if (!set || !SetSocketOption(fd, SOL_SOCKET, SO_KEEPALIVE, times.has_value())) return Failed("SO_KEEPALIVE");
  return absl::OkStatus();
}

absl::StatusOr<std::optional<TcpKeepAlive>> GetKernelKeepAlive(int fd) {
  int on = 0;
  TcpKeepAlive times;
  if (!Get(fd, SOL_SOCKET, SO_KEEPALIVE, &on) || !Get(fd, IPPROTO_TCP, TCP_KEEPIDLE, &times.idle_s) ||
      !Get(fd, IPPROTO_TCP, TCP_KEEPINTVL, &times.interval_s) || !Get(fd, IPPROTO_TCP, TCP_KEEPCNT, &times.count)) {
    return runtime::ErrnoStatus(errno, "cannot get SO_KEEPALIVE");
  }
  return on != 0 ? std::optional(times) : std::nullopt;
}

absl::Status SetKernelCongestionControl(int fd, std::string_view name) {
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size())) == 0) {
    return absl::OkStatus();
  }
  return Failed("TCP_CONGESTION");
}

absl::StatusOr<std::string> GetKernelCongestionControl(int fd) {
  char name[16] = {};  // TCP_CA_NAME_MAX
  if (!Get(fd, IPPROTO_TCP, TCP_CONGESTION, &name)) return runtime::ErrnoStatus(errno, "cannot get TCP_CONGESTION");
  return std::string(name, strnlen(name, sizeof name));
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
absl::StatusOr<uint64_t> KernelStream::GetTcpOption(TcpSockOption option) const {
  return GetKernelTcpOption(fd_, option);
}
absl::Status KernelStream::SetKeepAlive(const std::optional<TcpKeepAlive>& times) {
  return SetKernelKeepAlive(fd_, times);
}
absl::StatusOr<std::optional<TcpKeepAlive>> KernelStream::GetKeepAlive() const { return GetKernelKeepAlive(fd_); }
absl::Status KernelStream::SetCongestionControl(std::string_view name) { return SetKernelCongestionControl(fd_, name); }
absl::StatusOr<std::string> KernelStream::GetCongestionControl() const { return GetKernelCongestionControl(fd_); }

// What the kernel has queued, and what lies here already.
absl::StatusOr<TcpInfo> KernelStream::Info() const {
  absl::StatusOr<TcpInfo> info = KernelTcpInfo(fd_);
  if (!info.ok()) return info;
  for (const runtime::Frame* frame = queue_.head(); frame != nullptr; frame = frame->next) {
    info->unread_bytes += frame->len;
  }
  return info;
}

absl::StatusOr<TcpMemInfo> KernelStream::MemInfo() const {
  uint32_t memory[SK_MEMINFO_VARS] = {};
  if (!Get(fd_, SOL_SOCKET, SO_MEMINFO, &memory)) return runtime::ErrnoStatus(errno, "SO_MEMINFO");
  const auto here = static_cast<uint32_t>(queue_.count() * stack_.pool().frame_size());
  return TcpMemInfo{.receive_allocated = memory[SK_MEMINFO_RMEM_ALLOC] + here,
                    .receive_buffer = memory[SK_MEMINFO_RCVBUF],
                    .send_queued = memory[SK_MEMINFO_WMEM_QUEUED],
                    .send_buffer = memory[SK_MEMINFO_SNDBUF]};
}

// A receive that was under way may have it already.
absl::Status KernelStream::TakeError() {
  if (reset_) return ResetStatus();
  int error = std::exchange(recv_error_, 0);
  if (error != 0) {
    eof_ = true;
  } else if (!Get(fd_, SOL_SOCKET, SO_ERROR, &error)) {
    return runtime::ErrnoStatus(errno, "SO_ERROR");
  }
  if (error == 0) return absl::OkStatus();
  return runtime::ErrnoStatus(error, absl::StrCat("connection with ", peer().ToString()));
}

// The kernel copies what a listening socket has to those that are accepted from it.
absl::Status KernelListener::SetTcpOption(TcpSockOption option, uint64_t value) {
  return SetKernelTcpOption(fd_, option, value);
}
absl::StatusOr<uint64_t> KernelListener::GetTcpOption(TcpSockOption option) const {
  return GetKernelTcpOption(fd_, option);
}
absl::Status KernelListener::SetKeepAlive(const std::optional<TcpKeepAlive>& times) {
  return SetKernelKeepAlive(fd_, times);
}
absl::StatusOr<std::optional<TcpKeepAlive>> KernelListener::GetKeepAlive() const { return GetKernelKeepAlive(fd_); }
absl::Status KernelListener::SetCongestionControl(std::string_view name) {
  return SetKernelCongestionControl(fd_, name);
}
absl::StatusOr<std::string> KernelListener::GetCongestionControl() const { return GetKernelCongestionControl(fd_); }

}  // namespace weir::netstack
