// Neighbor Discovery (RFC 4861): who has which IPv6 address on a link. Linux: ndisc_rcv, ndisc_send_ns.
#ifndef NETSTACK_IP_NDISC_H_
#define NETSTACK_IP_NDISC_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_context.h"
#include "netstack/ip/ip_packet.h"

namespace weir::netstack {

// An ICMPv6 message of types 133 to 137; its checksum is right.
DropReason NdpRcv(IpContext& context, IpPacket& packet, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_NDISC_H_
