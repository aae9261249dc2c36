// TCP output: what a connection sends and when. Linux: tcp_output.c.
//
// Input and user calls only ask for output (TcpContext::WantOutput); TcpFlush, once a turn after the coroutines ran,
// sends data that the windows allow and decides about ACKs, so a reply carries the acknowledgment (DESIGN.md §2).
#ifndef NETSTACK_TCP_TCP_OUTPUT_H_
#define NETSTACK_TCP_TCP_OUTPUT_H_

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_segment.h"

namespace weir::netstack {

// Sends for every connection that asked, frees finished ones, and wakes senders that waited for frames.
void TcpFlush(TcpContext& context, Nanos now_ns);

// Data or a FIN that was not sent yet.
inline bool TcpHasUnsent(const TcpSock& sock) { return sock.snd.nxt != sock.snd.write_seq; }
// The same, or something that is lost.
inline bool TcpWantsToSend(const TcpSock& sock) {
  return TcpHasUnsent(sock) || TcpWantsRetransmit(sock);
}

// Sends what is lost, and then what the peer's and the congestion window allow (tcp_write_xmit); of a segment that a
// small window cuts, the part only when `override_timeout` says that it was waited for long enough (RFC 9293
// §3.8.6.2.1).
void TcpWriteXmit(TcpSock& sock, Nanos now_ns, bool override_timeout = false);

// The next new segment, whatever the congestion window says, for a loss probe. False when there is none.
bool TcpSendOneNew(TcpSock& sock, Nanos now_ns);

// One frame of the send queue, or its first `most` bytes. It stays there; it is not touched while the device still reads
// it from an earlier transmission, and then false is returned (tcp_transmit_skb).
bool TcpTransmitFrame(TcpSock& sock, runtime::Frame* frame, Nanos now_ns, uint16_t most = UINT16_MAX);

// Makes two frames of one: the first keeps `length` bytes. Their bits are the same, so the scoreboard's sums stay as
// they are. False when the device still reads it, or frames are short (tcp_fragment).
bool TcpFragment(TcpSock& sock, runtime::Frame* frame, uint16_t length);

// Cuts a frame that was filled when the path was wider, or seemed so; false when that is not possible now.
bool TcpFitToMss(TcpSock& sock, runtime::Frame* frame);

// The other way. Whether a frame of the send queue may be written to, and has or can be given room for `length` bytes of
// payload; and the first `n` bytes of the frame behind it, for which there is room, go to its end (tcp_skb_shift). When
// that leaves no bytes in the other one, it is dropped; bits and sums are the caller's business.
bool TcpMakeTailroom(const TcpSock& sock, runtime::Frame* frame, uint32_t length);
void TcpTakeFromNext(TcpSock& sock, runtime::Frame* frame, uint16_t n);

// <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK> (tcp_send_ack).
void TcpSendAck(TcpSock& sock, Nanos now_ns);

// The same of a connection in TIME-WAIT (tcp_v4_timewait_ack).
void TcpSendTimeWaitAck(TcpContext& context, const TcpTimeWait& block, Nanos now_ns);

// SYN in SYN-SENT, SYN and ACK in SYN-RECEIVED.
void TcpSendSyn(TcpSock& sock, Nanos now_ns);

// An old sequence number that the peer must answer with its window (tcp_xmit_probe_skb; RFC 9293 §3.8.6.1).
void TcpSendProbe(TcpSock& sock, Nanos now_ns);

// RST for a connection of ours (tcp_send_active_reset), and in answer to a segment (tcp_v4_send_reset;
// RFC 9293 §3.10.7.1).
void TcpSendReset(TcpSock& sock, Nanos now_ns);
void TcpSendResetFor(TcpContext& context, const TcpSegment& segment, Nanos now_ns);

// The receive window to advertise now, never moving its right edge left (tcp_select_window; RFC 9293 §3.8.6.2.2).
uint32_t TcpSelectWindow(const TcpSock& sock);

// Sets snd.mss from what the peer takes and what the path does, as known now (tcp_sync_mss).
void TcpSyncMss(TcpSock& sock);

// Largest segment that fits our MTU; what the MSS option says (RFC 6691 §2). sock.remote is set.
uint16_t TcpMss(TcpSock& sock);

// The longest payload that is sent, since a segment lies in one frame. What comes in may be larger.
inline uint32_t TcpFrameRoom(const runtime::FramePool& pool) { return pool.frame_size() - runtime::kTxHeadroom; }

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_OUTPUT_H_
