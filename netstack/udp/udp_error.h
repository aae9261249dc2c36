// ICMP errors about datagrams that we sent (RFC 1122 §4.1.3.3, RFC 8085 §5.2). Linux: udp_err, udpv6_err.
#ifndef NETSTACK_UDP_UDP_ERROR_H_
#define NETSTACK_UDP_UDP_ERROR_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/transport_error.h"
#include "netstack/udp/udp_table.h"

namespace weir::netstack {

// A connected socket's next call fails with the error; one that is not connected is not told, for it could not know of
// which peer it is. A narrower path is remembered for both.
DropReason UdpErr(UdpTable& table, const TransportError& error, Nanos now_ns);
// The same for who knows the socket, and whether it is connected to the peer that the packet was sent to.
DropReason UdpErrTo(UdpTable& table, UdpSock& sock, bool connected, const TransportError& error, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_ERROR_H_
