// TCP input: the steps of RFC 9293 §3.10.7, in its order. Linux: tcp_v4_rcv, tcp_v4_do_rcv and tcp_input.c.
//
//   TcpRcv (tcp_rcv.cc)                    header checks, demultiplexing
//    -> TcpRcvEstablished (tcp_established.cc)   header prediction, else the steps below
//    -> TcpRcvStateProcess (tcp_state.cc)        every other state; TcpRcvListen, TcpRcvSynSent, TcpRcvTimeWait
//        -> TcpValidateIncoming (tcp_validate.cc)  sequence number, RST, SYN
//        -> TcpAck (tcp_ack.cc)                    acknowledgment, window, round-trip time, congestion
//        -> TcpDataQueue (tcp_data.cc)             data and FIN in order, TcpDataQueueOfo out of order, TcpOfoQueue
#ifndef NETSTACK_TCP_TCP_INPUT_H_
#define NETSTACK_TCP_TCP_INPUT_H_

#include <optional>

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_packet.h"
#include "netstack/ip/transport_error.h"
#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_segment.h"

namespace weir::netstack {

// `packet.frame` begins at the TCP header; the caller keeps its reference.
DropReason TcpRcv(TcpContext& context, IpPacket& packet, Nanos now_ns);

// The way of nearly every segment, from its IP header on: one that came whole and without IP options, to this host's link
// address and for this host alone, has no hook on its way, and is right in everything. It is only a shortcut: what it takes,
// IpRcv, IpLocalDeliver and TcpRcv would have taken in the same way; nothing: it is not taken, and as it was.
std::optional<DropReason> TcpRcvPlain(TcpContext& context, const Interface& in, runtime::Frame& frame, uint32_t at,
                                      Nanos now_ns);

// An ICMP error about a segment of ours.
DropReason TcpErr(TcpContext& context, const TransportError& error, Nanos now_ns);

DropReason TcpRcvEstablished(TcpSock& sock, TcpSegment& segment, Nanos now_ns);
DropReason TcpRcvStateProcess(TcpSock& sock, TcpSegment& segment, Nanos now_ns);
// A segment that nothing here is for, when there are other shards: see PeerShards::PassOn.
inline std::optional<DropReason> TcpPassOn(TcpContext& context, const TcpSegment& segment) {
  if (context.ip.peers == nullptr) return std::nullopt;
  return context.ip.peers->PassOn(PortSpace::kTcp, segment.destination.port, segment.frame);
}
// The same, and what is done when no other shard takes it. RFC 9293 §3.10.7.1: a segment for no connection is answered
// by RST, unless it is one itself.
DropReason TcpNoSocket(TcpContext& context, const TcpSegment& segment, Nanos now_ns);
// `isn_after`: the last number of an earlier connection of the same endpoints, which the new one stays clear of.
DropReason TcpRcvListen(TcpListenSock& listener, TcpContext& context, TcpSegment& segment, Nanos now_ns,
                        std::optional<Seq> isn_after = {});
DropReason TcpRcvTimeWait(TcpContext& context, TcpTimeWait& block, TcpSegment& segment, Nanos now_ns);

// PAWS, first, second and fourth: kConsumed when the segment goes on to the next step; kTcpDuplicate and kTcpZeroWindow
// when only its ACK field may be of use (tcp_validate_incoming).
DropReason TcpValidateIncoming(TcpSock& sock, const TcpSegment& segment, Nanos now_ns);

// Fifth: kConsumed when the ACK field is acceptable and was used (tcp_ack).
DropReason TcpAck(TcpSock& sock, const TcpSegment& segment, Nanos now_ns);

// Seventh and eighth: the text and the FIN (tcp_data_queue).
DropReason TcpDataQueue(TcpSock& sock, TcpSegment& segment, Nanos now_ns);

// The end of a connection, for whatever reason: out of the table, timers off, `error` for the program (0: none). The
// program's handle stays valid until it closes it; without one the block is freed (tcp_done, tcp_reset).
void TcpDone(TcpSock& sock, int error);

// Into TIME-WAIT for 2 MSL, which leaves the control block closed, as TcpDone does (tcp_time_wait).
void TcpEnterTimeWait(TcpSock& sock, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_INPUT_H_
