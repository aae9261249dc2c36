#include "netstack/tcp/tcp_sock_options.h"

#include <algorithm>
#include <cerrno>
#include <climits>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_ecn.h"
#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_initial.h"
#include "netstack/tcp/tcp_keepalive.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_pacing.h"
#include "netstack/tcp/tcp_timer.h"

namespace weir::netstack {
namespace {

// The SYN, or SYN and ACK, did not go yet.
bool IsBeforeSyn(const TcpSock& sock) {
  return (sock.state == TcpState::kSynSent || sock.state == TcpState::kSynReceived) && sock.stats.segs_out == 0;
}

void SetQuickAck(TcpSock& sock, bool on) {
  sock.quick_acks = on ? kTcpQuickAcks : 0;
  if (!on || !sock.ack_delayed) return;
  sock.context.WantAck(sock);
}

uint32_t Segments(uint32_t bytes, uint32_t mss) { return (bytes + mss - 1) / mss; }

// The keepalive timer resets the count only when it runs next.
uint8_t UnansweredKeepAlives(const TcpSock& sock) {
  const TcpExtra* extra = sock.extra;
  return extra == nullptr || sock.heard_ns >= extra->sent_ns ? 0 : extra->probes;
}

}  // namespace

bool TcpOptionValid(TcpSockOption option, uint64_t value) {
  switch (option) {
    case TcpSockOption::kSynCount:
      return value >= 1 && value <= 127;  // MAX_TCP_SYNCNT
    case TcpSockOption::kMaxSegment:
      return value == 0 || (value >= 88 && value <= 32767);  // TCP_MIN_MSS, MAX_TCP_WINDOW
    case TcpSockOption::kWindowClamp:
      return value >= 1 && value <= INT_MAX;
    case TcpSockOption::kTos:
    case TcpSockOption::kTtl:
    case TcpSockOption::kMinTtl:
      return value <= 255;
    case TcpSockOption::kMtuDiscover:
      return value <= static_cast<uint64_t>(TcpMtuDiscover::kDo);
    case TcpSockOption::kNoDelay:
    case TcpSockOption::kCork:
    case TcpSockOption::kQuickAck:
    case TcpSockOption::kResetOnClose:
      return value <= 1;
    case TcpSockOption::kUserTimeout:
    case TcpSockOption::kFinTimeout:
    case TcpSockOption::kDeferAccept:
      return value <= INT_MAX;
    default:
      return true;
  }
}

uint64_t TcpOptionValue(const TcpSettings& settings, TcpSockOption option, uint64_t value) {
  switch (option) {
    case TcpSockOption::kReceiveBuffer:
      return std::clamp<uint64_t>(value, settings.receive_buffer_min, kTcpMaxBuffer);
    case TcpSockOption::kSendBuffer:
      return std::clamp<uint64_t>(value, settings.send_buffer_min, kTcpMaxBuffer);
    case TcpSockOption::kFinTimeout:
      return std::min<uint64_t>(value, kTcpMaxFinTimeoutS);
    case TcpSockOption::kNotSentLowat:
      return std::min<uint64_t>(value, UINT32_MAX);
    case TcpSockOption::kWindowClamp:
      return std::max<uint64_t>(value, kTcpMinWindowClamp);
    case TcpSockOption::kTos:
      return value & ~uint64_t{kEcnMask};
    default:
      return value;
  }
}

int TcpSetOption(TcpSock& sock, TcpSockOption option, uint64_t value) {
  if (!TcpOptionValid(option, value)) return EINVAL;
  value = TcpOptionValue(sock.context.settings, option, value);
  const bool on = value != 0;
  switch (option) {
    case TcpSockOption::kNoDelay:
    case TcpSockOption::kCork:
      if (option == TcpSockOption::kNoDelay) sock.nodelay = on;
      else sock.cork = on;
      // What was held may go (tcp_push_pending_frames).
      if (TcpHasUnsent(sock)) sock.context.WantOutput(sock);
      return 0;
    case TcpSockOption::kQuickAck:
      SetQuickAck(sock, on);
      return 0;
    case TcpSockOption::kUserTimeout:
      TcpSetUserTimeout(sock, static_cast<Nanos>(value) * kMillisecond);
      return 0;
    case TcpSockOption::kResetOnClose:
      sock.reset_on_close = on;
      return 0;
    case TcpSockOption::kReceiveBuffer:
      sock.rcv.buffer = static_cast<uint32_t>(value);
      sock.rcv.buffer_locked = true;
      return 0;
    case TcpSockOption::kSendBuffer:
      sock.snd.buffer = static_cast<uint32_t>(value);
      sock.snd.buffer_locked = true;
      return 0;
    case TcpSockOption::kMaxPacingRate:
      TcpSetPacing(sock, value);
      return 0;
    case TcpSockOption::kFinTimeout:
      TcpSetFinTimeout(sock, static_cast<uint8_t>(value));
      return 0;
    case TcpSockOption::kNotSentLowat:
      TcpSetNotSentLowat(sock, static_cast<uint32_t>(value));
      if (sock.state != TcpState::kClosed) sock.context.ip.Ready(sock, ReadySock::kWritable);
      return 0;
    case TcpSockOption::kSynCount:
      TcpSetSynCount(sock, static_cast<uint8_t>(value));
      return 0;
    case TcpSockOption::kMaxSegment:
      // What we announce, and with it what we send (TcpTakeSyn). Afterwards nothing changes, as in Linux.
      if (on && IsBeforeSyn(sock)) sock.rcv.advmss = std::min(sock.rcv.advmss, static_cast<uint16_t>(value));
      return 0;
    case TcpSockOption::kWindowClamp:
      TcpSetWindowClamp(sock, static_cast<uint32_t>(value));
      return 0;
    case TcpSockOption::kTos:
      sock.dscp = static_cast<uint8_t>(value >> 2) & 63;
      return 0;
    case TcpSockOption::kTtl:
      sock.ttl = static_cast<uint8_t>(value);
      return 0;
    case TcpSockOption::kMtuDiscover:
      sock.mtu_discover = static_cast<TcpMtuDiscover>(value);
      return 0;
    case TcpSockOption::kMinTtl:
      TcpSetMinTtl(sock, static_cast<uint8_t>(value));
      return 0;
    case TcpSockOption::kDeferAccept:
      return EINVAL;
  }
  return EINVAL;
}

uint64_t TcpGetOption(const TcpSock& sock, TcpSockOption option) {
  const TcpExtra* extra = sock.extra;
  switch (option) {
    case TcpSockOption::kNoDelay:
      return sock.nodelay;
    case TcpSockOption::kCork:
      return sock.cork;
    case TcpSockOption::kQuickAck:
      return sock.quick_acks != 0;
    case TcpSockOption::kUserTimeout:
      return extra == nullptr ? 0 : static_cast<uint64_t>(extra->user_timeout_ns / kMillisecond);
    case TcpSockOption::kResetOnClose:
      return sock.reset_on_close;
    case TcpSockOption::kReceiveBuffer:
      return sock.rcv.buffer;
    case TcpSockOption::kSendBuffer:
      return sock.snd.buffer;
    case TcpSockOption::kMaxPacingRate:
      return TcpPacerOf(sock) == nullptr ? 0 : TcpPacerOf(sock)->max_rate;
    case TcpSockOption::kFinTimeout:
      return static_cast<uint64_t>(TcpFinTimeout(sock) / kSecond);
    case TcpSockOption::kNotSentLowat:
      return extra == nullptr ? 0 : extra->notsent_lowat;
    case TcpSockOption::kSynCount:
      return extra == nullptr || extra->syn_count == 0 ? kTcpSynRetries : extra->syn_count;
    case TcpSockOption::kMaxSegment:
      return sock.snd.mss;
    case TcpSockOption::kWindowClamp:
      return sock.rcv.clamped ? extra->window_clamp : 65535u << sock.rcv.wscale;
    case TcpSockOption::kTos:
      return uint64_t{sock.dscp} << 2;
    case TcpSockOption::kTtl:
      if (sock.ttl != 0) return sock.ttl;
      return sock.remote.ip.is_v4() || sock.dst.neighbour == nullptr ? kDefaultTtl
                                                                     : sock.dst.neighbour->interface->hop_limit;
    case TcpSockOption::kMtuDiscover:
      return static_cast<uint64_t>(sock.mtu_discover);
    case TcpSockOption::kMinTtl:
      return sock.rcv.guarded ? extra->min_ttl : 0;
    case TcpSockOption::kDeferAccept:
      return 0;
  }
  return 0;
}

uint8_t TcpSecsToRetrans(uint64_t seconds) {
  uint8_t retrans = 0;
  while (retrans < UINT8_MAX && TcpRetransToSecs(retrans) < seconds) ++retrans;
  return retrans;
}

uint32_t TcpRetransToSecs(uint8_t retrans) {
  constexpr auto kFirst = static_cast<uint32_t>(kTcpInitialRto / kSecond);
  constexpr auto kMost = static_cast<uint32_t>(kTcpMaxRto / kSecond);
  uint32_t sum = 0;
  for (uint32_t timeout = kFirst; retrans > 0; --retrans, timeout = std::min(2 * timeout, kMost)) sum += timeout;
  return sum;
}

void TcpInherit(TcpSock& sock, const TcpInherited& inherited, Nanos now_ns) {
  for (size_t i = 0; i < kTcpSockOptions; ++i) {
    const std::optional<uint64_t>& value = inherited.options[i];
    if (value.has_value()) (void)TcpSetOption(sock, static_cast<TcpSockOption>(i), *value);
  }
  if (inherited.keepalive.has_value()) {
    const TcpKeepAlive& times = *inherited.keepalive;
    TcpSetKeepAlive(sock, static_cast<uint32_t>(times.idle_s), static_cast<uint32_t>(times.interval_s),
                    static_cast<uint8_t>(times.count), now_ns);
  }
  if (inherited.congestion.has_value()) sock.congestion.Use(*inherited.congestion);
}

void TcpInheritForSyn(TcpSock& sock, const TcpInherited& inherited) {
  for (const TcpSockOption option : {TcpSockOption::kReceiveBuffer, TcpSockOption::kMaxSegment, TcpSockOption::kTos,
                                     TcpSockOption::kTtl, TcpSockOption::kMtuDiscover}) {
    const std::optional<uint64_t>& value = inherited.options[static_cast<size_t>(option)];
    if (value.has_value()) (void)TcpSetOption(sock, option, *value);
  }
}

TcpInfo TcpGetInfo(const TcpSock& sock) {
  const TcpExtra* extra = sock.extra;
  const uint32_t mss = std::max<uint32_t>(sock.snd.mss, 1);
  const uint32_t ssthresh = sock.congestion.ssthresh();
  return {.state = sock.state,
          .ca_state = sock.recovery.state,
          .timestamps = sock.ts.ok,
          .sack = sock.sack.ok,
          .window_scaling = sock.rcv.wscale != 0,
          .syn_data = sock.fast_open.syn_data_taken,
          .snd_wscale = sock.snd.wscale,
          .rcv_wscale = sock.rcv.wscale,
          .retransmits = sock.retries,
          .probes = std::max(sock.probes, UnansweredKeepAlives(sock)),
          .backoff = sock.backoff,
          .rto_ns = sock.rtt.rto_ns,
          .rtt_ns = sock.rtt.srtt_ns,
          .rttvar_ns = sock.rtt.rttvar_ns,
          .min_rtt_ns = sock.rtt.min_ns,
          .snd_mss = sock.snd.mss,
          .rcv_mss = sock.rcv.mss,
          .advmss = sock.rcv.advmss,
          .snd_cwnd = sock.congestion.cwnd() / mss,
          .snd_ssthresh = ssthresh == UINT32_MAX ? uint32_t{INT_MAX} : ssthresh / mss,
          .unacked = Segments(static_cast<uint32_t>(sock.snd.nxt - sock.snd.una), mss),
          .lost = Segments(sock.board.lost_out, mss),
          .snd_wnd = sock.snd.wnd,
          .notsent_bytes = static_cast<uint32_t>(sock.snd.write_seq - sock.snd.nxt),
          .unread_bytes = sock.rcv.queued,
          .unacked_bytes = static_cast<uint32_t>(sock.snd.write_seq - sock.snd.una),
          .bytes_sent = sock.stats.bytes_sent,
          .bytes_retrans = extra != nullptr ? extra->bytes_retrans : 0,
          .bytes_acked = sock.stats.bytes_acked,
          .bytes_received = sock.stats.bytes_received,
          .segs_out = sock.stats.segs_out,
          .segs_in = sock.stats.segs_in,
          .total_retrans = extra != nullptr ? extra->total_retrans : 0,
          .copied_bytes = extra != nullptr ? extra->copied_bytes : 0};
}

TcpMemInfo TcpGetMemInfo(const TcpSock& sock) {
  const uint32_t frame = sock.context.ip.pool.frame_size();
  return {.receive_allocated = static_cast<uint32_t>(sock.receive_queue.count() + TcpOfoCount(sock)) * frame,
          .receive_buffer = sock.rcv.buffer,
          .send_queued = static_cast<uint32_t>(sock.send_queue.count()) * frame,
          .send_buffer = sock.snd.buffer};
}

}  // namespace weir::netstack
