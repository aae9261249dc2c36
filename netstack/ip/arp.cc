#include "netstack/ip/arp.h"

#include "netstack/ip/link_output.h"

namespace weir::netstack {
namespace {

DropReason ArpSend(Interface& out, const ArpPacket& packet, const MacAddress& destination) {
  runtime::Frame* frame = out.context.pool.Alloc();
  if (frame == nullptr) return DropReason::kTxNoFrame;
  frame->len = ArpPacket::kSize;
  packet.Emit(frame->data);
  return LinkOutput(out, frame, destination, kEtherTypeArp);
}

bool IsUnicastHost(uint32_t ip) {
  return ip != 0 && ip < 0xe0000000 && (ip >> 24) != 127;
}

DropReason ArpReply(Interface& out, const ArpPacket& request) {
  return ArpSend(out,
                 {.operation = ArpPacket::kReply,
                  .sender_mac = out.device.mac(),
                  .sender_ip = request.target_ip,
                  .target_mac = request.sender_mac,
                  .target_ip = request.sender_ip},
                 request.sender_mac);
}

// RFC 5227 §2.4: somebody else uses our address. Defend it once an interval; two hosts that both never give up would
// otherwise fill the link.
DropReason Conflict(Interface& in, const IpAddress& ours, Nanos now_ns) {
  constexpr Nanos kDefendInterval = 10 * kSecond;
  if (in.context.speaks() && now_ns - in.defended_ns >= kDefendInterval) {
    in.defended_ns = now_ns;
    in.context.CountFailure(ArpAnnounce(in, ours));
  }
  return DropReason::kArpConflict;
}

}  // namespace

DropReason ArpRcv(Interface& in, runtime::Frame& frame, Nanos now_ns) {
  if (frame.len < ArpPacket::kSize) return DropReason::kArpTruncated;
  ArpPacket packet;
  if (!packet.Parse(frame.data) || packet.sender_mac.is_multicast() || packet.sender_mac.is_zero() ||
      (packet.operation != ArpPacket::kRequest && packet.operation != ArpPacket::kReply)) {
    return DropReason::kArpMalformed;
  }
  // RFC 1122 §3.2.1.3: from nobody who could be answered. 0.0.0.0 is a probe's (RFC 5227 §2.1.1).
  if (packet.sender_ip != 0 && !IsUnicastHost(packet.sender_ip)) return DropReason::kArpMalformed;
  if (packet.sender_mac == in.device.mac()) return DropReason::kArpNotForUs;  // our own, reflected
  const IpAddress sender = IpAddress::V4(packet.sender_ip), target = IpAddress::V4(packet.target_ip);
  // RFC 5227 §2.1.1: while an address is probed, whoever has it or probes it too is a conflict.
  if (in.arp_probe.ip.is_v4() && (sender == in.arp_probe.ip || (packet.sender_ip == 0 && target == in.arp_probe.ip))) {
    in.arp_probe.conflict = true;
    return DropReason::kArpConflict;
  }
  if (in.FindAddress(sender) != nullptr) return Conflict(in, sender, now_ns);
  const bool sender_on_link = IsUnicastHost(packet.sender_ip) && in.OnLink(sender);
  // A gateway beyond our prefix was asked for as well: leases of a /32 have one.
  Neighbour* known = IsUnicastHost(packet.sender_ip) ? in.neighbours.Find(sender) : nullptr;
  const bool for_us = IsUnicastHost(packet.target_ip) && in.FindAddress(target) != nullptr;
  if (packet.operation == ArpPacket::kReply || sender == target) {
    // Only an answer to a question of ours counts: INCOMPLETE or PROBE means that one is out.
    const bool asked = known != nullptr && (known->state == NeighbourState::kIncomplete ||
                                            known->state == NeighbourState::kProbe);
    if (!asked || !for_us) {
      if (known != nullptr && known->mac != packet.sender_mac) NeighbourContest(*known, now_ns);
      return DropReason::kArpUnsolicited;
    }
    NeighbourUpdate(in, *known, packet.sender_mac, /*confirmed=*/true, now_ns);
    return DropReason::kConsumed;
  }
  if (!for_us) return DropReason::kArpNotForUs;
  // RFC 826: whoever asks for us will be answered, so remember it. A sender of 0.0.0.0 is a probe (RFC 5227 §2.1.1):
  // answered, not remembered. An entry that is confirmed is not overwritten by a question.
  if (known != nullptr ? known->state != NeighbourState::kReachable : sender_on_link) {
    Neighbour& neighbour = known != nullptr ? *known : in.neighbours.FindOrCreate(in, sender);
    NeighbourUpdate(in, neighbour, packet.sender_mac, /*confirmed=*/false, now_ns);
  }
  return in.context.speaks() ? ArpReply(in, packet) : DropReason::kConsumed;
}

DropReason ArpSolicit(Interface& out, const Neighbour& neighbour) {
  const InterfaceAddress* source = out.SelectSource(neighbour.ip);
  if (source == nullptr) return DropReason::kNoSourceAddress;
  const bool unicast = neighbour.state == NeighbourState::kProbe;
  return ArpSend(out,
                 {.operation = ArpPacket::kRequest,
                  .sender_mac = out.device.mac(),
                  .sender_ip = source->prefix.ip.v4(),
                  .target_mac = {},
                  .target_ip = neighbour.ip.v4()},
                 unicast ? neighbour.mac : kBroadcastMac);
}

DropReason ArpProbe(Interface& out, const IpAddress& ip) {
  return ArpSend(out,
                 {.operation = ArpPacket::kRequest,
                  .sender_mac = out.device.mac(),
                  .sender_ip = 0,
                  .target_mac = {},
                  .target_ip = ip.v4()},
                 kBroadcastMac);
}

DropReason ArpAnnounce(Interface& out, const IpAddress& ip) {
  return ArpSend(out,
                 {.operation = ArpPacket::kRequest,
                  .sender_mac = out.device.mac(),
                  .sender_ip = ip.v4(),
                  .target_mac = {},
                  .target_ip = ip.v4()},
                 kBroadcastMac);
}

}  // namespace weir::netstack
