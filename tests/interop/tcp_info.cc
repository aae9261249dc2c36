#include "tests/interop/tcp_info.h"

#include <linux/tcp.h>

#include <algorithm>
#include <cstring>

#include "netstack/ip/ip_output.h"
#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_pacing.h"
#include "netstack/tcp/tcp_sock_options.h"

namespace weir::interop {

using netstack::TcpSock;
using netstack::TcpState;

namespace {

// Linux's numbers (net/tcp_states.h).
constexpr uint8_t kClose = 7, kListen = 10;
uint8_t StateNumber(TcpState state) {
  switch (state) {
    case TcpState::kEstablished:
      return 1;
    case TcpState::kSynSent:
      return 2;
    case TcpState::kSynReceived:
      return 3;
    case TcpState::kFinWait1:
      return 4;
    case TcpState::kFinWait2:
      return 5;
    case TcpState::kTimeWait:
      return 6;
    case TcpState::kClosed:
      return kClose;
    case TcpState::kCloseWait:
      return 8;
    case TcpState::kLastAck:
      return 9;
    case TcpState::kClosing:
      return 11;
  }
  return kClose;
}

uint32_t Micros(Nanos ns) { return static_cast<uint32_t>(ns / kMicrosecond); }
uint32_t Segments(uint32_t bytes, uint32_t mss) { return (bytes + mss - 1) / mss; }
// Milliseconds since then.
uint32_t Since(Nanos now_ns, uint32_t then_ms) { return static_cast<uint32_t>(now_ns / kMillisecond) - then_ms; }

// The window that is open to the peer.
uint32_t ReceiveWindow(const TcpSock& sock) {
  const auto right = sock.rcv.wup + sock.rcv.wnd;
  return right > sock.rcv.nxt ? static_cast<uint32_t>(right - sock.rcv.nxt) : 0;
}

// What pacing would allow (tcp_update_pacing_rate), whether it is on or not.
uint64_t PacingRate(const TcpSock& sock) {
  const netstack::TcpPacer* pacer = netstack::TcpPacerOf(sock);
  const uint64_t most = pacer == nullptr || pacer->max_rate == 0 ? UINT64_MAX : pacer->max_rate;
  if (sock.rtt.srtt_ns == 0) return most;
  const netstack::TcpCongestion& congestion = sock.congestion;
  const uint64_t percent = congestion.cwnd() < congestion.ssthresh() / 2 ? 200 : 120;
  const uint64_t rate = congestion.cwnd() * percent * (kSecond / 100) / static_cast<uint64_t>(Nanos{sock.rtt.srtt_ns});
  return std::min(most, rate);
}

tcp_info Fill(const TcpSock* conn, const netstack::TcpListenSock* listener, bool opened, Nanos now_ns) {
  tcp_info info{};
  info.tcpi_state = listener != nullptr ? kListen : kClose;
  if (listener != nullptr) {
    info.tcpi_unacked = listener->unaccepted;
    info.tcpi_sacked = listener->backlog > 0 ? listener->backlog - 1 : 0;
  }
  if (conn == nullptr) return info;
  const TcpSock& sock = *conn;
  const netstack::TcpInfo known = netstack::TcpGetInfo(sock);
  const uint32_t mss = std::max<uint32_t>(known.snd_mss, 1);
  info.tcpi_state = StateNumber(known.state);
  info.tcpi_ca_state = static_cast<uint8_t>(known.ca_state);
  info.tcpi_retransmits = known.retransmits;
  info.tcpi_probes = known.probes;
  info.tcpi_backoff = known.backoff;
  info.tcpi_options = static_cast<uint8_t>(
      (known.timestamps ? TCPI_OPT_TIMESTAMPS : 0) | (known.sack ? TCPI_OPT_SACK : 0) |
      (known.window_scaling ? TCPI_OPT_WSCALE : 0) | (sock.ecn.ok ? TCPI_OPT_ECN : 0) |
      (known.syn_data ? TCPI_OPT_SYN_DATA : 0));
  info.tcpi_snd_wscale = known.snd_wscale & 15;
  info.tcpi_rcv_wscale = known.rcv_wscale & 15;
  info.tcpi_rto = Micros(known.rto_ns);
  info.tcpi_ato = sock.rcv.ato_ms * 1000u;
  info.tcpi_snd_mss = known.snd_mss;
  info.tcpi_rcv_mss = known.rcv_mss;
  info.tcpi_unacked = sock.usage.packets_out;
  info.tcpi_sacked = sock.sack.ok ? sock.board.sacked_frames : Segments(sock.board.sacked_out, mss);
  info.tcpi_lost = known.lost;
  info.tcpi_retrans = Segments(sock.board.retrans_out, mss);
  info.tcpi_last_data_sent = Since(now_ns, sock.usage.last_sent_ms);
  info.tcpi_last_data_recv = Since(now_ns, sock.rcv.last_data_ms);
  info.tcpi_last_ack_recv = static_cast<uint32_t>((now_ns - sock.heard_ns) / kMillisecond);
  info.tcpi_pmtu = known.state == TcpState::kClosed ? 0 : netstack::PathMtu(sock.context.ip, sock.remote.ip);
  info.tcpi_rtt = Micros(known.rtt_ns);
  info.tcpi_rttvar = Micros(known.rttvar_ns);
  info.tcpi_snd_ssthresh = known.snd_ssthresh;
  info.tcpi_snd_cwnd = known.snd_cwnd;
  constexpr uint32_t kTimestamps = 12;
  info.tcpi_advmss = known.advmss - (known.timestamps && known.state != TcpState::kSynSent ? kTimestamps : 0);
  info.tcpi_total_retrans = known.total_retrans;
  info.tcpi_pacing_rate = PacingRate(sock);
  const netstack::TcpPacer* pacer = netstack::TcpPacerOf(sock);
  info.tcpi_max_pacing_rate = pacer == nullptr || pacer->max_rate == 0 ? UINT64_MAX : pacer->max_rate;
  const bool syn_acked = opened && known.state != TcpState::kSynSent && known.state != TcpState::kSynReceived;
  info.tcpi_bytes_acked = known.bytes_acked + syn_acked;
  info.tcpi_bytes_received = known.bytes_received;
  info.tcpi_segs_out = known.segs_out;
  info.tcpi_segs_in = known.segs_in;
  info.tcpi_notsent_bytes = known.notsent_bytes;
  info.tcpi_min_rtt = known.min_rtt_ns == 0 ? UINT32_MAX : Micros(known.min_rtt_ns);
  info.tcpi_bytes_sent = known.bytes_sent;
  info.tcpi_bytes_retrans = known.bytes_retrans;
  info.tcpi_rcv_ssthresh = ReceiveWindow(sock);
  info.tcpi_snd_wnd = known.snd_wnd;
  info.tcpi_rcv_space = sock.rcv_space.bytes;
  info.tcpi_reordering = netstack::kTcpDupThresh;
  return info;
}

}  // namespace

TcpInfoBytes MakeTcpInfo(const TcpSock* conn, const netstack::TcpListenSock* listener, bool opened, Nanos now_ns) {
  TcpInfoBytes bytes{};
  const tcp_info info = Fill(conn, listener, opened, now_ns);
  // Headers before Linux 6.2 end with tcpi_snd_wnd; tcpi_rcv_wnd follows.
  constexpr size_t kHere = offsetof(tcp_info, tcpi_snd_wnd) + sizeof info.tcpi_snd_wnd;
  std::memcpy(bytes.data(), &info, kHere);
  const uint32_t window = conn == nullptr ? 0 : ReceiveWindow(*conn);
  std::memcpy(bytes.data() + kHere, &window, sizeof window);
  return bytes;
}

}  // namespace weir::interop
