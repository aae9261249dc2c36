#include "netstack/ip/ip_dst.h"

#include <algorithm>

#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"

namespace weir::netstack {

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
      if (v4) PushIpv4(*frame, flow, out, /*id=*/0, Ipv4Header::kDontFragment);  // RFC 6864 §4.1
      else PushIpv6(*frame, flow, out);
      dst.neighbour->used = true;
      return NeighbourSend(out, *dst.neighbour, frame, now_ns);
    }
  }
  IpFlow looked_up = flow;
  looked_up.out = context.FindInterface(scope_id);
  const DropReason reason = IpOutput(context, frame, looked_up, now_ns);
  if (!hooked) IpDstLookup(context, flow.destination, looked_up.out, dst);
  return reason;
}

}  // namespace weir::netstack
