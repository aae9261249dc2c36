// Which shards a received frame is for, by its headers alone.
//
//   TCP, UDP                     the shard of the flow (FlowShards::Choose); to a group or broadcast: those that use the port
//   ICMP errors                  the shard of the flow that they quote; that a packet was too big: all, which learn from it
//   echo replies                 those whose programs use the identifier
//   fragments                    all: each puts the datagram together, and the one whose flow it is takes it
//   answers of neighbours, IGMP, MLD queries and reports: all
//   everything else              shard 0, which speaks for the host: ARP, neighbour and router discovery, echo requests
//   what is to be forwarded, or is malformed: the shard that it came to
#ifndef NETSTACK_LINK_SHARDS_OF_FRAME_H_
#define NETSTACK_LINK_SHARDS_OF_FRAME_H_

#include <cstddef>
#include <span>

#include "netstack/ip/flow_shards.h"
#include "netstack/ip/ip_context.h"

namespace weir::netstack {

// `frame` begins at the Ethernet header and has all others; `here`: the shard that it came to.
ShardSet ShardsOfFrame(const FlowShards& flows, IpContext& context, std::span<const std::byte> frame, ShardSet here);

}  // namespace weir::netstack

#endif  // NETSTACK_LINK_SHARDS_OF_FRAME_H_
