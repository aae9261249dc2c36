// The sender's half of selective acknowledgment (RFC 2018 §5): what is known of each frame of the send queue, and the
// sums that follow from it. The names are Linux's; here they are bytes of sequence space:
//
//   sacked_out   reported by the peer (or, without SACK, meant by duplicate ACKs: RFC 6582)
//   lost_out     taken for lost and not SACKed
//   retrans_out  sent again, and the retransmission not known to have arrived or been lost
//   in flight  = (nxt - una) - sacked_out - lost_out + retrans_out       (tcp_packets_in_flight; RFC 6675 §4: pipe)
//
// The congestion window is bytes, and as many packets as those make full segments: tiny segments would otherwise leave by
// the thousand. Where packets are what fills it, each counts as a full segment, as in Linux.
//
// A frame that is SACKed is not lost. A frame's bits change only here and in tcp_retransmit.cc, together with the sums.
#ifndef NETSTACK_TCP_TCP_SCOREBOARD_H_
#define NETSTACK_TCP_TCP_SCOREBOARD_H_

#include <algorithm>

#include "netstack/tcp/tcp_ack_state.h"
#include "netstack/tcp/tcp_segment.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

inline uint32_t TcpInFlight(const TcpSock& sock) {
  const auto outstanding = static_cast<uint32_t>(sock.snd.nxt - sock.snd.una);
  return outstanding - sock.board.sacked_out - sock.board.lost_out + sock.board.retrans_out;
}

// Packets in flight. Without SACK each duplicate ACK stands for one that arrived.
inline uint32_t TcpPacketsInFlight(const TcpSock& sock) {
  const uint32_t in_flight = sock.board.packets_in_flight;
  if (sock.sack.ok) return in_flight;
  return in_flight - std::min(in_flight, sock.board.sacked_out / std::max<uint32_t>(sock.snd.mss, 1));
}
// What is in flight, and what is outstanding, as the congestion window counts them: bytes, and packets as full segments.
inline uint32_t TcpWindowInFlight(const TcpSock& sock) {
  return std::max(TcpInFlight(sock), TcpPacketsInFlight(sock) * sock.snd.mss);
}
inline uint32_t TcpWindowOutstanding(const TcpSock& sock) {
  return std::max(static_cast<uint32_t>(sock.snd.nxt - sock.snd.una), uint32_t{sock.usage.packets_out} * sock.snd.mss);
}

// Whether the congestion window has room for one more packet. While PRR says what goes out for what arrived, it is all
// that says so.
inline bool TcpPacketFits(const TcpSock& sock) {
  if (sock.recovery.state == TcpCaState::kCwr || sock.recovery.state == TcpCaState::kRecovery) return true;
  return uint64_t{TcpPacketsInFlight(sock)} * sock.snd.mss < sock.congestion.cwnd();
}

// The frame at send_head went out for the first time.
inline void TcpPacketSent(TcpSock& sock) {
  ++sock.usage.packets_out;
  ++sock.board.packets_in_flight;
}
// A frame was cut, and so are its bits: the rest is a packet too, if it was sent.
void TcpPacketSplit(TcpSock& sock, const TcpTxCb& rest);
// Two neighbours that were sent, and are not SACKed, are about to become one, with the bits of the first one: `frame` and
// what is behind it (tcp_collapse_retrans, tcp_adjust_pcount).
void TcpPacketsJoin(TcpSock& sock, runtime::Frame* frame);
// A frame goes out again.
void TcpMarkRetransmitted(TcpSock& sock, TcpTxCb& cb);

// Drops the frames below snd.una, which is the new one; of a frame that is acknowledged in part, that part
// (tcp_clean_rtx_queue).
void TcpCleanSendQueue(TcpSock& sock, TcpAckState& ack);

// Lets go of everything that was to be sent (tcp_write_queue_purge).
void TcpPurgeSendQueue(TcpSock& sock);

// Frames that the blocks of one ACK may make us pass without learning anything: a send buffer of 4 MiB, in full segments,
// has 2900. A peer can always name the end of the queue, and so make each of its ACKs that dear (SACK slowness); what
// lies further on is not taken in.
inline constexpr uint32_t kTcpSackWalk = 4096;

// Takes in the SACK blocks of a segment (tcp_sacktag_write_queue). One pass over the queue at most, and none over what
// earlier blocks had told of; what is impossible is ignored (tcp_is_sackblock_valid).
void TcpSackTag(TcpSock& sock, const TcpSegment& segment, TcpAckState& ack);

// A frame that was sent is taken for lost; when it was sent again, the retransmission is (tcp_mark_skb_lost).
void TcpMarkLost(TcpSock& sock, runtime::Frame* frame, TcpAckState& ack);
// Nothing is lost after all (the `unmark_loss` of tcp_undo_cwnd_reduction).
void TcpUnmarkLost(TcpSock& sock);
// The peer has given up what it had told of, as it may (RFC 2018 §8): what was SACKed is outstanding again.
void TcpForgetSacks(TcpSock& sock);

// Without SACK: a duplicate ACK means that some segment arrived (tcp_add_reno_sack), an ACK of new data that the first
// hole and so many others are filled (tcp_remove_reno_sacks).
void TcpAddRenoSack(TcpSock& sock, TcpAckState& ack);
void TcpRemoveRenoSacks(TcpSock& sock, TcpAckState& ack);
void TcpResetRenoSacks(TcpSock& sock);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_SCOREBOARD_H_
