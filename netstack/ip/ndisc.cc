#include "netstack/ip/ndisc.h"

#include "netstack/ip/ndisc_output.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/ndp.h"

namespace weir::netstack {
namespace {

// RFC 4861 §7.2.3.
DropReason SolicitationRcv(Interface& in, const IpPacket& packet, Nanos now_ns) {
  NeighborSolicitation message;
  if (!message.Parse(packet.frame.bytes())) return DropReason::kNdpMalformed;
  const bool probe = packet.source.is_any();
  // §7.1.1: a host that has no address yet asks a group, and has no cache entry to fill.
  if (probe && (message.source_mac.has_value() || packet.destination != SolicitedNodeGroup(message.target))) {
    return DropReason::kNdpMalformed;
  }
  if (in.FindAddress(message.target) == nullptr) return DropReason::kNdpNotForUs;
  if (!probe && message.source_mac.has_value()) {
    // An entry that is confirmed is not overwritten by a question.
    Neighbour* known = in.neighbours.Find(packet.source);
    if (known == nullptr || known->state != NeighbourState::kReachable) {
      Neighbour& neighbour = known != nullptr ? *known : in.neighbours.FindOrCreate(in, packet.source);
      NeighbourUpdate(in, neighbour, *message.source_mac, /*confirmed=*/false, now_ns);
    }
  }
  return NdpAdvertise(in, message.target, packet.source, now_ns);
}

// RFC 4861 §7.2.5.
DropReason AdvertisementRcv(Interface& in, const IpPacket& packet, Nanos now_ns) {
  NeighborAdvertisement message;
  if (!message.Parse(packet.frame.bytes()) || (packet.destination.is_multicast() && message.solicited)) {
    return DropReason::kNdpMalformed;
  }
  Neighbour* known = in.neighbours.Find(message.target);
  if (known == nullptr) return DropReason::kNdpUnsolicited;
  const bool asked = known->state == NeighbourState::kIncomplete || known->state == NeighbourState::kProbe;
  const MacAddress mac = message.target_mac.value_or(known->mac);
  if (mac.is_zero() || mac.is_multicast()) return DropReason::kNdpMalformed;
  if (asked && message.solicited) {
    NeighbourUpdate(in, *known, mac, /*confirmed=*/true, now_ns);
    known->is_router = message.router;
    return DropReason::kConsumed;
  }
  // What nobody asked for is not believed: where it differs from what we know, that is asked about. Differs from Linux,
  // which takes the override flag's word.
  if (!asked && known->mac != mac) NeighbourContest(*known, now_ns);
  return DropReason::kNdpUnsolicited;
}

}  // namespace

DropReason NdpRcv(IpContext&, IpPacket& packet, Nanos now_ns) {
  if (packet.ttl != 255) return DropReason::kNdpMalformed;  // RFC 4861 §7.1: from beyond the link
  switch (runtime::LoadU8(packet.frame.data)) {
    case kIcmp6NeighborSolicitation:
      return SolicitationRcv(packet.in, packet, now_ns);
    case kIcmp6NeighborAdvertisement:
      return AdvertisementRcv(packet.in, packet, now_ns);
    default:
      return DropReason::kIcmpType;
  }
}

}  // namespace weir::netstack
