// How long an acknowledgment waits for data to go with it, for a second segment, or for the program (RFC 1122 §4.2.3.2,
// RFC 5681 §4.2): learnt from the gaps between segments, between 40 and 200 ms. Linux: icsk_ack.ato, tcp_event_data_recv,
// tcp_send_delayed_ack. Differs from Linux: there is no mode for interactive connections, as ACKs are decided after the
// program ran, and its reply carries them anyway.
#ifndef NETSTACK_TCP_TCP_DELACK_H_
#define NETSTACK_TCP_TCP_DELACK_H_

#include <algorithm>

#include "netstack/tcp/tcp_initial.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

inline constexpr uint8_t kTcpDelackMinMs = 40, kTcpDelackMaxMs = 200;  // TCP_DELACK_MIN, TCP_DELACK_MAX

// Data came in order. After a silence as long as its timeout the peer begins with a small window again (RFC 5681 §4.1), for
// which ACKs go at once.
inline void TcpMeasureGap(TcpSock& sock, Nanos now_ns) {
  const auto now_ms = static_cast<uint32_t>(now_ns / kMillisecond);
  const uint32_t gap_ms = now_ms - sock.rcv.last_data_ms;
  uint8_t& ato_ms = sock.rcv.ato_ms;
  sock.rcv.last_data_ms = now_ms;
  if (ato_ms == 0) {
    ato_ms = kTcpDelackMinMs;
  } else if (gap_ms <= kTcpDelackMinMs / 2) {
    ato_ms = static_cast<uint8_t>(ato_ms / 2 + kTcpDelackMinMs / 2);
  } else if (gap_ms < ato_ms) {
    ato_ms = static_cast<uint8_t>(std::min<uint32_t>(ato_ms / 2 + gap_ms, kTcpDelackMaxMs));
  } else if (gap_ms > sock.rtt.rto_ns / kMillisecond) {
    sock.quick_acks = kTcpQuickAcks;
  }
}

// Not longer than a round trip either, so that the peer's timeout is not met.
inline Nanos TcpDelayOfAck(const TcpSock& sock) {
  const Nanos least_ns = kTcpDelackMinMs * kMillisecond;
  return std::clamp(sock.rcv.ato_ms * kMillisecond, least_ns, std::max<Nanos>(sock.rtt.srtt_ns, least_ns));
}

// Nothing came for the ACK to go with: the next one waits longer.
inline void TcpDelackExpired(TcpSock& sock) {
  sock.rcv.ato_ms = static_cast<uint8_t>(std::min<int>(2 * sock.rcv.ato_ms, kTcpDelackMaxMs));
}

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_DELACK_H_
