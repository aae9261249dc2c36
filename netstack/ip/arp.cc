#include "netstack/ip/arp.h"

#include "netstack/ip/link_output.h"

namespace weir::netstack {
namespace {

DropReason ArpSend(IpContext& context, const ArpPacket& packet, const MacAddress& destination) {
  runtime::Frame* frame = context.pool.Alloc();
  if (frame == nullptr) return DropReason::kTxNoFrame;
  frame->len = ArpPacket::kSize;
  packet.Emit(frame->data);
  return LinkOutput(context, frame, destination, kEtherTypeArp);
}

bool IsUnicastHost(uint32_t ip) {
  return ip != 0 && ip < 0xe0000000 && (ip >> 24) != 127;
}

DropReason ArpReply(IpContext& context, const ArpPacket& request) {
  return ArpSend(context,
                 {.operation = ArpPacket::kReply,
                  .sender_mac = context.device.mac(),
                  .sender_ip = context.address.ip.v4(),
                  .target_mac = request.sender_mac,
                  .target_ip = request.sender_ip},
                 request.sender_mac);
}

}  // namespace

DropReason ArpRcv(IpContext& context, runtime::Frame& frame, Nanos now_ns) {
  if (frame.len < ArpPacket::kSize) return DropReason::kArpTruncated;
  ArpPacket packet;
  if (!packet.Parse(frame.data) || packet.sender_mac.is_multicast() || packet.sender_mac.is_zero()) {
    return DropReason::kArpMalformed;
  }
  if (!IsUnicastHost(packet.target_ip) || IpAddress::V4(packet.target_ip) != context.address.ip) {
    return DropReason::kArpNotForUs;
  }
  const IpAddress sender = IpAddress::V4(packet.sender_ip);
  const bool sender_on_link = IsUnicastHost(packet.sender_ip) && sender != context.address.ip &&
                              context.address.Contains(sender);
  Neighbour* known = sender_on_link ? context.neighbours.Find(sender) : nullptr;
  if (packet.operation == ArpPacket::kReply) {
    // Only an answer to a question of ours counts: INCOMPLETE or PROBE means that one is out.
    if (known == nullptr ||
        (known->state != NeighbourState::kIncomplete && known->state != NeighbourState::kProbe)) {
      return DropReason::kArpUnsolicited;
    }
    NeighbourUpdate(context, *known, packet.sender_mac, /*confirmed=*/true, now_ns);
    return DropReason::kConsumed;
  }
  if (packet.operation != ArpPacket::kRequest) return DropReason::kArpMalformed;
  // RFC 826: whoever asks for us will be answered, so remember it. A sender of 0.0.0.0 is a probe (RFC 5227 §2.1.1):
  // answered, not remembered. An entry that is confirmed is not overwritten by a question.
  if (sender_on_link && (known == nullptr || known->state != NeighbourState::kReachable)) {
    Neighbour& neighbour = known != nullptr ? *known : context.neighbours.FindOrCreate(context, sender);
    NeighbourUpdate(context, neighbour, packet.sender_mac, /*confirmed=*/false, now_ns);
  }
  return ArpReply(context, packet);
}

DropReason ArpSolicit(IpContext& context, const Neighbour& neighbour) {
  const bool unicast = neighbour.state == NeighbourState::kProbe;
  return ArpSend(context,
                 {.operation = ArpPacket::kRequest,
                  .sender_mac = context.device.mac(),
                  .sender_ip = context.address.ip.v4(),
                  .target_mac = {},
                  .target_ip = neighbour.ip.v4()},
                 unicast ? neighbour.mac : kBroadcastMac);
}

DropReason ArpAnnounce(IpContext& context) {
  const uint32_t ours = context.address.ip.v4();
  return ArpSend(context,
                 {.operation = ArpPacket::kRequest,
                  .sender_mac = context.device.mac(),
                  .sender_ip = ours,
                  .target_mac = {},
                  .target_ip = ours},
                 kBroadcastMac);
}

}  // namespace weir::netstack
