// Every state but the fast path: LISTEN (RFC 9293 §3.10.7.2), SYN-SENT (§3.10.7.3), TIME-WAIT, and the common steps of
// all the others (§3.10.7.4). Linux: tcp_rcv_state_process, tcp_v4_conn_request, tcp_timewait_state_process.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "netstack/tcp/tcp_ecn.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_initial.h"
#include "netstack/tcp/tcp_options.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_pacing.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_timestamps.h"

namespace weir::netstack {
namespace {

using QueueNode = runtime::ListNode<TcpQueueTag>;

// What the peer's SYN says: sequence, window, MSS (RFC 9293 §3.7.1) and what it agrees to.
void TakeSyn(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  const TcpOptions& options = segment.options;
  // A peer's MSS below what every host must take would make us send confetti: Linux's TCP_MIN_SND_MSS plus options.
  constexpr uint16_t kMinMss = 88;
  const uint16_t peer_mss = options.has_mss ? std::max(options.mss, kMinMss) : uint16_t{536};
  sock.snd.peer_mss = std::min(peer_mss, sock.rcv.advmss);
  TcpTakeSynOptions(sock, options, now_ns);
  TcpEcnTakeSyn(sock, segment);
  TcpSyncMss(sock);
  // What the peer sends at once is seen later; it may be less than what it can receive (tcp_initialize_rcv_mss).
  sock.rcv.mss = std::min<uint16_t>(sock.snd.mss, 536);
  sock.rcv.irs = segment.seq;
  sock.rcv.nxt = sock.rcv.wup = segment.seq + 1;
  sock.snd.wnd = sock.snd.max_wnd = segment.header.window;  // never scaled in a SYN
  sock.snd.wl1 = segment.seq;
  sock.congestion.Init(sock.snd.mss);
}

void FirstRtt(TcpSock& sock, Nanos rtt_ns, Nanos now_ns) {
  sock.rtt.Sample(rtt_ns, 1);
  sock.rtt.SampleMin(rtt_ns, now_ns);
}

// The handshake is complete: numbers and timers as ESTABLISHED starts with.
void Establish(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  // CLOSE and SEND before this moment were queued (RFC 9293 §3.10.2, §3.10.4).
  sock.state = sock.snd.fin ? TcpState::kFinWait1 : TcpState::kEstablished;
  if (TcpHasUnsent(sock)) sock.context.WantOutput(sock);
  sock.snd.una = segment.ack;
  sock.snd.wnd = uint32_t{segment.header.window} << (segment.has(kTcpSyn) ? 0 : sock.snd.wscale);
  sock.snd.max_wnd = std::max(sock.snd.max_wnd, sock.snd.wnd);
  sock.snd.wl1 = segment.seq;
  sock.snd.wl2 = segment.ack;
  TcpUpdateTsRecent(sock, segment, now_ns);
  const Nanos echoed_ns = TcpTimestampRtt(sock, segment, now_ns);
  if (sock.retries == 0) {
    FirstRtt(sock, now_ns - sock.syn_sent_ns, now_ns);
  } else if (echoed_ns != 0) {
    FirstRtt(sock, echoed_ns, now_ns);  // tells which SYN this answers
  } else {
    // RFC 6298 §5.7: a SYN that was lost leaves 3 s as the first timeout.
    sock.rtt.rto_ns = 3 * kSecond;
  }
  sock.retries = sock.backoff = 0;
  TcpCancelTimer(sock);
  sock.quick_acks = kTcpQuickAcks;
}

void MoveToAcceptQueue(TcpSock& sock) {
  TcpListenSock& listener = *sock.listener;
  static_cast<QueueNode&>(sock).Unlink();
  listener.accept_queue.PushBack(sock);
  sock.context.ip.Ready(listener, ReadySock::kReadable);
}

// RFC 9293 §3.10.7.3.
DropReason TcpRcvSynSent(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  const bool ack = segment.has(kTcpAck);
  // First: the ACK must be of our SYN.
  if (ack && (segment.ack <= sock.snd.iss || segment.ack > sock.snd.nxt)) {
    if (!segment.has(kTcpRst)) TcpSendResetFor(sock.context, segment, now_ns);
    return DropReason::kTcpUnsentAck;
  }
  // Second: RST.
  if (segment.has(kTcpRst)) {
    if (ack) TcpDone(sock, ECONNREFUSED);
    return DropReason::kTcpReset;
  }
  // Fourth: SYN.
  if (!segment.has(kTcpSyn)) return DropReason::kTcpBadFlags;
  TakeSyn(sock, segment, now_ns);
  if (!ack) {  // both opened at once (§3.5, figure 7)
    sock.state = TcpState::kSynReceived;
    TcpSendSyn(sock, now_ns);
    return DropReason::kConsumed;
  }
  Establish(sock, segment, now_ns);
  sock.ack_now = true;
  sock.context.WantOutput(sock);
  sock.context.ip.Ready(sock, ReadySock::kConnected | ReadySock::kWritable);
  return DropReason::kConsumed;
}

// RFC 9293 §3.10.7.4, fifth, SYN-RECEIVED.
DropReason AckOfSyn(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  if (segment.ack <= sock.snd.una || segment.ack > sock.snd.nxt) {
    TcpSendResetFor(sock.context, segment, now_ns);
    return DropReason::kTcpUnsentAck;
  }
  Establish(sock, segment, now_ns);
  if (sock.listener != nullptr) {
    ++sock.context.counters.accepted;
    MoveToAcceptQueue(sock);
  } else {
    sock.context.ip.Ready(sock, ReadySock::kConnected | ReadySock::kWritable);
  }
  return DropReason::kConsumed;
}

// The SYN and ACK of a peer that opened at the same moment. By its number it comes from before the window, and is good
// nevertheless (RFC 9293 §3.5, figure 7, line 6). Linux: tcp_validate_incoming, the case of TCP_SYN_RECV.
bool IsCrossedSyn(const TcpSock& sock, const TcpSegment& segment) {
  return sock.state == TcpState::kSynReceived && sock.listener == nullptr && segment.has(kTcpSyn) &&
         segment.has(kTcpAck) && segment.seq == sock.rcv.irs && segment.ack == sock.snd.iss + 1;
}

// What the acknowledgment of our FIN means (RFC 9293 §3.10.7.4, fifth). False when the connection is over.
bool AckOfFin(TcpSock& sock, Nanos now_ns) {
  if (!sock.snd.fin || sock.snd.una != sock.snd.write_seq) return true;
  switch (sock.state) {
    case TcpState::kFinWait1:
      sock.state = TcpState::kFinWait2;
      // Nobody will read what the peer may still send, so it gets a bounded time to close.
      if (sock.orphan) TcpArmTimer(sock, TcpTimerKind::kEnd, now_ns + kTcpFinTimeout);
      return true;
    case TcpState::kClosing:
      TcpEnterTimeWait(sock, now_ns);
      return false;
    case TcpState::kLastAck:
      TcpDone(sock, 0);
      return false;
    default:
      return true;
  }
}

// The text of a segment from just before the window, or into a closed one, is not taken, but its ACK field is still
// good. With a closed window RFC 9293 §3.10.7.4 asks for that (else two hosts that both wait for room never hear of
// it); and a FIN that is repeated may bring the acknowledgment of ours, without which we would stay in CLOSING.
void AckOfUnacceptable(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  if (sock.state != TcpState::kSynReceived && segment.has(kTcpAck) && !segment.has(kTcpSyn) &&
      TcpAck(sock, segment, now_ns) == DropReason::kConsumed) {
    (void)AckOfFin(sock, now_ns);
  }
}

DropReason SegmentText(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  switch (sock.state) {
    case TcpState::kEstablished:
    case TcpState::kFinWait1:
    case TcpState::kFinWait2:
      break;
    default:
      // CLOSE-WAIT, CLOSING, LAST-ACK: after the peer's FIN there is no text.
      return DropReason::kConsumed;
  }
  if (sock.orphan && segment.payload > 0 && segment.seq + segment.payload > sock.rcv.nxt) {
    // RFC 9293 §3.6.1, RFC 2525 §2.16: new data that nobody will read resets the connection.
    TcpSendReset(sock, now_ns);
    TcpDone(sock, ECONNRESET);
    return DropReason::kTcpAfterClose;
  }
  return TcpDataQueue(sock, segment, now_ns);
}

}  // namespace

DropReason TcpRcvListen(TcpListenSock& listener, TcpContext& context, TcpSegment& segment, Nanos now_ns,
                        std::optional<Seq> isn_after) {
  // RFC 9293 §3.10.7.2: first RST, second ACK, third SYN.
  if (segment.has(kTcpRst)) return DropReason::kTcpReset;
  if (segment.has(kTcpAck)) {
    TcpSendResetFor(context, segment, now_ns);
    return DropReason::kTcpNoSocket;
  }
  if (!segment.has(kTcpSyn)) return DropReason::kTcpBadFlags;
  if (listener.queued >= listener.backlog) return DropReason::kTcpSynQueueFull;
  TcpSock* sock = context.Alloc();
  if (sock == nullptr) return DropReason::kTcpNoMemory;
  sock->local = segment.destination;
  sock->remote = segment.source;
  sock->rcv.advmss = TcpMss(context.ip, segment.source);
  sock->state = TcpState::kSynReceived;
  TcpOfferOptions(*sock);
  TakeSyn(*sock, segment, now_ns);
  TcpInitSend(*sock, now_ns, isn_after);
  context.demux.Insert(*sock);
  sock->listener = &listener;
  ++listener.queued;
  listener.syn_queue.PushBack(*sock);
  TcpSendSyn(*sock, now_ns);
  TcpRearmRetransmit(*sock, now_ns);
  return DropReason::kConsumed;
}

DropReason TcpRcvStateProcess(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  if (sock.state == TcpState::kSynSent) return TcpRcvSynSent(sock, segment, now_ns);
  if (IsCrossedSyn(sock, segment)) {
    sock.ack_now = true;  // the peer may not have got ours
    sock.context.WantOutput(sock);
    return AckOfSyn(sock, segment, now_ns);
  }
  DropReason reason = TcpValidateIncoming(sock, segment, now_ns);
  if (reason == DropReason::kTcpDuplicate || reason == DropReason::kTcpZeroWindow) {
    AckOfUnacceptable(sock, segment, now_ns);
  }
  if (reason != DropReason::kConsumed) return reason;
  if (sock.state == TcpState::kSynReceived) {
    reason = AckOfSyn(sock, segment, now_ns);
  } else {
    reason = TcpAck(sock, segment, now_ns);
  }
  if (reason != DropReason::kConsumed) return reason;
  if (!AckOfFin(sock, now_ns)) return DropReason::kConsumed;
  return SegmentText(sock, segment, now_ns);
}

DropReason TcpRcvTimeWait(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  TcpContext& context = sock.context;
  // RFC 1337 §3, fix 1: a reset does not end TIME-WAIT. Differs from Linux, which wants to be told (a sysctl): here
  // nothing speaks for the hazard.
  if (segment.has(kTcpRst)) return DropReason::kTcpTimeWait;
  // RFC 9293 §3.10.7.4, fourth, and RFC 6191 §2: a SYN beyond the old sequence numbers, or with a later timestamp,
  // opens a new connection.
  const bool paws_reject = TcpPawsReject(sock, segment, now_ns);
  const bool later = sock.ts.ok && segment.options.has_timestamps &&
                     static_cast<int32_t>(segment.options.ts_val - sock.ts.recent) > 0;
  if (segment.has(kTcpSyn) && !segment.has(kTcpAck) && !paws_reject && (segment.seq > sock.rcv.nxt || later)) {
    TcpListenSock* listener = context.demux.FindListener(segment.destination);
    if (listener != nullptr && sock.owner == nullptr) {
      const Seq last = sock.snd.nxt;
      TcpDone(sock, 0);
      return TcpRcvListen(*listener, context, segment, now_ns, last);
    }
  }
  // RFC 9293 §3.10.7.4, eighth: the FIN again, so our ACK was lost: answer it and wait anew.
  if (segment.has(kTcpFin) && !paws_reject) TcpEnterTimeWait(sock, now_ns);
  if (segment.length() > 0 || segment.seq != sock.rcv.nxt) {
    sock.ack_now = true;
    context.WantOutput(sock);
  }
  return DropReason::kTcpTimeWait;
}

void TcpEnterTimeWait(TcpSock& sock, Nanos now_ns) {
  if (sock.state != TcpState::kTimeWait) ++sock.context.in_time_wait;
  sock.state = TcpState::kTimeWait;
  sock.ofo_queue.Clear();
  TcpPurgeSendQueue(sock);
  if (!static_cast<QueueNode&>(sock).linked() && sock.owner == nullptr) sock.context.time_wait.PushBack(sock);
  TcpArmTimer(sock, TcpTimerKind::kEnd, now_ns + kTcpTimeWait);
}

void TcpDone(TcpSock& sock, int error) {
  TcpContext& context = sock.context;
  if (sock.state == TcpState::kTimeWait) --context.in_time_wait;
  sock.state = TcpState::kClosed;
  sock.error = error;
  context.demux.Remove(sock);
  TcpCancelTimer(sock);
  context.ip.timers.Cancel(sock.delack_timer);
  if (sock.pacer != nullptr) context.ip.timers.Cancel(sock.pacer->timer);
  TcpPurgeSendQueue(sock);
  sock.ofo_queue.Clear();
  if (sock.listener != nullptr) --std::exchange(sock.listener, nullptr)->queued;
  if (sock.owner == nullptr) {
    context.Free(sock);
  } else {
    context.ip.Ready(sock, ReadySock::kError | ReadySock::kReadable | ReadySock::kWritable | ReadySock::kConnected);
  }
}

}  // namespace weir::netstack
