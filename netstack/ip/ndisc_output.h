// Neighbor Discovery messages that the stack sends (RFC 4861 §4). Linux: ndisc_send_ns,
// ndisc_send_na, ndisc_send_rs.
#ifndef NETSTACK_IP_NDISC_OUTPUT_H_
#define NETSTACK_IP_NDISC_OUTPUT_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_context.h"

namespace weir::netstack {

// Asks for the neighbour's address: its solicited-node group, or itself to see whether one still holds.
DropReason NdpSolicit(Interface& out, const Neighbour& neighbour, Nanos now_ns);

// Asks whether anybody has the address, without claiming it (RFC 4862 §5.4.2, with the nonce of RFC 7527 §4).
DropReason NdpProbe(Interface& out, const InterfaceAddress& address, Nanos now_ns);

// Answers whoever asked for our address `ours`; asker any: everybody is told (RFC 4861 §7.2.4).
DropReason NdpAdvertise(Interface& out, const InterfaceAddress& ours, const IpAddress& asker, Nanos now_ns);

// Asks the routers of the link to say what they have to say (RFC 4861 §6.3.7).
DropReason NdpSolicitRouters(Interface& out, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_NDISC_OUTPUT_H_
