#include "netstack/tcp/tcp_recovery.h"

#include <algorithm>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_cwnd_validate.h"
#include "netstack/tcp/tcp_ecn.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_mtu_probe.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_rack.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_undo.h"

namespace weir::netstack {
namespace {

uint32_t Outstanding(const TcpSock& sock) { return static_cast<uint32_t>(sock.snd.nxt - sock.snd.una); }

// RFC 2018 §8: what lies at una is SACKed, so the peer has thrown it away. The timer, soon, makes an end of what it had
// told of (tcp_check_sack_reneging).
bool CheckReneging(TcpSock& sock, TcpAckState& ack) {
  if (!ack.reneging || !ack.una_advanced) return false;
  TcpArmTimer(sock, TcpTimerKind::kRetransmit, ack.now_ns + std::max(sock.rtt.srtt_ns / 2, 10 * kMillisecond));
  ack.set_timer = false;
  return true;
}

// All that was outstanding when the state began is acknowledged. True when this ACK is done with.
bool EndAtHighSeq(TcpSock& sock, TcpAckState& ack) {
  auto& recovery = sock.recovery;
  if (recovery.state == TcpCaState::kCwr) {
    // Something above high_seq must be acknowledged, for the CWR flag to have arrived.
    if (sock.snd.una == recovery.high_seq) return false;
    TcpEndCwndReduction(sock);
    recovery.state = TcpCaState::kOpen;
  } else if (recovery.state == TcpCaState::kRecovery) {
    if (!sock.sack.ok) TcpResetRenoSacks(sock);
    if (TcpTryUndoRecovery(sock, ack)) return true;
    TcpEndCwndReduction(sock);
  }
  return false;
}

// RFC 6582 §3.2 without SACK: the third duplicate, and then each partial acknowledgment, means that what lies at una is
// lost (tcp_newreno_mark_lost). With it RACK decides.
void IdentifyLoss(TcpSock& sock, TcpAckState& ack) {
  if (sock.snd.una == sock.snd.nxt || sock.send_queue.empty()) return;
  if (sock.sack.ok) {
    if (TcpRackMarkLost(sock, ack)) ack.set_timer = false;
    return;
  }
  const bool recovering = sock.recovery.state >= TcpCaState::kRecovery;
  runtime::Frame* head = sock.send_queue.head();
  // What is lost already may have been sent again, and that be under way.
  if (head->Cb<TcpTxCb>().has(TcpTxCb::kLost)) return;
  if (recovering ? ack.una_advanced : sock.dup_acks >= kTcpDupThresh) TcpMarkLost(sock, head, ack);
}

void EnterRecovery(TcpSock& sock, const TcpAckState& ack) {
  auto& recovery = sock.recovery;
  TcpLoss& loss = TcpGetLoss(sock);
  loss.prior_ssthresh = 0;
  TcpInitUndo(sock);
  if (!TcpInCwndReduction(sock)) {
    if (!ack.ece) loss.prior_ssthresh = TcpCurrentSsthresh(sock);
    TcpInitCwndReduction(sock);
  }
  recovery.state = TcpCaState::kRecovery;
  ++sock.context.counters.fast_recoveries;
}

void TryToOpen(TcpSock& sock, const TcpAckState& ack) {
  if (!TcpAnyRetransDone(sock)) sock.recovery.has_retrans_stamp = false;
  if (ack.ece) TcpEnterCwr(sock);
  if (sock.recovery.state != TcpCaState::kCwr) TcpTryKeepOpen(sock);
}

// F-RTO (RFC 5682 §3.1, the variant with SACK, and §2.1): after a timeout new data is sent before old; when what had
// been sent once before it is acknowledged all the same, the timeout was spurious. True when all is done with it.
bool Frto(TcpSock& sock, const TcpAckState& ack) {
  auto& recovery = sock.recovery;
  if (!recovery.frto) return false;
  // Step 3.b.
  if (ack.orig_acked && TcpTryUndoLoss(sock, ack, /*frto=*/true)) return true;
  if (sock.snd.nxt > recovery.high_seq) {
    if (ack.data_sacked || ack.duplicate) recovery.frto = false;  // step 3.a: the loss was real
  } else if (ack.una_advanced && sock.snd.una < recovery.high_seq) {
    recovery.high_seq = sock.snd.nxt;
    // Step 2.b: new data, if there is some and the window has room for it; else conventional recovery.
    if (sock.send_head != nullptr && sock.snd.una + sock.snd.wnd > sock.snd.nxt) {
      recovery.send_new = true;
      return true;
    }
    recovery.frto = false;
  }
  return false;
}

// An ACK in Loss (tcp_process_loss).
void ProcessLoss(TcpSock& sock, TcpAckState& ack) {
  auto& recovery = sock.recovery;
  const bool recovered = sock.snd.una >= recovery.high_seq;
  recovery.send_new = false;
  if (ack.una_advanced && TcpTryUndoLoss(sock, ack, /*frto=*/false)) return;
  if (Frto(sock, ack)) return;
  if (recovered) {
    (void)TcpTryUndoRecovery(sock, ack);
    return;
  }
  if (sock.sack.ok) return;
  // A duplicate then means that the new data of step 2.b arrived.
  if (sock.snd.nxt > recovery.high_seq && ack.duplicate) {
    TcpAddRenoSack(sock, ack);
  } else if (ack.una_advanced) {
    TcpResetRenoSacks(sock);
  }
}

// Recovery. True when the state may have to be entered anew.
bool ProcessRecovery(TcpSock& sock, TcpAckState& ack) {
  if (!ack.una_advanced) {
    if (!sock.sack.ok) TcpAddRenoSack(sock, ack);
  } else if (TcpTryUndoPartial(sock, ack)) {
    return false;
  }
  if (TcpTryUndoDsack(sock)) TryToOpen(sock, ack);
  IdentifyLoss(sock, ack);
  return sock.recovery.state != TcpCaState::kRecovery;
}

// RFC 8985 §6.3: on a timeout the first segment is lost, and of the others those that RACK would take for lost; without
// SACK all. What the peer had SACKed counts unless it lies at una (tcp_timeout_mark_lost).
void TimeoutMarkLost(TcpSock& sock, TcpAckState& ack) {
  runtime::Frame* head = sock.send_queue.head();
  if (head == nullptr) return;
  if (head->Cb<TcpTxCb>().has(TcpTxCb::kSacked)) TcpForgetSacks(sock);
  if (!sock.sack.ok) TcpResetRenoSacks(sock);
  for (runtime::Frame* frame = head; frame != sock.send_head; frame = frame->next) {
    const auto& cb = frame->Cb<TcpTxCb>();
    if (frame != head && sock.sack.ok && TcpRackTimeLeft(sock, cb, 0, ack.now_ns) > 0) continue;
    TcpMarkLost(sock, frame, ack);
  }
}

}  // namespace

void TcpFastretransAlert(TcpSock& sock, TcpAckState& ack) {
  auto& recovery = sock.recovery;
  if (ack.ece && sock.loss != nullptr) sock.loss->prior_ssthresh = 0;  // congestion was real, whatever else comes out
  if (CheckReneging(sock, ack)) return;
  if (recovery.state == TcpCaState::kOpen) {
    recovery.has_retrans_stamp = false;
  } else if (sock.snd.una >= recovery.high_seq && EndAtHighSeq(sock, ack)) {
    return;
  }
  switch (recovery.state) {
    case TcpCaState::kRecovery:
      if (!ProcessRecovery(sock, ack) || sock.board.lost_out == 0) return;
      break;
    case TcpCaState::kLoss:
      ProcessLoss(sock, ack);
      IdentifyLoss(sock, ack);
      // On when the timeout was undone, or a retransmission was lost.
      if (recovery.state != TcpCaState::kOpen && !ack.lost_retrans) return;
      break;
    default:
      if (!sock.sack.ok) {
        if (ack.una_advanced) TcpResetRenoSacks(sock);
        TcpAddRenoSack(sock, ack);
      }
      if (recovery.state <= TcpCaState::kDisorder) (void)TcpTryUndoDsack(sock);
      IdentifyLoss(sock, ack);
  }
  if (sock.board.lost_out == 0) return TryToOpen(sock, ack);
  if (sock.mtu_probe != nullptr && TcpMtuProbeLost(sock)) [[unlikely]] return;
  EnterRecovery(sock, ack);
}

void TcpEnterLoss(TcpSock& sock, Nanos now_ns) {
  auto& recovery = sock.recovery;
  TcpLoss& loss = TcpGetLoss(sock);
  const bool new_recovery = recovery.state < TcpCaState::kRecovery;
  const bool first_timeout = sock.retries <= 1;
  TcpAckState ack{.now_ns = now_ns};
  const uint32_t flight = TcpWindowOutstanding(sock);
  TimeoutMarkLost(sock, ack);
  // RFC 5681 §3.1: ssthresh comes down once a window, not once a timeout.
  if (recovery.state <= TcpCaState::kDisorder || recovery.high_seq <= sock.snd.una ||
      (recovery.state == TcpCaState::kLoss && first_timeout)) {
    loss.prior_ssthresh = TcpCurrentSsthresh(sock);
    loss.prior_cwnd = sock.congestion.cwnd();
    sock.congestion.OnCongestion({.flight = flight, .mss = sock.snd.mss, .timeout = true});
    TcpInitUndo(sock);
  }
  sock.congestion.set_cwnd(TcpWindowInFlight(sock) + sock.snd.mss);
  recovery.state = TcpCaState::kLoss;
  recovery.high_seq = sock.snd.nxt;
  recovery.tlp = false;
  recovery.send_new = false;
  TcpEcnQueueCwr(sock);
  // RFC 5682 §3.2: not when another recovery was going on.
  recovery.frto = sock.context.settings.frto && (new_recovery || !first_timeout);
}

void TcpSimpleRetransmit(TcpSock& sock) {
  TcpAckState ack;
  for (runtime::Frame* frame = sock.send_queue.head(); frame != sock.send_head; frame = frame->next) {
    if (frame->Cb<TcpTxCb>().length > sock.snd.mss) TcpMarkLost(sock, frame, ack);
  }
  if (ack.lost != 0) TcpRetransmitLost(sock);
}

void TcpRetransmitLost(TcpSock& sock) {
  auto& recovery = sock.recovery;
  if (recovery.state != TcpCaState::kLoss) {
    recovery.high_seq = sock.snd.nxt;
    if (sock.loss != nullptr) sock.loss->prior_ssthresh = 0;
    recovery.has_undo = false;
    recovery.frto = recovery.send_new = false;
    recovery.state = TcpCaState::kLoss;
  }
  sock.context.WantOutput(sock);
}

void TcpInitCwndReduction(TcpSock& sock) {
  auto& recovery = sock.recovery;
  recovery.high_seq = sock.snd.nxt;
  recovery.tlp = false;
  TcpLoss& loss = TcpGetLoss(sock);
  loss.prior_cwnd = sock.congestion.cwnd();
  loss.prr.Start(Outstanding(sock));
  TcpEcnQueueCwr(sock);
  sock.congestion.OnCongestion({.flight = TcpWindowOutstanding(sock), .mss = sock.snd.mss, .timeout = false});
}

void TcpEndCwndReduction(TcpSock& sock) {
  if (sock.recovery.state == TcpCaState::kCwr || sock.recovery.has_undo) {
    sock.congestion.set_cwnd(sock.congestion.ssthresh());
  }
}

void TcpEnterCwr(TcpSock& sock) {
  auto& recovery = sock.recovery;
  if (sock.loss != nullptr) sock.loss->prior_ssthresh = 0;
  if (recovery.state >= TcpCaState::kCwr) return;
  recovery.has_undo = false;
  TcpInitCwndReduction(sock);
  recovery.state = TcpCaState::kCwr;
}

void TcpTryKeepOpen(TcpSock& sock) {
  auto& recovery = sock.recovery;
  const bool amiss = sock.board.sacked_out + sock.board.lost_out != 0 || TcpAnyRetransDone(sock);
  const TcpCaState state = amiss ? TcpCaState::kDisorder : TcpCaState::kOpen;
  if (recovery.state == state) return;
  recovery.state = state;
  recovery.high_seq = sock.snd.nxt;
}

void TcpCongControl(TcpSock& sock, const TcpAckState& ack) {
  TcpCongestion& congestion = sock.congestion;
  if (TcpInCwndReduction(sock)) {
    if (ack.delivered == 0) return;
    congestion.set_cwnd(sock.loss->prr.OnAck({.delivered = ack.delivered,
                                             .pipe = TcpInFlight(sock),
                                             .ssthresh = congestion.ssthresh(),
                                             .mss = sock.snd.mss,
                                             .good = ack.una_advanced && ack.lost == 0}));
  } else if (ack.una_advanced && ack.delivered > 0 && TcpIsCwndLimited(sock)) {
    const uint32_t packets = sock.usage.by_packets ? ack.delivered_packets * sock.snd.mss : 0;
    const uint32_t acked = std::max(ack.delivered, packets);
    congestion.OnAck({.now_ns = ack.now_ns,
                      .acked = acked,
                      .una = sock.snd.una,
                      .nxt = sock.snd.nxt,
                      .mss = sock.snd.mss,
                      .after_timeout = sock.recovery.state == TcpCaState::kLoss,
                      .rtt_ns = ack.retrans_acked ? 0 : ack.last_rtt_ns,
                      .srtt_ns = sock.rtt.srtt_ns});
  }
}

uint32_t TcpCurrentSsthresh(const TcpSock& sock) {
  const TcpCongestion& congestion = sock.congestion;
  if (TcpInCwndReduction(sock)) return congestion.ssthresh();
  return std::max(congestion.ssthresh(), congestion.cwnd() / 4 * 3);
}

bool TcpAnyRetransDone(const TcpSock& sock) {
  if (sock.board.retrans_out != 0) return true;
  runtime::Frame* head = sock.send_queue.head();
  return head != nullptr && head->Cb<TcpTxCb>().retransmits != 0;
}

}  // namespace weir::netstack
