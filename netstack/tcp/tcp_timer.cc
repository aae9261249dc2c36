#include "netstack/tcp/tcp_timer.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_output.h"

namespace weir::netstack {
namespace {

Nanos BackedOffRto(const TcpSock& sock) {
  // 200 ms doubled ten times is beyond the maximum; more would only overflow.
  return std::min(sock.rto_ns << std::min<int>(sock.backoff, 10), kTcpMaxRto);
}

uint8_t RetryLimit(const TcpSock& sock) {
  if (sock.state == TcpState::kSynSent) return kTcpSynRetries;
  if (sock.state == TcpState::kSynReceived) return kTcpSynAckRetries;
  return sock.orphan ? kTcpOrphanRetries : kTcpRetries;
}

// No answer came; a router may have said why (tcp_write_err).
void GiveUp(TcpSock& sock) { TcpDone(sock, sock.soft_error != 0 ? sock.soft_error : ETIMEDOUT); }

// Counts an attempt that was not answered; false when it was the last one.
bool MayRetry(TcpSock& sock) {
  if (sock.retries >= RetryLimit(sock)) {
    GiveUp(sock);
    return false;
  }
  ++sock.retries;
  if (sock.backoff < 255) ++sock.backoff;
  return true;
}

void ProbeTimeout(TcpSock& sock, Nanos now_ns) {
  // A peer that answers may keep its window closed for as long as it likes (RFC 9293 §3.8.6.1), but not hold what no
  // program waits for any more (tcp_probe_timer).
  if (sock.orphan && sock.probes >= kTcpOrphanRetries) return GiveUp(sock);
  if (!MayRetry(sock)) return;
  if (sock.probes < 255) ++sock.probes;
  TcpSendProbe(sock, now_ns);
  sock.context.ip.timers.Arm(sock.timer, now_ns + BackedOffRto(sock));
}

// RFC 6298 §5.4 to §5.7, RFC 5681 §3.1: back to the oldest unacknowledged byte, one segment, slow start.
void RetransmitTimeout(TcpSock& sock, Nanos now_ns) {
  if (!MayRetry(sock)) return;
  const bool handshake = sock.state == TcpState::kSynSent || sock.state == TcpState::kSynReceived;
  if (handshake) {
    TcpRetransmit(sock, now_ns);
  } else {
    const auto flight = static_cast<uint32_t>(sock.snd.max - sock.snd.una);
    sock.congestion.OnTimeout(sock.snd.max, flight, sock.snd.mss);
    sock.dup_acks = 0;
    sock.snd.nxt = sock.snd.una;
    sock.send_head = sock.send_queue.head();
    TcpWriteXmit(sock, now_ns, /*override_timeout=*/true);
  }
  sock.context.ip.timers.Arm(sock.timer, now_ns + BackedOffRto(sock));
}

}  // namespace

void TcpTimerFired(runtime::Timer& timer, Nanos now_ns) {
  TcpSock& sock = static_cast<TcpTimer&>(timer).sock;
  if (sock.state == TcpState::kTimeWait || (sock.state == TcpState::kFinWait2 && sock.orphan)) {
    return TcpDone(sock, 0);
  }
  if (sock.probing) return ProbeTimeout(sock, now_ns);
  const bool in_flight = sock.snd.max != sock.snd.una;  // a SYN has max beyond una, too
  if (!in_flight) return TcpWriteXmit(sock, now_ns, /*override_timeout=*/true);
  RetransmitTimeout(sock, now_ns);
}

void TcpDelackFired(runtime::Timer& timer, Nanos now_ns) {
  TcpSock& sock = static_cast<TcpTimer&>(timer).sock;
  if (sock.ack_delayed) TcpSendAck(sock, now_ns);
}

void TcpRttSample(TcpSock& sock, Nanos rtt_ns) {
  if (sock.srtt_ns == 0) {
    sock.srtt_ns = rtt_ns;
    sock.rttvar_ns = rtt_ns / 2;
  } else {
    sock.rttvar_ns += (std::abs(sock.srtt_ns - rtt_ns) - sock.rttvar_ns) / 4;
    sock.srtt_ns += (rtt_ns - sock.srtt_ns) / 8;
  }
  sock.rto_ns = std::min(sock.srtt_ns + std::max(4 * sock.rttvar_ns, kTcpMinRto), kTcpMaxRto);
}

void TcpRearmRetransmit(TcpSock& sock, Nanos now_ns) {
  if (sock.snd.max == sock.snd.una) {
    sock.context.ip.timers.Cancel(sock.timer);
  } else {
    sock.probing = false;
    sock.context.ip.timers.Arm(sock.timer, now_ns + BackedOffRto(sock));
  }
}

void TcpStartProbing(TcpSock& sock, Nanos now_ns) {
  sock.probing = sock.snd.wnd == 0;
  sock.probes = 0;
  sock.context.ip.timers.Arm(sock.timer, now_ns + BackedOffRto(sock));
}

void TcpPeerAnswered(TcpSock& sock) {
  if (!sock.probing) return;
  sock.retries = 0;
  if (sock.snd.wnd == 0) return;
  sock.probing = false;
  sock.backoff = 0;
  sock.context.ip.timers.Cancel(sock.timer);
}

}  // namespace weir::netstack
