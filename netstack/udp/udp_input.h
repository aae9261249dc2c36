// UDP input (RFC 768, RFC 1122 §4.1.3). Linux: udp_rcv, udp_queue_rcv_skb.
#ifndef NETSTACK_UDP_UDP_INPUT_H_
#define NETSTACK_UDP_UDP_INPUT_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_packet.h"
#include "netstack/udp/udp_table.h"

namespace weir::netstack {

// Queues the datagram on its socket and marks that ready; without a socket answers port unreachable.
DropReason UdpRcv(UdpTable& table, IpPacket& packet, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_INPUT_H_
