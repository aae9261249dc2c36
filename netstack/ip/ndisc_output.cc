#include "netstack/ip/ndisc_output.h"

#include "netstack/ip/group_table.h"
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

constexpr IpAddress kAllRouters = IpAddress::V6({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2});

// RFC 4429 §3.2: nothing is asked from an optimistic address, which another's may be; the question is asked again when
// there is a better one. RFC 4861 §7.2.2: any address of the interface will do.
const InterfaceAddress* SolicitationSource(const Interface& out, const IpAddress& target) {
  const InterfaceAddress* source = out.SelectSource(target);
  if (source == nullptr || source->state != AddressState::kOptimistic) return source;
  for (const InterfaceAddress& address : out.addresses()) {
    if (!address.prefix.ip.is_v4() && address.state != AddressState::kOptimistic) return &address;
  }
  return nullptr;
}

}  // namespace

DropReason NdpSolicit(Interface& out, const Neighbour& neighbour, Nanos now_ns) {
  const InterfaceAddress* source = SolicitationSource(out, neighbour.ip);
  if (source == nullptr) return DropReason::kNoSourceAddress;
  const bool unicast = neighbour.state == NeighbourState::kProbe;
  return Send(out, NeighborSolicitation{.target = neighbour.ip, .source_mac = out.device.mac()}, source->prefix.ip,
              unicast ? neighbour.ip : SolicitedNodeGroup(neighbour.ip), now_ns);
}

DropReason NdpProbe(Interface& out, const InterfaceAddress& address, Nanos now_ns) {
  const IpAddress& ip = address.prefix.ip;
  return Send(out, NeighborSolicitation{.target = ip, .source_mac = {}, .nonce = address.dad_nonce}, IpAddress(),
              SolicitedNodeGroup(ip), now_ns);
}

DropReason NdpAdvertise(Interface& out, const InterfaceAddress& ours, const IpAddress& asker, Nanos now_ns) {
  const bool solicited = !asker.is_any();
  return Send(out,
              NeighborAdvertisement{.router = out.context.forwarding,
                                    .solicited = solicited,
                                    // RFC 4429 §3.3: it must not drive out the entry of who may have had it before us.
                                    .override_entry = ours.state != AddressState::kOptimistic,
                                    .target = ours.prefix.ip,
                                    .target_mac = out.device.mac()},
              ours.prefix.ip, solicited ? asker : kAllNodes, now_ns);
}

DropReason NdpSolicitRouters(Interface& out, Nanos now_ns) {
  // RFC 4429 §3.2: an optimistic address goes into no router's cache.
  const InterfaceAddress* source = out.LinkLocal();
  RouterSolicitation message;
  if (source != nullptr && source->state != AddressState::kOptimistic) message.source_mac = out.device.mac();
  return Send(out, message, source != nullptr ? source->prefix.ip : IpAddress(), kAllRouters, now_ns);
}

}  // namespace weir::netstack
