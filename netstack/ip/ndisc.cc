#include "netstack/ip/ndisc.h"

#include <optional>
#include <span>

#include "netstack/ip/interface.h"
#include "netstack/ip/ip_context.h"
#include "netstack/ip/ndisc_output.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/ndp.h"

namespace weir::netstack {
namespace {

// The sender says where it is (RFC 4861 §7.2.3, §6.3.4). An entry that is confirmed is not overwritten by that, and none
// changes that says so already.
void LearnSource(Interface& in, const IpAddress& sender, const std::optional<MacAddress>& mac, Nanos now_ns) {
  if (!mac.has_value() || mac->is_zero() || mac->is_multicast()) return;
  Neighbour* known = in.neighbours.Find(sender);
  if (known != nullptr && known->state != NeighbourState::kIncomplete &&
      (known->state == NeighbourState::kReachable || known->mac == *mac)) {
    return;
  }
  Neighbour& neighbour = known != nullptr ? *known : in.neighbours.FindOrCreate(in, sender);
  NeighbourUpdate(in, neighbour, *mac, /*confirmed=*/false, now_ns);
}

// RFC 4861 §7.2.3; Linux: ndisc_recv_ns.
DropReason SolicitationRcv(Interface& in, const IpPacket& packet, Nanos now_ns) {
  NeighborSolicitation message;
  if (!message.Parse(packet.frame.bytes()) || message.target.is_v4()) return DropReason::kNdpMalformed;
  const bool probe = packet.source.is_any();
  // §7.1.1: a host that has no address yet asks a group, and has no cache entry to fill.
  if (probe && (message.source_mac.has_value() || packet.destination != SolicitedNodeGroup(message.target))) {
    return DropReason::kNdpMalformed;
  }
  const InterfaceAddress* ours = in.FindAddress(message.target);
  if (ours == nullptr) return DropReason::kNdpNotForUs;
  const bool speaks = in.context.speaks();
  if (speaks && probe && ours->state == AddressState::kOptimistic) {
    // RFC 7527 §4.2: our own, from a switch or an access point that sends back what it gets. Linux, too, asks once only.
    if (message.nonce == ours->dad_nonce) return DropReason::kNdpLoopedBack;
    // RFC 4429 §3.3: another wants it as well; neither gets it.
    in.addrconf.Duplicate(message.target, now_ns);
    return DropReason::kNdpConflict;
  }
  if (!probe) LearnSource(in, packet.source, message.source_mac, now_ns);
  return speaks ? NdpAdvertise(in, *ours, packet.source, now_ns) : DropReason::kConsumed;
}

// RFC 4861 §7.2.5; Linux: ndisc_recv_na.
DropReason AdvertisementRcv(Interface& in, const IpPacket& packet, Nanos now_ns) {
  NeighborAdvertisement message;
  if (!message.Parse(packet.frame.bytes()) || message.target.is_v4() ||
      (packet.destination.is_multicast() && message.solicited)) {
    return DropReason::kNdpMalformed;
  }
  if (const InterfaceAddress* ours = in.FindAddress(message.target)) {
    // RFC 4862 §5.4.4: it is another's when it is new here; else one of us is wrong, and it is not us who came later.
    const bool another_has_it = ours->state == AddressState::kOptimistic && in.context.speaks();
    if (another_has_it) in.addrconf.Duplicate(message.target, now_ns);
    return DropReason::kNdpConflict;
  }
  Neighbour* known = in.neighbours.Find(message.target);
  if (known == nullptr) return DropReason::kNdpUnsolicited;
  const bool incomplete = known->state == NeighbourState::kIncomplete;
  const bool asked = incomplete || (known->state == NeighbourState::kProbe && message.solicited);
  if (incomplete && !message.target_mac.has_value()) return DropReason::kNdpMalformed;
  const MacAddress mac = message.target_mac.value_or(known->mac);
  if (mac.is_zero() || mac.is_multicast()) return DropReason::kNdpMalformed;
  const bool moved = !incomplete && mac != known->mac;
  if (moved && !asked) {
    // What nobody asked for is not believed: where it differs from what we know, that is asked about. Differs from
    // Linux, which takes the override flag's word.
    NeighbourContest(*known, now_ns);
    return DropReason::kNdpUnsolicited;
  }
  if (moved && (!message.override_entry || known->contested)) return DropReason::kNdpUnsolicited;
  if (known->is_router && !message.router) in.routers.Remove(known->ip);
  known->is_router = message.router;
  if (!asked) return DropReason::kNdpUnsolicited;
  NeighbourUpdate(in, *known, mac, /*confirmed=*/message.solicited, now_ns);
  return DropReason::kConsumed;
}

// RFC 4861 §6.1.2, §6.3.4; Linux: ndisc_router_discovery.
DropReason RouterAdvertisementRcv(Interface& in, const IpPacket& packet, Nanos now_ns) {
  RouterAdvertisement message;
  if (!packet.source.is_link_local() || !message.Parse(packet.frame.bytes())) return DropReason::kNdpMalformed;
  if (!in.routers.started()) return DropReason::kNdpRouterIgnored;
  LearnSource(in, packet.source, message.source_mac, now_ns);
  if (Neighbour* router = in.neighbours.Find(packet.source)) router->is_router = true;
  in.routers.AdvertisementRcv(message, packet.source, now_ns);
  for (const PrefixInformation& prefix : std::span(message.prefixes).first(message.prefix_count)) {
    in.addrconf.PrefixRcv(prefix, now_ns);
  }
  return DropReason::kConsumed;
}

}  // namespace

DropReason NdpRcv(IpPacket& packet, Nanos now_ns) {
  // RFC 4861 §6.1, §7.1: what has come through a router is forged. RFC 6980 §5: nor in fragments. Differs from Linux:
  // nor behind other extension headers, where only what wants to get past an RA guard hides (RFC 7113 §2.1).
  if (packet.ttl != 255 || packet.header.size() != Ipv6Header::kSize) return DropReason::kNdpMalformed;
  const uint8_t type = runtime::LoadU8(packet.frame.data);
  // From our own address. What is made of it is said where advertisements are taken (RFC 4862 §5.4.4).
  if (type != kIcmp6NeighborAdvertisement && packet.in.FindAddress(packet.source) != nullptr) {
    return DropReason::kNdpConflict;
  }
  switch (type) {
    case kIcmp6NeighborSolicitation:
      return SolicitationRcv(packet.in, packet, now_ns);
    case kIcmp6NeighborAdvertisement:
      return AdvertisementRcv(packet.in, packet, now_ns);
    case kIcmp6RouterAdvertisement:
      return RouterAdvertisementRcv(packet.in, packet, now_ns);
    case kIcmp6Redirect:
      // Differs from Linux (accept_redirects): anybody on the link can send one in a router's name, and get our
      // packets; what an honest one saves is a hop.
      return DropReason::kNdpRedirect;
    default:
      return DropReason::kNdpNotForUs;  // router solicitations: RFC 4861 §6.2.6
  }
}

}  // namespace weir::netstack
