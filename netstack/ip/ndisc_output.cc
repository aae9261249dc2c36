#include "netstack/ip/ndisc_output.h"

#include "netstack/ip/icmp_output.h"
#include "netstack/ip/ip_output.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/ndp.h"

namespace weir::netstack {
namespace {

template <typename Message>
DropReason Send(Interface& out, const Message& message, const IpAddress& source, const IpAddress& destination,
                Nanos now_ns) {
  runtime::Frame* frame = out.context.pool.Alloc();
  if (frame == nullptr) return DropReason::kTxNoFrame;
  frame->len = static_cast<uint32_t>(message.Emit(frame->data));
  // RFC 4861 §4: Hop Limit 255, so that nobody beyond the link can have sent it.
  return IcmpOutput(out.context, frame,
                    {.source = source, .destination = destination, .protocol = kProtocolIcmp6, .ttl = 255, .out = &out},
                    now_ns);
}

}  // namespace

DropReason NdpSolicit(Interface& out, const Neighbour& neighbour, Nanos now_ns) {
  const InterfaceAddress* source = out.SelectSource(neighbour.ip);
  if (source == nullptr) return DropReason::kNoSourceAddress;
  const bool unicast = neighbour.state == NeighbourState::kProbe;
  return Send(out, NeighborSolicitation{.target = neighbour.ip, .source_mac = out.device.mac()}, source->prefix.ip,
              unicast ? neighbour.ip : SolicitedNodeGroup(neighbour.ip), now_ns);
}

DropReason NdpAdvertise(Interface& out, const IpAddress& ours, const IpAddress& asker, Nanos now_ns) {
  static const IpAddress kAllNodes = IpAddress::V6({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  const bool solicited = !asker.is_any();
  return Send(out,
              NeighborAdvertisement{.router = out.context.forwarding,
                                    .solicited = solicited,
                                    .override_entry = true,
                                    .target = ours,
                                    .target_mac = out.device.mac()},
              ours, solicited ? asker : kAllNodes, now_ns);
}

}  // namespace weir::netstack
