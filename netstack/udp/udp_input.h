// UDP input (RFC 768, RFC 1122 §4.1.3). Linux: udp_rcv, udp_queue_rcv_skb.
#ifndef NETSTACK_UDP_UDP_INPUT_H_
#define NETSTACK_UDP_UDP_INPUT_H_

#include <cstddef>

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_packet.h"
#include "netstack/udp/udp_table.h"

namespace weir::netstack {

// Queues the datagram on the socket that it is for and marks that ready; without a socket answers port unreachable.
// What is sent to a group or broadcast goes to every socket that wants it.
DropReason UdpRcv(UdpTable& table, IpPacket& packet, Nanos now_ns);

// The record of a packet in its frames, but for the first `skip` bytes, with a reference on each. The first slice is
// there even when it is empty.
Datagram UdpRecordOf(const IpPacket& packet, size_t skip, const Endpoint& local, const Endpoint& remote, Nanos now_ns);

// Queues what was sent to a group or broadcast on every socket that wants it: each gets references to the same frames.
// kUdpNotMember: none does; kUdpQueueFull: none had room. Linux: __udp4_lib_mcast_deliver.
DropReason UdpDeliverToMembers(UdpTable& table, const Interface& in, const Datagram& datagram);

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_INPUT_H_
