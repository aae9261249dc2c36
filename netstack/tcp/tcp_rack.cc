#include "netstack/tcp/tcp_rack.h"

#include <algorithm>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timer.h"

namespace weir::netstack {
namespace {

// RFC 8985 §6.2.4: the wider window is kept for so many recoveries (TCP_RACK_RECOVERY_THRESH).
constexpr uint8_t kPersist = 16;

// RACK_sent_after: of what was sent at the same time, a burst of a turn, the sequence number decides.
bool SentAfter(Nanos a_ns, Seq a_end, Nanos b_ns, Seq b_end) { return a_ns > b_ns || (a_ns == b_ns && a_end > b_end); }

}  // namespace

void TcpRackAdvance(TcpSock& sock, const TcpTxCb& cb, const TcpAckState& ack) {
  auto& rack = sock.rack;
  const Seq end = cb.end();
  // Step 3.
  if (!rack.has_fack || end > rack.fack) {
    rack.fack = end;
    rack.has_fack = true;
  } else if (end < rack.fack && cb.retransmits == 0) {
    rack.reord_seen = true;
  }
  // Step 2. What was sent twice may be acknowledged for the first time; then the round trip is impossibly short.
  const Nanos rtt_ns = ack.now_ns - cb.sent_ns;
  if (cb.retransmits != 0) {
    if (rtt_ns < sock.rtt.min_ns) return;
    const uint32_t sent_clock = static_cast<uint32_t>(cb.sent_ns / kMillisecond) + sock.ts.offset;
    if (ack.has_echo && static_cast<int32_t>(ack.ts_ecr - sent_clock) < 0) return;
  }
  if (SentAfter(cb.sent_ns, end, rack.xmit_ns, rack.end_seq)) {
    rack.rtt_ns = rtt_ns;
    rack.xmit_ns = cb.sent_ns;
    rack.end_seq = end;
    rack.advanced = true;
  }
}

void TcpRackSawDsack(TcpSock& sock) { sock.rack.dsack_seen = true; }

void TcpRackUpdateReoWnd(TcpSock& sock, Seq una) {
  auto& rack = sock.rack;
  // Once a round trip: what was sent before the window was widened says nothing about it.
  if (rack.in_dsack_round && una > rack.dsack_round) rack.in_dsack_round = false;
  if (rack.dsack_seen && !rack.in_dsack_round) {
    rack.in_dsack_round = true;
    rack.dsack_round = sock.snd.nxt;
    if (rack.reo_wnd_steps < 255) ++rack.reo_wnd_steps;
    rack.persist = kPersist;
  }
  rack.dsack_seen = false;
}

void TcpRackRecoveryEnded(TcpSock& sock) {
  auto& rack = sock.rack;
  if (rack.persist > 0 && --rack.persist == 0) rack.reo_wnd_steps = 1;
}

Nanos TcpRackReoWnd(const TcpSock& sock) {
  const auto& rack = sock.rack;
  // RFC 8985 §6.2.4: without reordering so far, three SACKed segments are as good as they were in RFC 5681.
  if (!rack.reord_seen) {
    if (sock.recovery.state >= TcpCaState::kRecovery || sock.board.sacked_frames >= kTcpDupThresh) return 0;
  }
  return std::min<Nanos>(sock.rtt.min_ns / 4 * rack.reo_wnd_steps, sock.rtt.srtt_ns);
}

Nanos TcpRackTimeLeft(const TcpSock& sock, const TcpTxCb& cb, Nanos reo_wnd_ns, Nanos now_ns) {
  return cb.sent_ns + sock.rack.rtt_ns + reo_wnd_ns - now_ns;
}

bool TcpRackMarkLost(TcpSock& sock, TcpAckState& ack) {
  auto& rack = sock.rack;
  if (!rack.advanced) return false;
  rack.advanced = false;
  const Nanos reo_wnd_ns = TcpRackReoWnd(sock);
  Nanos wait_ns = 0;
  // Bounded by the frames of the send queue (kMaxSendFrames), and done only while something is amiss. Linux keeps a
  // list by time of sending instead, for which a frame's record has no room.
  for (runtime::Frame* frame = sock.send_queue.head(); frame != sock.send_head; frame = frame->next) {
    const auto& cb = frame->Cb<TcpTxCb>();
    if (cb.has(TcpTxCb::kSacked) || (cb.has(TcpTxCb::kLost) && !cb.has(TcpTxCb::kRetrans))) continue;
    if (!SentAfter(rack.xmit_ns, rack.end_seq, cb.sent_ns, cb.end())) continue;
    const Nanos left_ns = TcpRackTimeLeft(sock, cb, reo_wnd_ns, ack.now_ns);
    if (left_ns <= 0) {
      TcpMarkLost(sock, frame, ack);
    } else {
      wait_ns = std::max(wait_ns, left_ns);
    }
  }
  if (wait_ns == 0) return false;
  TcpArmTimer(sock, TcpTimerKind::kReorder, ack.now_ns + wait_ns);
  return true;
}

}  // namespace weir::netstack
