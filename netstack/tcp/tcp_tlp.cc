#include "netstack/tcp/tcp_tlp.h"

#include <algorithm>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_recovery.h"
#include "netstack/tcp/tcp_retransmit.h"
#include "netstack/tcp/tcp_timer.h"

namespace weir::netstack {
namespace {

// Beside two round trips, for the peer's and our own timers to be late (TCP_TIMEOUT_MIN: two jiffies).
constexpr Nanos kSlack = 2 * kMillisecond;

// The last frame that was sent.
runtime::Frame* LastSent(const TcpSock& sock) {
  runtime::Frame* frame = sock.send_queue.head();
  if (frame == nullptr || frame == sock.send_head) return nullptr;
  while (frame->next != sock.send_head) frame = frame->next;
  return frame;
}

}  // namespace

bool TcpScheduleLossProbe(TcpSock& sock, bool restart, Nanos now_ns) {
  runtime::Frame* head = sock.send_queue.head();
  // Before the handshake is done the SYN and ACK goes again first (RFC 7413 §4.2.2).
  if (!sock.sack.ok || !sock.context.settings.early_retrans || head == nullptr || head == sock.send_head ||
      sock.state == TcpState::kSynReceived ||
      (sock.recovery.state != TcpCaState::kOpen && sock.recovery.state != TcpCaState::kCwr)) {
    return false;
  }
  // The ACK of a single segment may be delayed.
  const bool single = head->next == sock.send_head;
  Nanos timeout_ns = sock.rtt.srtt_ns == 0 ? kTcpInitialRto : 2 * sock.rtt.srtt_ns + (single ? kTcpMinRto : kSlack);
  const Nanos rto_ns = TcpBackedOffRto(sock) + (restart ? 0 : head->Cb<TcpTxCb>().sent_ns - now_ns);
  if (rto_ns > 0) timeout_ns = std::min(timeout_ns, rto_ns);
  TcpArmTimer(sock, TcpTimerKind::kLossProbe, now_ns + timeout_ns);
  return true;
}

void TcpSendLossProbe(TcpSock& sock, Nanos now_ns) {
  auto& recovery = sock.recovery;
  // RFC 8985 §7.3: one at a time.
  if (!recovery.tlp) {
    runtime::Frame* last = LastSent(sock);
    bool sent = false;
    if (TcpSendOneNew(sock, now_ns)) {
      recovery.tlp_retrans = false;
      sent = true;
    } else if (last != nullptr && TcpRetransmitFrame(sock, last, now_ns)) {
      recovery.tlp_retrans = true;
      sent = true;
    }
    if (sent) {
      recovery.tlp = true;
      recovery.tlp_high_seq = sock.snd.nxt;
      ++sock.context.counters.loss_probes;
    }
  }
  TcpRearmRetransmit(sock, now_ns);
}

void TcpProcessTlpAck(TcpSock& sock, const TcpAckState& ack) {
  auto& recovery = sock.recovery;
  if (!recovery.tlp || sock.snd.una < recovery.tlp_high_seq) return;
  if (!recovery.tlp_retrans || ack.dsack_of_probe) {
    recovery.tlp = false;  // the probe was new data, or one copy too many: nothing was lost
  } else if (sock.snd.una > recovery.tlp_high_seq) {
    // Beyond the probe without a sign of a duplicate: it has filled a hole.
    recovery.tlp = false;
    TcpEnterCwr(sock);
    TcpEndCwndReduction(sock);
    if (recovery.state == TcpCaState::kCwr) TcpTryKeepOpen(sock);
  } else if (ack.duplicate) {
    recovery.tlp = false;  // both copies arrived
  }
}

}  // namespace weir::netstack
