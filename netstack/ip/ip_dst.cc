#include "netstack/ip/ip_dst.h"

#include <algorithm>

#include "netstack/ip/link_output.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"

namespace weir::netstack {
namespace {

// Whether NeighbourSend would do nothing but pass the packet on.
bool Reachable(const Interface& out, const Neighbour& neighbour, bool v4, Nanos now_ns) {
  return neighbour.state == NeighbourState::kReachable && now_ns - neighbour.confirmed_ns <= out.reachable_time(v4);
}

// As PushIpv4, for a packet of a connection.
void PushHeader4(IpContext& context, runtime::Frame& frame, const IpFlow& flow) {
  uint16_t id = 0, fragment = Ipv4Header::kDontFragment;  // RFC 6864 §4.1: nobody looks at the ID
  if (flow.pmtu_discovery == PmtuDiscovery::kDont) [[unlikely]] {
    id = static_cast<uint16_t>(context.fragment_ids.Next(flow.source, flow.destination, flow.protocol));
    fragment = 0;
  }
  const Ipv4Header header{.tos = flow.tos,
                          .total_length = static_cast<uint16_t>(frame.len + Ipv4Header::kMinSize),
                          .id = id,
                          .fragment = fragment,
                          .ttl = flow.ttl != 0 ? flow.ttl : kDefaultTtl,
                          .protocol = flow.protocol,
                          .source = flow.source.v4(),
                          .destination = flow.destination.v4()};
  header.Emit(frame.Push(Ipv4Header::kMinSize));
}

}  // namespace

void IpDstLookup(IpContext& context, const IpAddress& destination, Interface* out, IpDst& dst) {
  dst.neighbour = nullptr;
  const NextHop hop = RouteLookup(context, destination, out);
  if (hop.out == nullptr || hop.ip.is_multicast() || hop.out->IsBroadcast(hop.ip)) return;
  const PathMtuEntry* path = context.path_mtu.Find(destination);
  if (path != nullptr && path->locked) return;  // each packet needs an ID of its own
  Neighbour* neighbour = hop.out->neighbours.Find(hop.ip);
  if (neighbour == nullptr || neighbour->state == NeighbourState::kIncomplete) return;
  dst = {.neighbour = neighbour,
         .cookie = context.dst_cookie(),
         .mtu = static_cast<uint16_t>(path != nullptr ? std::min(path->mtu, 65535u) : 65535u)};
}

DropReason IpQueueXmit(IpContext& context, runtime::Frame* frame, const IpFlow& flow, uint32_t scope_id, IpDst& dst,
                       Nanos now_ns) {
  const bool hooked = context.hooks.any(Hook::kLocalOut) || context.hooks.any(Hook::kPostRouting);
  if (IpDstValid(context, dst) && !hooked) [[likely]] {
    Interface& out = *dst.neighbour->interface;
    const bool v4 = flow.destination.is_v4();
    const size_t header = v4 ? Ipv4Header::kMinSize : Ipv6Header::kSize;
    if (frame->len + header <= std::min<uint32_t>(dst.mtu, out.mtu(v4))) [[likely]] {
      if (v4) PushHeader4(context, *frame, flow);
      else PushIpv6(*frame, flow, out);
      dst.neighbour->used = true;
      if (!Reachable(out, *dst.neighbour, v4, now_ns)) return NeighbourSend(out, *dst.neighbour, frame, now_ns);
      return LinkOutput(out, frame, dst.neighbour->mac, v4 ? kEtherTypeIpv4 : kEtherTypeIpv6);
    }
  }
  IpFlow looked_up = flow;
  looked_up.out = context.FindInterface(scope_id);
  const DropReason reason = IpOutput(context, frame, looked_up, now_ns);
  if (!hooked) IpDstLookup(context, flow.destination, looked_up.out, dst);
  return reason;
}

}  // namespace weir::netstack
