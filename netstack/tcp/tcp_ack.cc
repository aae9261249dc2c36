// RFC 9293 §3.10.7.4, fifth: the ACK field. What is acknowledged leaves the send queue; the round-trip time, the window
// and the congestion state follow.
#include <algorithm>

#include "netstack/tcp/tcp_challenge_ack.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_timestamps.h"

namespace weir::netstack {
namespace {

// Drops the frames below `una`; a frame that is acknowledged in part loses that part. Returns when the oldest of them
// was sent, for the round-trip time; or 0 when one of them was sent twice: the ACK may have waited for the second
// transmission (Karn's algorithm, RFC 6298 §3; FLAG_RETRANS_DATA_ACKED of tcp_clean_rtx_queue).
Nanos CleanSendQueue(TcpSock& sock) {
  Nanos sent_ns = 0;
  bool retransmitted = false;
  while (!sock.send_queue.empty()) {
    runtime::Frame* frame = sock.send_queue.head();
    auto& cb = frame->Cb<TcpTxCb>();
    if (cb.end() > sock.snd.una) {
      if (cb.seq < sock.snd.una) {
        const auto gone = static_cast<uint16_t>(sock.snd.una - cb.seq);
        cb.seq = sock.snd.una;
        cb.offset = static_cast<uint16_t>(cb.offset + gone);
        cb.length = static_cast<uint16_t>(cb.length - gone);
      }
      break;
    }
    if (sent_ns == 0) sent_ns = cb.sent_ns;
    retransmitted |= cb.retransmits != 0;
    if (frame == sock.send_head) sock.send_head = frame->next;  // was to be sent again, after a timeout
    runtime::Unref(sock.send_queue.PopFront());
  }
  if (sock.snd.nxt < sock.snd.una) sock.snd.nxt = sock.snd.una;
  return retransmitted ? 0 : sent_ns;
}

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

void OnDuplicate(TcpSock& sock, Nanos now_ns) {
  if (sock.dup_acks < 255) ++sock.dup_acks;
  if (sock.dup_acks < 3) return;
  if (sock.dup_acks == 3) {
    const auto flight = static_cast<uint32_t>(sock.snd.nxt - sock.snd.una);
    if (sock.congestion.OnThirdDupAck(sock.snd.una, sock.snd.max, flight, sock.snd.mss)) {
      TcpRetransmit(sock, now_ns);
    }
    return;
  }
  sock.congestion.OnDupAck(sock.snd.mss);
  sock.context.WantOutput(sock);
}

}  // namespace

DropReason TcpAck(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  if (segment.ack > sock.snd.max) {
    // RFC 9293 §3.10.7.4: an ACK of something not yet sent is answered by an ACK and dropped.
    TcpSendChallengeAck(sock, now_ns);
    return DropReason::kTcpUnsentAck;
  }
  if (segment.ack < sock.snd.una - std::max(sock.snd.max_wnd, 1u)) {
    // RFC 5961 §5.2: acknowledgments older than the largest window ever seen are not from this conversation.
    TcpSendChallengeAck(sock, now_ns);
    return DropReason::kTcpOldAck;
  }
  if (segment.ack < sock.snd.una) return DropReason::kConsumed;  // an old ACK; its data may still count
  TcpUpdateTsRecent(sock, segment, now_ns);
  const uint32_t window = uint32_t{segment.header.window} << sock.snd.wscale;
  const bool same_window = window == sock.snd.wnd;
  UpdateWindow(sock, segment, window);
  if (TcpHasUnsent(sock)) sock.context.WantOutput(sock);
  TcpPeerAnswered(sock);
  sock.soft_error = 0;
  if (segment.ack == sock.snd.una) {
    // RFC 5681 §2: a duplicate acknowledges nothing new, carries nothing, leaves the window, with data outstanding.
    if (sock.snd.nxt > sock.snd.una && segment.length() == 0 && same_window) {
      OnDuplicate(sock, now_ns);
    }
    return DropReason::kConsumed;
  }
  const auto acked = static_cast<uint32_t>(segment.ack - sock.snd.una);
  sock.snd.una = segment.ack;
  const Nanos sent_ns = CleanSendQueue(sock);
  sock.retries = 0;
  // RFC 7323 §4.1: an echo tells which transmission it answers, where the time of sending does not.
  const Nanos rtt_ns = sent_ns != 0 ? now_ns - sent_ns : TcpTimestampRtt(sock, segment, now_ns);
  if (rtt_ns != 0) {
    TcpRttSample(sock, rtt_ns);
    sock.backoff = 0;  // not before something was measured (RFC 6298 §5, note to §5.5)
  }
  const bool partial = sock.congestion.OnAck(sock.snd.una, acked, sock.snd.mss);
  if (!sock.congestion.in_recovery()) sock.dup_acks = 0;
  if (partial) TcpRetransmit(sock, now_ns);
  TcpRearmRetransmit(sock, now_ns);
  sock.context.ip.Ready(sock, ReadySock::kWritable);
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
