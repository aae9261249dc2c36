// ICMP input of both versions (RFC 792, RFC 1122 §3.2.2; RFC 4443). Linux: icmp_rcv, icmpv6_rcv.
#ifndef NETSTACK_IP_ICMP_INPUT_H_
#define NETSTACK_IP_ICMP_INPUT_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/inet.h"
#include "netstack/ip/ip_packet.h"

namespace weir::netstack {

// An echo request is answered from the frame it came in, or in fragments.
DropReason IcmpRcv(Inet& inet, IpPacket& packet, Nanos now_ns);
DropReason Icmp6Rcv(Inet& inet, IpPacket& packet, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_ICMP_INPUT_H_
