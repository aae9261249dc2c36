// RFC 9293 §3.10.7.4, fifth: the ACK field. What is acknowledged leaves the send queue; the round-trip time, the window
// and the congestion state follow.
#include <algorithm>

#include "netstack/tcp/tcp_autotune.h"
#include "netstack/tcp/tcp_challenge_ack.h"
#include "netstack/tcp/tcp_ecn.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_mtu_probe.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_rack.h"
#include "netstack/tcp/tcp_recovery.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_timestamps.h"
#include "netstack/tcp/tcp_tlp.h"

namespace weir::netstack {
namespace {

// RFC 9293 §3.10.7.4: an ACK that is newer, by sequence and then by acknowledgment number, sets the window. Of those
// that are the same in both, a larger window is newer, and so is none at all (tcp_may_update_window).
void UpdateWindow(TcpSock& sock, const TcpSegment& segment, uint32_t window) {
  const bool newer = segment.ack > sock.snd.una || segment.seq > sock.snd.wl1 ||
                     (segment.seq == sock.snd.wl1 &&
                      (segment.ack > sock.snd.wl2 || window > sock.snd.wnd || window == 0));
  if (!newer) return;
  sock.snd.wl1 = segment.seq;
  sock.snd.wl2 = segment.ack;
  sock.snd.wnd = window;
  sock.snd.max_wnd = std::max(sock.snd.max_wnd, window);
}

// The round trip that this ACK measures: from the time of sending, but not of what was sent twice (Karn's algorithm,
// RFC 6298 §3), else by the echo (RFC 7323 §4.1). Linux: tcp_ack_update_rtt.
void UpdateRtt(TcpSock& sock, const TcpSegment& segment, const TcpAckState& ack) {
  Nanos rtt_ns = ack.retrans_acked ? 0 : ack.first_rtt_ns;
  if (rtt_ns == 0) rtt_ns = ack.sack_rtt_ns;
  if (rtt_ns == 0 && ack.una_advanced) rtt_ns = TcpTimestampRtt(sock, segment, ack.now_ns);
  if (rtt_ns == 0) return;
  // RFC 7323 appendix G: one measurement for every second segment.
  const uint32_t two_segments = 2u * sock.snd.mss;
  const bool few = ack.prior_in_flight <= two_segments;
  sock.rtt.Sample(rtt_ns, few ? 1 : (ack.prior_in_flight + two_segments - 1) / two_segments);
  Nanos shortest_ns = ack.retrans_acked ? 0 : ack.last_rtt_ns;
  if (shortest_ns == 0) shortest_ns = ack.sack_rtt_ns;
  if (shortest_ns != 0) sock.rtt.SampleMin(shortest_ns, ack.now_ns);
  sock.backoff = 0;  // not before something was measured (RFC 6298 §5, note to §5.5)
}

// What an ACK says, whether it acknowledges something new or not.
void TakeAck(TcpSock& sock, const TcpSegment& segment, TcpAckState& ack) {
  TcpCleanSendQueue(sock, ack);
  if (!sock.sack.ok) {
    // RFC 6582: without SACK nobody can tell which transmission an acknowledgment that covers both kinds is of.
    if (ack.retrans_acked) ack.orig_acked = false;
    if (ack.una_advanced) TcpRemoveRenoSacks(sock, ack);
  } else if (segment.options.sack_blocks != 0) {
    TcpSackTag(sock, segment, ack);
  }
  runtime::Frame* head = sock.send_queue.head();
  ack.reneging = head != nullptr && head->Cb<TcpTxCb>().has(TcpTxCb::kSacked);
  if (ack.una_advanced) {
    sock.retries = 0;
    ack.set_timer = true;
    if (sock.mtu_probe != nullptr) [[unlikely]] TcpMtuProbeAcked(sock);
  }
  if (ack.dsack) ack.duplicate = false;
  UpdateRtt(sock, segment, ack);
  TcpRackUpdateReoWnd(sock, segment.ack);
  TcpProcessTlpAck(sock, ack);
  // Anything but a plain acknowledgment of new data while all is well (tcp_ack_is_dubious).
  if (ack.duplicate || ack.data_sacked || ack.dsack || ack.ece || sock.recovery.state != TcpCaState::kOpen) {
    TcpFastretransAlert(sock, ack);
  }
  if (ack.set_timer && !TcpScheduleLossProbe(sock, /*restart=*/true, ack.now_ns)) TcpRearmRetransmit(sock, ack.now_ns);
  TcpCongControl(sock, ack);
}

// An ACK from before una: its D-SACK may still show that a recovery was needless (the old_ack of tcp_ack).
void TakeOldAck(TcpSock& sock, const TcpSegment& segment, TcpAckState& ack) {
  if (!sock.sack.ok || segment.options.sack_blocks == 0) return;
  TcpSackTag(sock, segment, ack);
  if (ack.data_sacked || ack.dsack) TcpFastretransAlert(sock, ack);
}

// Nothing is outstanding: a duplicate of what was sent may still be reported (the no_queue of tcp_ack).
void TakeAckOfNothing(TcpSock& sock, const TcpSegment& segment, TcpAckState& ack) {
  TcpSackTag(sock, segment, ack);
  TcpProcessTlpAck(sock, ack);
  if (ack.dsack) TcpFastretransAlert(sock, ack);
}

}  // namespace

DropReason TcpAck(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  if (segment.ack > sock.snd.nxt) {
    // RFC 9293 §3.10.7.4: an ACK of something not yet sent is answered by an ACK and dropped.
    TcpSendChallengeAck(sock, now_ns);
    return DropReason::kTcpUnsentAck;
  }
  // RFC 5961 §5.2: acknowledgments older than the largest window ever seen are not from this conversation, nor are those
  // of numbers from before our first byte (tcp_ack).
  if (segment.ack < sock.snd.una - static_cast<uint32_t>(std::min<uint64_t>(sock.snd.max_wnd, sock.stats.bytes_acked))) {
    TcpSendChallengeAck(sock, now_ns);
    return DropReason::kTcpOldAck;
  }
  TcpAckState ack{.now_ns = now_ns, .prior_in_flight = TcpInFlight(sock)};
  ack.ece = TcpEcnEcho(sock, segment);
  ack.ts_ecr = segment.options.ts_ecr;
  ack.has_echo = sock.ts.ok && segment.options.has_timestamps && ack.ts_ecr != 0;
  if (segment.ack < sock.snd.una) {
    TakeOldAck(sock, segment, ack);
    if (TcpWantsToSend(sock)) sock.context.WantOutput(sock);
    return DropReason::kConsumed;  // its data may still count
  }
  // RFC 7323 §5.3: a keepalive from before the window (R2) leaves no timestamp (R3). Differs from Linux in that data from
  // there does (§4.3): it came again because our ACK was lost, and with the timestamp of its first transmission in the
  // next one the peer would measure its own timeout as a round trip, and then wait as long again.
  if (segment.length() > 0 || segment.seq >= sock.rcv.nxt) TcpUpdateTsRecent(sock, segment, now_ns);
  const uint32_t window = uint32_t{segment.header.window} << sock.snd.wscale;
  const bool same_window = window == sock.snd.wnd;
  UpdateWindow(sock, segment, window);
  TcpPeerAnswered(sock);
  sock.soft_error = 0;
  sock.heard_ns = now_ns;
  if (sock.snd.nxt != sock.snd.una) {
    ack.acked = static_cast<uint32_t>(segment.ack - sock.snd.una);
    ack.una_advanced = ack.acked != 0;
    sock.stats.bytes_acked += ack.acked;
    sock.snd.una = segment.ack;
    // RFC 5681 §2: a duplicate acknowledges nothing new, carries nothing, leaves the window, with data outstanding. One
    // that reports a duplicate of ours is no sign of a loss.
    ack.duplicate = !ack.una_advanced && segment.length() == 0 && same_window;
    TakeAck(sock, segment, ack);
  } else if (sock.sack.ok && segment.options.sack_blocks != 0) {
    TakeAckOfNothing(sock, segment, ack);
  }
  if (TcpWantsToSend(sock)) sock.context.WantOutput(sock);
  if (ack.una_advanced) {
    IpDstConfirm(sock.context.ip, sock.dst, now_ns);
    TcpSndbufExpand(sock);
    sock.context.ip.Ready(sock, ReadySock::kWritable);
  }
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
