// IPPROTO_TCP of TcpPosix, and how options of other levels reach the connection. Linux: do_tcp_setsockopt,
// do_tcp_getsockopt.
#include <linux/tcp.h>

#include <algorithm>
#include <climits>
#include <string>

#include "netstack/ip/ip_output.h"
#include "netstack/tcp/tcp_fast_open.h"
#include "netstack/tcp/tcp_keepalive.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/interop/tcp_info.h"
#include "tests/interop/tcp_posix.h"

namespace weir::interop {

using netstack::TcpSockOption;
using netstack::TcpState;

namespace {

constexpr size_t kNameMax = 16;     // TCP_CA_NAME_MAX
constexpr int kFinTimeoutMax = 120;  // TCP_FIN_TIMEOUT_MAX

struct Entry {
  int name;
  TcpSockOption option;
};
constexpr Entry kPlain[] = {
    {TCP_MAXSEG, TcpSockOption::kMaxSegment},         {TCP_SYNCNT, TcpSockOption::kSynCount},
    {TCP_USER_TIMEOUT, TcpSockOption::kUserTimeout},  {TCP_QUICKACK, TcpSockOption::kQuickAck},
    {TCP_NOTSENT_LOWAT, TcpSockOption::kNotSentLowat},
};
const Entry* FindPlain(int name) {
  const auto* at = std::ranges::find(kPlain, name, &Entry::name);
  return at == std::end(kPlain) ? nullptr : at;
}

}  // namespace

int TcpPosix::Set(TcpSockOption option, uint64_t value) {
  if (!netstack::TcpOptionValid(option, value)) return -EINVAL;
  const uint64_t kept = netstack::TcpOptionValue(stack_.inet.tcp.settings, option, value);
  set_.options[static_cast<size_t>(option)] = kept;
  if (conn_ != nullptr) return -netstack::TcpSetOption(*conn_, option, value);
  if (listener_ != nullptr) listener_->inherited.options[static_cast<size_t>(option)] = kept;
  return 0;
}

uint64_t TcpPosix::Get(TcpSockOption option) const {
  if (conn_ != nullptr && conn_->state != TcpState::kClosed) return netstack::TcpGetOption(*conn_, option);
  return set_.options[static_cast<size_t>(option)].value_or(0);
}

int TcpPosix::SetKeepAlive() {
  const auto times = options_.keepalive ? std::optional(keepalive_) : std::nullopt;
  set_.keepalive = times;
  if (listener_ != nullptr) listener_->inherited.keepalive = times;
  if (conn_ != nullptr) {
    netstack::TcpSetKeepAlive(*conn_, options_.keepalive ? static_cast<uint32_t>(keepalive_.idle_s) : 0,
                              static_cast<uint32_t>(keepalive_.interval_s), static_cast<uint8_t>(keepalive_.count),
                              now_ns());
  }
  return 0;
}

int TcpPosix::SocketOptionSet(int name, int value) {
  switch (name) {
    case SO_KEEPALIVE:
      return SetKeepAlive();
    case SO_RCVBUF:
      return Set(TcpSockOption::kReceiveBuffer, static_cast<uint64_t>(*options_.receive_buffer / 2));
    case SO_SNDBUF:
      return Set(TcpSockOption::kSendBuffer, static_cast<uint64_t>(*options_.send_buffer / 2));
    case SO_MAX_PACING_RATE:
      return Set(TcpSockOption::kMaxPacingRate, options_.max_pacing_rate == UINT64_MAX ? 0 : options_.max_pacing_rate);
    case SO_RCVLOWAT:
      pollers().Wake();
      return 0;
    default:
      static_cast<void>(value);
      return 0;
  }
}

void TcpPosix::IpOptionsSet() {
  const bool v4 = conn_ != nullptr ? conn_->remote.ip.is_v4() : domain_ == AF_INET;
  const int ttl = v4 ? ip_.ttl : ip_.hops;
  (void)Set(TcpSockOption::kTtl, static_cast<uint64_t>(std::max(ttl, 0)));
  (void)Set(TcpSockOption::kTos, static_cast<uint64_t>(v4 ? ip_.tos : ip_.tclass));
  (void)Set(TcpSockOption::kMinTtl, static_cast<uint64_t>(v4 ? ip_.min_ttl : ip_.min_hops));
  // What goes beyond IP_PMTUDISC_DO means no more to TCP than DONT.
  const int discover = v4 ? ip_.mtu_discover : ip_.mtu_discover6;
  (void)Set(TcpSockOption::kMtuDiscover, discover > 2 ? 0 : static_cast<uint64_t>(discover));
  if (conn_ != nullptr) conn_->recverr = v4 ? ip_.recverr : ip_.recverr6;
}

int TcpPosix::PathMtu() const {
  if (conn_ == nullptr || conn_->state == TcpState::kClosed) return -ENOTCONN;
  return static_cast<int>(netstack::PathMtu(context(), conn_->remote.ip));
}

int TcpPosix::SetCongestion(std::span<const std::byte> name) {
  if (name.empty()) return -EINVAL;
  const auto* text = reinterpret_cast<const char*>(name.data());
  const std::string_view wanted(text, strnlen(text, std::min(name.size(), kNameMax - 1)));
  const auto control = netstack::TcpCongestionControlByName(wanted);
  if (!control.has_value()) return -ENOENT;
  set_.congestion = control;
  if (listener_ != nullptr) listener_->inherited.congestion = control;
  if (conn_ != nullptr) (void)netstack::TcpSetCongestionControl(*conn_, wanted);
  return 0;
}

int TcpPosix::SetProtocolOption(int level, int name, std::span<const std::byte> value) {
  if (level != IPPROTO_TCP) return -ENOPROTOOPT;
  if (name == TCP_CONGESTION) return SetCongestion(value);
  int number = 0;
  if (!ReadInt(value, &number)) return -EINVAL;
  if (const Entry* plain = FindPlain(name)) {
    if (name == TCP_QUICKACK) return Set(plain->option, number != 0 && (number & 1) != 0);
    if (number < 0 && name != TCP_NOTSENT_LOWAT) return -EINVAL;
    const int error = Set(plain->option, static_cast<uint32_t>(number));
    pollers().Wake();
    return error;
  }
  return SetTcp(name, number);
}

int TcpPosix::SetTcp(int name, int number) {
  switch (name) {
    case TCP_NODELAY:
      return Set(TcpSockOption::kNoDelay, number != 0);
    case TCP_CORK:
      corked_ = number != 0;
      msg_more_ = false;
      return Set(TcpSockOption::kCork, number != 0);
    case TCP_KEEPIDLE:
    case TCP_KEEPINTVL:
      if (number < 1 || number > 32767) return -EINVAL;
      (name == TCP_KEEPIDLE ? keepalive_.idle_s : keepalive_.interval_s) = number;
      return SetKeepAlive();
    case TCP_KEEPCNT:
      if (number < 1 || number > 127) return -EINVAL;
      keepalive_.count = number;
      return SetKeepAlive();
    case TCP_LINGER2:
      linger2_ = number < 0 ? -1 : std::min(number, kFinTimeoutMax);
      // -1: no FIN-WAIT-2 at all; a second is the least that there is here.
      return Set(TcpSockOption::kFinTimeout, static_cast<uint64_t>(linger2_ < 0 ? 1 : linger2_));
    case TCP_DEFER_ACCEPT: {
      const uint8_t retrans = number <= 0 ? 0 : netstack::TcpSecsToRetrans(static_cast<uint64_t>(number));
      set_.options[static_cast<size_t>(TcpSockOption::kDeferAccept)] = retrans;
      if (listener_ != nullptr) listener_->defer_accept = retrans;
      return 0;
    }
    case TCP_WINDOW_CLAMP:
      if (number != 0) return Set(TcpSockOption::kWindowClamp, static_cast<uint64_t>(std::max(number, 1)));
      if (state() != TcpState::kClosed || listener_ != nullptr) return -EINVAL;
      set_.options[static_cast<size_t>(TcpSockOption::kWindowClamp)].reset();
      return 0;
    case TCP_FASTOPEN:
    case TCP_FASTOPEN_CONNECT:
      return SetFastOpen(name, number);
    default:
      return -ENOPROTOOPT;
  }
}

int TcpPosix::SetFastOpen(int name, int number) {
  if (name == TCP_FASTOPEN) {
    if (number < 0 || state() != TcpState::kClosed) return -EINVAL;
    fast_open_queue_ = number;
    if (listener_ != nullptr) listener_->fast_open_max = static_cast<uint32_t>(number);
    return 0;
  }
  if (number < 0 || number > 1) return -EINVAL;
  if ((stack_.inet.tcp.settings.fastopen & 1) == 0) return -EOPNOTSUPP;
  if (state() != TcpState::kClosed) return -EINVAL;
  fast_open_connect_ = number != 0;
  return 0;
}

int TcpPosix::GetProtocolOption(int level, int name, int room, OptionValue* value) {
  if (level != IPPROTO_TCP) return PosixSocket::GetProtocolOption(level, name, room, value);
  if (room < 0) return -EINVAL;
  int number = 0;
  if (GetTcp(name, &number)) return value->Put(number, room);
  return GetTcpStruct(name, room, value);
}

bool TcpPosix::GetTcp(int name, int* number) const {
  const bool open = conn_ != nullptr && conn_->state != TcpState::kClosed;
  const netstack::TcpSettings& settings = stack_.inet.tcp.settings;
  switch (name) {
    case TCP_MAXSEG:
      *number = static_cast<int>(Get(TcpSockOption::kMaxSegment));
      if (!open && *number == 0) *number = 536;  // TCP_MSS_DEFAULT
      return true;
    case TCP_NODELAY:
      *number = set_.options[static_cast<size_t>(TcpSockOption::kNoDelay)].value_or(0) != 0;
      return true;
    case TCP_CORK:
      *number = corked_;
      return true;
    case TCP_KEEPIDLE:
      *number = keepalive_.idle_s;
      return true;
    case TCP_KEEPINTVL:
      *number = keepalive_.interval_s;
      return true;
    case TCP_KEEPCNT:
      *number = keepalive_.count;
      return true;
    case TCP_SYNCNT:
      *number = static_cast<int>(set_.options[static_cast<size_t>(TcpSockOption::kSynCount)].value_or(6));
      return true;
    case TCP_LINGER2:
      *number = linger2_ == 0 ? static_cast<int>(settings.fin_timeout_s) : linger2_;
      return true;
    case TCP_DEFER_ACCEPT:
      *number = static_cast<int>(netstack::TcpRetransToSecs(
          static_cast<uint8_t>(set_.options[static_cast<size_t>(TcpSockOption::kDeferAccept)].value_or(0))));
      return true;
    case TCP_WINDOW_CLAMP:
      *number = static_cast<int>(Get(TcpSockOption::kWindowClamp));
      return true;
    case TCP_QUICKACK:
      *number = open ? Get(TcpSockOption::kQuickAck) != 0 : 1;
      return true;
    case TCP_USER_TIMEOUT:
      *number = static_cast<int>(Get(TcpSockOption::kUserTimeout));
      return true;
    case TCP_NOTSENT_LOWAT:
      *number = static_cast<int>(Get(TcpSockOption::kNotSentLowat));
      return true;
    case TCP_FASTOPEN:
      *number = fast_open_queue_;
      return true;
    case TCP_FASTOPEN_CONNECT:
      *number = fast_open_connect_;
      return true;
    default:
      return false;
  }
}

int TcpPosix::GetTcpStruct(int name, int room, OptionValue* value) const {
  switch (name) {
    case TCP_INFO:
      return value->Put(MakeTcpInfo(conn_, listener_.get(), opened_, now_ns()), room);
    case TCP_CONGESTION: {
      const auto control = conn_ != nullptr ? conn_->congestion.control()
                                            : set_.congestion.value_or(stack_.inet.tcp.settings.congestion_control);
      char text[kNameMax] = {};
      const std::string_view known = netstack::TcpCongestionControlName(control);
      std::copy(known.begin(), known.end(), text);
      return value->Put(text, room);
    }
    case TCP_CC_INFO:  // CUBIC and Reno have nothing to tell there
      value->length = 0;
      return 0;
    default:
      return -ENOPROTOOPT;
  }
}

}  // namespace weir::interop
