// ICMP (RFC 792, RFC 1122 §3.2.2): echo, and the errors that the stack sends.
#ifndef NETSTACK_IP_ICMP_H_
#define NETSTACK_IP_ICMP_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_context.h"
#include "netstack/ip/ip_packet.h"

namespace weir::netstack {

// Linux: icmp_rcv, icmp_echo. An echo request is answered from the frame it came in.
DropReason IcmpRcv(IpContext& context, IpPacket& packet, Nanos now_ns);

// Destination unreachable with `code` about a packet that was for this host (icmp_send). Says nothing when the rate
// limit is reached, or where RFC 1122 §3.2.2 forbids an answer.
void IcmpSendUnreachable(IpContext& context, const IpPacket& about, uint8_t code, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_ICMP_H_
