// ARP (RFC 826; RFC 1122 §2.3.2; address conflicts: RFC 5227).
#ifndef NETSTACK_IP_ARP_H_
#define NETSTACK_IP_ARP_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_context.h"
#include "netstack/wire/arp.h"

namespace weir::netstack {

// `frame` begins at the ARP packet. Answers requests for our address and learns from answers to our own requests;
// nothing else changes the cache, so that unsolicited packets cannot poison it. Linux: arp_rcv, arp_process.
DropReason ArpRcv(IpContext& context, runtime::Frame& frame, Nanos now_ns);

// Asks for the neighbour's address: by broadcast, or by unicast when one is known (arp_solicit).
DropReason ArpSolicit(IpContext& context, const Neighbour& neighbour);

// Tells the link that our address is here (RFC 5227 §2.3), so that stale caches of an earlier holder are renewed.
DropReason ArpAnnounce(IpContext& context);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_ARP_H_
