// IP input: of IPv4 (RFC 791, RFC 1122 §3.2.1) and IPv6 (RFC 8200). Linux: ip_rcv, ip_rcv_finish, ip_local_deliver, and
// ipv6_rcv, ip6_rcv_finish, ip6_input.
#ifndef NETSTACK_IP_IP_INPUT_H_
#define NETSTACK_IP_IP_INPUT_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/inet.h"
#include "netstack/ip/ip_packet.h"

namespace weir::netstack {

// `frame` came in on `in` and begins at the IP header; the caller keeps its reference. Checks the header, cuts padding
// off, and passes the packet on. `link_multicast`: the frame was sent to a multicast or broadcast address of the link.
DropReason IpRcv(Inet& inet, Interface& in, runtime::Frame& frame, Nanos now_ns, bool link_multicast = false);
DropReason Ip6Rcv(Inet& inet, Interface& in, runtime::Frame& frame, Nanos now_ns, bool link_multicast = false);

// The same for a packet that is larger than a frame: it goes on in `more`, fewer than kMaxPacketFrames. All headers are in
// the first.
DropReason IpRcv(Inet& inet, Interface& in, runtime::Frame& frame, std::span<runtime::Frame* const> more, Nanos now_ns,
                 bool link_multicast);
DropReason Ip6Rcv(Inet& inet, Interface& in, runtime::Frame& frame, std::span<runtime::Frame* const> more, Nanos now_ns,
                  bool link_multicast);

// The transport of a packet for this host; `packet` is at its transport header.
DropReason IpLocalDeliver(Inet& inet, IpPacket& packet, Nanos now_ns);

// Whom `destination` names for a packet that came in on `in`.
IpDestination ClassifyDestination(IpContext& context, Interface& in, const IpAddress& destination);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_INPUT_H_
