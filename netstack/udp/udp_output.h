// UDP output (RFC 768, RFC 1122 §4.1.3.4). Linux: udp_sendmsg, udp_send_skb.
#ifndef NETSTACK_UDP_UDP_OUTPUT_H_
#define NETSTACK_UDP_UDP_OUTPUT_H_

#include <sys/uio.h>

#include <span>

#include "netstack/udp/udp_table.h"

namespace weir::netstack {

// Sends the payload that `frame` begins with to `peer`, with the headers put in front; takes over one reference. In
// fragments when it does not fit the path.
DropReason UdpSendmsg(UdpTable& table, const UdpSock& sock, runtime::Frame* frame, const Endpoint& peer,
                      Nanos now_ns);

// The same with a payload that lies anywhere, and is copied. kTxTooBig beyond UdpMaxDatagram.
DropReason UdpSendmsg(UdpTable& table, const UdpSock& sock, std::span<const iovec> data, const Endpoint& peer,
                      Nanos now_ns);

// The largest payload of a datagram: 65,507 bytes over IPv4, 65,527 over IPv6.
size_t UdpMaxDatagram(const IpAddress& peer);

// The largest payload that fits one packet.
size_t UdpMaxPayload(UdpTable& table, const Endpoint& peer);

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_OUTPUT_H_
