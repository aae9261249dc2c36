// Sockets for echo requests (RFC 792, RFC 4443 §4), which need no privileges: SOCK_DGRAM of IPPROTO_ICMP and
// IPPROTO_ICMPV6. Each is a UdpSock, in a table of its own, whose port is the identifier that goes with its requests.
// What a program sends and receives is the ICMP message; identifier and checksum are the stack's. Linux: ping.c.
#ifndef NETSTACK_UDP_PING_H_
#define NETSTACK_UDP_PING_H_

#include <cstddef>
#include <span>

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_packet.h"
#include "netstack/ip/transport_error.h"
#include "netstack/udp/udp_table.h"

namespace weir::netstack {

// Sends an echo request, from its header on, in fragments when it does not fit the path. Returns 0, EMSGSIZE, EINVAL
// (no echo request), ENOBUFS, or what UdpFindRoute says of the way.
int PingSend(UdpTable& pings, const UdpSock& sock, std::span<const std::byte> message, const Endpoint& peer,
             Nanos now_ns);

// An echo reply, whose checksum is right: to the socket that has its identifier (ping_rcv).
DropReason PingRcv(UdpTable& pings, const IpPacket& packet, Nanos now_ns);

// About an echo request that we sent (ping_err).
DropReason PingErr(UdpTable& pings, const TransportError& error, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_PING_H_
