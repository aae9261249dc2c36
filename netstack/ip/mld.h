// MLD input as a listener takes it: queries, and in version 1 reports of other nodes (RFC 3810 §6.2, RFC 2710 §4).
#ifndef NETSTACK_IP_MLD_H_
#define NETSTACK_IP_MLD_H_

#include "netstack/ip/ip_context.h"
#include "netstack/ip/ip_packet.h"

namespace weir::netstack {

// `packet` begins at an ICMPv6 header of one of MLD's types; its checksum is right. Linux: igmp6_event_query,
// igmp6_event_report.
DropReason MldRcv(IpPacket& packet, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_MLD_H_
