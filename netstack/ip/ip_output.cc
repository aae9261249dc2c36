#include "netstack/ip/ip_output.h"

#include "netstack/wire/ipv4.h"

namespace weir::netstack {

const IpAddress* RouteLookup(const IpContext& context, const IpAddress& destination) {
  if (context.address.Contains(destination)) return &destination;
  return context.gateway.has_value() ? &*context.gateway : nullptr;
}

DropReason IpOutput(IpContext& context, runtime::Frame* frame, const IpFlow& flow, Nanos now_ns) {
  const IpAddress* next_hop = RouteLookup(context, flow.destination);
  const uint32_t total_length = frame->len + Ipv4Header::kMinSize;
  if (next_hop == nullptr || total_length > context.device.mtu()) {
    runtime::Unref(frame);
    return next_hop == nullptr ? DropReason::kNoRoute : DropReason::kTxTooBig;
  }
  const Ipv4Header header{.tos = flow.tos,
                          .total_length = static_cast<uint16_t>(total_length),
                          .id = context.next_ip_id++,
                          .fragment = Ipv4Header::kDontFragment,
                          .ttl = flow.ttl,
                          .protocol = flow.protocol,
                          .source = flow.source.v4(),
                          .destination = flow.destination.v4()};
  header.Emit(frame->Push(Ipv4Header::kMinSize));
  return NeighbourOutput(context, frame, *next_hop, now_ns);
}

}  // namespace weir::netstack
