#include "netstack/tcp/tcp_sock_options.h"

#include <algorithm>
#include <cerrno>
#include <climits>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_initial.h"
#include "netstack/tcp/tcp_keepalive.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_pacing.h"

namespace weir::netstack {
namespace {

uint32_t WithinBounds(uint64_t bytes, uint64_t least) {
  return static_cast<uint32_t>(std::clamp<uint64_t>(bytes, least, kTcpMaxBuffer));
}

void SetQuickAck(TcpSock& sock, bool on) {
  sock.quick_acks = on ? kTcpQuickAcks : 0;
  if (!on || !sock.ack_delayed) return;
  sock.context.WantAck(sock);
}

uint32_t Segments(uint32_t bytes, uint32_t mss) { return (bytes + mss - 1) / mss; }

}  // namespace

bool TcpOptionValid(TcpSockOption option, uint64_t value) {
  switch (option) {
    case TcpSockOption::kNoDelay:
    case TcpSockOption::kCork:
    case TcpSockOption::kQuickAck:
    case TcpSockOption::kResetOnClose:
      return value <= 1;
    case TcpSockOption::kUserTimeout:
    case TcpSockOption::kFinTimeout:
      return value <= INT_MAX;
    default:
      return true;
  }
}

int TcpSetOption(TcpSock& sock, TcpSockOption option, uint64_t value) {
  const bool on = value != 0;
  if (!TcpOptionValid(option, value)) return EINVAL;
  switch (option) {
    case TcpSockOption::kNoDelay:
    case TcpSockOption::kCork:
      (option == TcpSockOption::kNoDelay ? sock.nodelay : sock.cork) = on;
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
      sock.rcv.buffer = WithinBounds(value, sock.context.settings.receive_buffer_min);
      sock.rcv.buffer_locked = true;
      return 0;
    case TcpSockOption::kSendBuffer:
      sock.snd.buffer = WithinBounds(value, sock.context.settings.send_buffer_min);
      sock.snd.buffer_locked = true;
      return 0;
    case TcpSockOption::kMaxPacingRate:
      TcpSetPacing(sock, value);
      return 0;
    case TcpSockOption::kFinTimeout:
      TcpSetFinTimeout(sock, std::min<uint64_t>(value, kTcpMaxFinTimeoutS));
      return 0;
    case TcpSockOption::kNotSentLowat:
      TcpSetNotSentLowat(sock, static_cast<uint32_t>(std::min<uint64_t>(value, UINT32_MAX)));
      if (sock.state != TcpState::kClosed) sock.context.ip.Ready(sock, ReadySock::kWritable);
      return 0;
  }
  return EINVAL;
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

TcpInfo TcpGetInfo(const TcpSock& sock) {
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
          .probes = std::max(sock.probes, sock.silence != nullptr ? sock.silence->probes : uint8_t{0}),
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
          .bytes_retrans = sock.stats.bytes_retrans,
          .bytes_acked = sock.stats.bytes_acked,
          .bytes_received = sock.stats.bytes_received,
          .segs_out = sock.stats.segs_out,
          .segs_in = sock.stats.segs_in,
          .total_retrans = sock.stats.total_retrans,
          .copied_bytes = sock.silence != nullptr ? sock.silence->copied_bytes : 0};
}

}  // namespace weir::netstack
