// Link input: from a frame as the ring gave it to the network layer. Linux: eth_type_trans, __netif_receive_skb_core.
#ifndef NETSTACK_LINK_ETHERNET_RCV_H_
#define NETSTACK_LINK_ETHERNET_RCV_H_

#include <span>

#include "netstack/drop_reason.h"
#include "netstack/ip/inet.h"

namespace weir::netstack {

// `frame` came in on `in` and begins at the Ethernet header; the caller keeps its reference. What wants to keep the frame
// takes its own.
DropReason EthernetRcv(Inet& inet, Interface& in, runtime::Frame& frame, Nanos now_ns);

// The same for a packet that goes on in the frames that `first.next` is the first of; with the last reference of the
// caller on each of them. kEthernetTooLong: they are more than kMaxPacketFrames.
DropReason ReceiveFrames(Inet& inet, Interface& in, runtime::Frame& first, Nanos now_ns);

// A burst from the ring, or what of it is this shard's when there are several (PeerShards::Spread): each packet, in one
// frame or linked by `next` in several, goes through EthernetRcv, its outcome is counted, and the ring's reference
// dropped.
// Nothing is resumed here: sockets that something happened to are on inet.ip.ready.
void ReceiveBurst(Inet& inet, Interface& in, std::span<runtime::Frame* const> burst, Nanos now_ns);
// The same without asking whose it is. `passing`: who can pass on what no socket here is for; nullptr: nobody.
void ReceiveHere(Inet& inet, Interface& in, std::span<runtime::Frame* const> burst, PeerShards* passing, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_LINK_ETHERNET_RCV_H_
