// IpDst: what a socket keeps of the way its packets take, so that not each of them looks for route, path MTU and
// neighbour anew. Linux: sk_dst_cache with dst_check, and the neighbour's hh_cache.
#ifndef NETSTACK_IP_IP_DST_H_
#define NETSTACK_IP_IP_DST_H_

#include <cstdint>

#include "netstack/ip/ip_context.h"
#include "netstack/ip/ip_output.h"

namespace weir::netstack {

struct IpDst {
  Neighbour* neighbour = nullptr;  // nullptr: nothing is known. It names the interface.
  uint32_t cookie = 0;             // IpContext::dst_cookie() when that was looked up
  uint16_t mtu = 0;                // of the path, where it is known to be narrower than the link; else 65535
};

// Whether nothing has changed since that a look-up depends on.
inline bool IpDstValid(const IpContext& context, const IpDst& dst) {
  return dst.neighbour != nullptr && dst.cookie == context.dst_cookie();
}

// Finds the way to `destination`, a unicast address, by `out` when that is not nullptr. Nothing is kept where there is
// none, or where the neighbour's link-layer address is not known yet.
void IpDstLookup(IpContext& context, const IpAddress& destination, Interface* out, IpDst& dst);

// The peer has acknowledged something new: its way is good (sk_dst_confirm).
inline void IpDstConfirm(const IpContext& context, const IpDst& dst, Nanos now_ns) {
  if (IpDstValid(context, dst)) NeighbourConfirm(*dst.neighbour, now_ns);
}

// As IpOutput, for one destination after the other: `dst` is used when it is valid, and else looked up for the next
// packet. `flow.out` is not looked at, but `scope_id` of the destination. There is no router alert, and of
// fragments there are none but with kDont (ip_queue_xmit).
DropReason IpQueueXmit(IpContext& context, runtime::Frame* frame, const IpFlow& flow, uint32_t scope_id, IpDst& dst,
                       Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_DST_H_
