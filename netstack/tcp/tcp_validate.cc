// RFC 9293 §3.10.7.4, the checks that come before the acknowledgment: timestamp, sequence number, RST, SYN, and the ACK
// bit.
#include <cerrno>

#include "netstack/tcp/tcp_challenge_ack.h"
#include "netstack/tcp/tcp_fast_open.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_sack.h"
#include "netstack/tcp/tcp_timestamps.h"

namespace weir::netstack {
namespace {

// RFC 9293 §3.10.7.4, first: the four cases of the acceptability test, for a window that may be closed.
bool Acceptable(const TcpSock& sock, const TcpSegment& segment) {
  const Seq left = sock.rcv.nxt;
  const Seq right = sock.rcv.wup + sock.rcv.wnd;
  // RFC 5961 §3.2: of a reset only the number counts, not the text it may carry.
  if (segment.has(kTcpRst)) {
    return left == right ? segment.seq == left : segment.seq >= left && segment.seq < right;
  }
  // Differs from RFC 9293, as Linux does (tcp_sequence): at the right edge too. A peer that has filled our window with what
  // was lost has no other number left for its acknowledgments.
  if (segment.length() == 0) return segment.seq >= left && segment.seq <= right;
  if (left == right) return false;
  const Seq last = segment.end() - 1;
  return (segment.seq >= left && segment.seq < right) || (last >= left && last < right);
}

// The end of what the segment has that was received before, for a duplicate SACK (tcp_send_dupack).
Seq OldEnd(const TcpSock& sock, const TcpSegment& segment) {
  return segment.end() < sock.rcv.nxt ? segment.end() : sock.rcv.nxt;
}

DropReason Challenge(TcpSock& sock, Nanos now_ns) {
  TcpSendChallengeAck(sock, now_ns);
  return DropReason::kTcpChallengeAck;
}

// The SYN of the connection again, before ours was acknowledged (tcp_check_req).
bool IsOwnSyn(const TcpSock& sock, const TcpSegment& segment) {
  return sock.state == TcpState::kSynReceived && segment.seq == sock.rcv.irs && segment.has(kTcpSyn) &&
         !segment.has(kTcpAck) && !segment.has(kTcpRst) && !segment.has(kTcpFin);
}

// RFC 5961 §3.2: only the very next number resets. A peer that has been told of data behind a hole may count from the
// end of that, as it has nothing else left to send (tcp_validate_incoming).
bool IsExactReset(const TcpSock& sock, const TcpSegment& segment) {
  if (segment.seq == sock.rcv.nxt) return true;
  Seq last = sock.rcv.nxt;
  for (uint8_t i = 0; i < sock.sack.count; ++i) {
    if (sock.loss->ours[i].end > last) last = sock.loss->ours[i].end;
  }
  return sock.sack.ok && segment.seq == last;
}

}  // namespace

DropReason TcpValidateIncoming(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  // Fifth, its first sentence: without ACK, drop. Differs from RFC 9293 as Linux does, in that it comes first: else such a
  // segment, which no TCP sends, would be answered where it is out of the window (tcp_rcv_state_process).
  if (!segment.has(kTcpAck) && !segment.has(kTcpRst) && !segment.has(kTcpSyn)) return DropReason::kTcpNoAck;
  // RFC 7323 §5.3, R1: an old timestamp; a reset is exempt (§5.2). A SYN gets its challenge ACK below.
  if (!segment.has(kTcpRst) && !segment.has(kTcpSyn) && TcpPawsReject(sock, segment, now_ns)) {
    if (TcpSendDupack(sock, segment, now_ns)) TcpDsackSet(sock, segment.seq, OldEnd(sock, segment));
    return DropReason::kTcpPaws;
  }
  // Before its number is looked at, which data with it may bring into the window (RFC 7413 §4.2.2).
  if (IsOwnSyn(sock, segment)) {
    if (!TcpOowRateLimited(sock, now_ns)) TcpSendSyn(sock, now_ns);  // our SYN and ACK were lost
    return DropReason::kTcpDuplicate;
  }
  // First: the sequence number.
  if (!Acceptable(sock, segment)) {
    if (segment.has(kTcpRst)) return DropReason::kTcpOutOfWindow;
    const bool synchronized = sock.state != TcpState::kSynReceived;
    if (segment.has(kTcpSyn) && synchronized) return Challenge(sock, now_ns);
    // An old segment, a keepalive or a window probe: answer with where we are.
    if (TcpSendDupack(sock, segment, now_ns)) TcpDsackSet(sock, segment.seq, OldEnd(sock, segment));
    if (segment.end() <= sock.rcv.nxt) return DropReason::kTcpDuplicate;
    const bool closed = sock.rcv.wup + sock.rcv.wnd == sock.rcv.nxt;
    return closed && segment.seq == sock.rcv.nxt ? DropReason::kTcpZeroWindow : DropReason::kTcpOutOfWindow;
  }
  // Second: RST, with the defence of RFC 5961 §3.2: only the exact number resets.
  if (segment.has(kTcpRst)) {
    if (!IsExactReset(sock, segment)) return Challenge(sock, now_ns);
    int error = sock.state == TcpState::kSynReceived && !sock.fast_open.pending ? ECONNREFUSED : ECONNRESET;
    if (sock.state == TcpState::kCloseWait) error = EPIPE;
    if (sock.state == TcpState::kClosing || sock.state == TcpState::kLastAck) error = 0;
    TcpFastOpenReset(sock, now_ns);
    TcpDone(sock, error);
    return DropReason::kTcpReset;
  }
  // Fourth: SYN in the window (RFC 5961 §4.2): a challenge ACK, whatever its number.
  if (segment.has(kTcpSyn)) {
    const bool half_open = sock.listener != nullptr && sock.state == TcpState::kSynReceived && !sock.fast_open.pending;
    if (!half_open) return Challenge(sock, now_ns);
    // SYN-RECEIVED after a passive OPEN: back to LISTEN. The peer has begun anew.
    TcpDone(sock, ECONNRESET);
    return DropReason::kTcpReset;
  }
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
