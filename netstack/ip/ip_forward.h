// Forwarding between interfaces (RFC 1812 §5.2, RFC 8200 §3). Linux: ip_forward, ip6_forward.
#ifndef NETSTACK_IP_IP_FORWARD_H_
#define NETSTACK_IP_IP_FORWARD_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_context.h"
#include "netstack/ip/ip_packet.h"

namespace weir::netstack {

// Sends on a packet that is for another host, from the frame it came in, or tells its source why not.
DropReason IpForward(IpContext& context, IpPacket& packet, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_FORWARD_H_
