// ARP (RFC 826; RFC 1122 §2.3.2; address conflicts: RFC 5227).
#ifndef NETSTACK_IP_ARP_H_
#define NETSTACK_IP_ARP_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_context.h"
#include "netstack/wire/arp.h"

namespace weir::netstack {

// `frame` begins at the ARP packet. Answers requests for our addresses and learns from answers to our own requests.
// What nobody asked for changes no entry, so that it cannot poison the cache: a claim that contradicts one makes us ask
// the host that we know. Linux: arp_rcv, arp_process.
DropReason ArpRcv(Interface& in, runtime::Frame& frame, Nanos now_ns);

// Asks for the neighbour's address: by broadcast, or by unicast to see whether one still holds (arp_solicit).
DropReason ArpSolicit(Interface& out, const Neighbour& neighbour);

// Asks whether anybody has `ip`, without claiming it (RFC 5227 §2.1.1). An answer sets Interface::arp_probe.conflict.
DropReason ArpProbe(Interface& out, const IpAddress& ip);

// Tells the link that our address is here (RFC 5227 §2.3), so that stale caches of an earlier holder are renewed.
DropReason ArpAnnounce(Interface& out, const IpAddress& ip);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_ARP_H_
