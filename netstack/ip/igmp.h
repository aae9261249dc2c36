// IGMP input as a host takes it: queries, and in the older versions reports of other hosts (RFC 3376 §5, RFC 2236 §3).
#ifndef NETSTACK_IP_IGMP_H_
#define NETSTACK_IP_IGMP_H_

#include "netstack/ip/ip_context.h"
#include "netstack/ip/ip_packet.h"

namespace weir::netstack {

// Linux: igmp_rcv.
DropReason IgmpRcv(IpPacket& packet, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IGMP_H_
