// Neighbor Discovery input (RFC 4861): who has which IPv6 address on a link, and which of them are routers. Linux:
// ndisc_rcv.
#ifndef NETSTACK_IP_NDISC_H_
#define NETSTACK_IP_NDISC_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_packet.h"
#include "runtime/base/time.h"

namespace weir::netstack {

// An ICMPv6 message of types 133 to 137; its checksum is right.
DropReason NdpRcv(IpPacket& packet, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_NDISC_H_
