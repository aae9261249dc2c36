// UDP output (RFC 768, RFC 1122 §4.1.3.4). Linux: udp_sendmsg, udp_send_skb.
#ifndef NETSTACK_UDP_UDP_OUTPUT_H_
#define NETSTACK_UDP_UDP_OUTPUT_H_

#include <sys/uio.h>

#include <span>

#include "netstack/ip/ip_output.h"
#include "netstack/udp/udp_table.h"

namespace weir::netstack {

// Which way a datagram goes.
struct UdpRoute {
  IpFlow flow;
  uint16_t port = 0;      // of the destination
  bool to_link = true;    // false: to members on this host alone (IP_MULTICAST_TTL 0)
  bool to_host = false;   // members on this host get it too
};

// The way from `sock` to `peer`. Returns 0; EINVAL: no address or port, a source that is not ours, or a TTL of 0;
// EACCES: a broadcast address without kBroadcast; ENETUNREACH: no route, or no address of ours that fits.
int UdpFindRoute(UdpTable& table, const UdpSock& sock, const Endpoint& peer, const UdpSendOptions& options,
                 UdpRoute* route);

// Sends the payload that `frame` begins with, with the headers put in front; takes over one reference. In fragments
// when it does not fit the path. Members on this host get references to the same frame, before the link does.
DropReason UdpTransmit(UdpTable& table, const UdpSock& sock, runtime::Frame* frame, const UdpRoute& route,
                       Nanos now_ns);

// The same with a payload that lies anywhere, and is copied. kTxTooBig beyond UdpMaxDatagram.
DropReason UdpTransmit(UdpTable& table, const UdpSock& sock, std::span<const iovec> data, const UdpRoute& route,
                       Nanos now_ns);

// UdpFindRoute and UdpTransmit in one; kNoRoute when there is no way.
DropReason UdpSendmsg(UdpTable& table, const UdpSock& sock, runtime::Frame* frame, const Endpoint& peer,
                      Nanos now_ns);

DropReason UdpSendmsg(UdpTable& table, const UdpSock& sock, std::span<const iovec> data, const Endpoint& peer,
                      Nanos now_ns);

// The largest payload of a datagram: 65,507 bytes over IPv4, 65,527 over IPv6.
size_t UdpMaxDatagram(const IpAddress& peer);

// The largest payload that fits one packet.
size_t UdpMaxPayload(UdpTable& table, const Endpoint& peer);

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_OUTPUT_H_
