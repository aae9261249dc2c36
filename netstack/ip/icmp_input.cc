#include "netstack/ip/icmp_input.h"

#include <array>

#include "netstack/ip/icmp_error.h"
#include "netstack/ip/icmp_output.h"
#include "netstack/ip/ip_fragment.h"
#include "netstack/ip/ip_output.h"
#include "netstack/ip/mld.h"
#include "netstack/ip/ndisc.h"
#include "netstack/ip/packet_checksum.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/icmp.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"

namespace weir::netstack {
namespace {

// Sends the message back from the frame it came in, as the answer that `type` names; in fragments when it came so.
DropReason EchoReply(IpContext& context, IpPacket& packet, uint8_t type, const IpAddress& source, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  const IpFlow flow{.source = source,
                    .destination = packet.source,
                    .protocol = packet.protocol,
                    .tos = packet.tos,
                    .pmtu_discovery = PmtuDiscovery::kDont,
                    .out = packet.source.is_link_local() ? &packet.in : nullptr};
  frame.data[0] = std::byte{type};
  if (packet.more.empty()) {
    runtime::Ref(&frame);
    return IcmpOutput(context, &frame, flow, now_ns);
  }
  const ChecksumSum pseudo =
      packet.is_v4() ? 0 : PseudoHeaderSum(flow.source, flow.destination, kProtocolIcmp6, packet.length());
  StoreChecksum(frame.data + kIcmpChecksumOffset, 0);
  StoreChecksum(frame.data + kIcmpChecksumOffset, FinishChecksum(SumPacket(packet) + pseudo));
  std::array<iovec, ReassembledPacket::kMaxFrames> pieces;
  size_t count = 0;
  for (const runtime::Frame* piece : packet.more) pieces[count++] = {piece->data, piece->len};
  return IpFragmentOutput(context, frame.bytes(), {pieces.data(), count}, flow, now_ns);
}

// RFC 4443 §4.2: a request to a group is answered from an address of the interface.
DropReason Icmp6Echo(IpContext& context, IpPacket& packet, Nanos now_ns) {
  IpAddress source = packet.destination;
  if (packet.to != IpDestination::kLocal) {
    const InterfaceAddress* address = packet.in.SelectSource(packet.source);
    if (address == nullptr) return DropReason::kNoSourceAddress;
    source = address->prefix.ip;
  }
  return EchoReply(context, packet, kIcmp6EchoReply, source, now_ns);
}

}  // namespace

DropReason IcmpRcv(Inet& inet, IpPacket& packet, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  if (frame.len < kIcmpHeader) return DropReason::kIcmpTruncated;
  if (FoldSum(SumPacket(packet)) != 0xffff) return DropReason::kIcmpChecksum;
  if (runtime::LoadU8(frame.data) != kIcmpEchoRequest) return IcmpErrorRcv(inet, packet, now_ns);
  if (runtime::LoadU8(frame.data + 1) != 0) return DropReason::kIcmpType;
  // RFC 1122 §3.2.2.6: an echo request to a broadcast or multicast address may be discarded, and is (smurf).
  if (packet.to != IpDestination::kLocal || packet.link_multicast) return DropReason::kIcmpBroadcast;
  return EchoReply(inet.ip, packet, kIcmpEchoReply, packet.destination, now_ns);
}

DropReason Icmp6Rcv(Inet& inet, IpPacket& packet, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  if (frame.len < kIcmpHeader) return DropReason::kIcmpTruncated;
  if (!TransportChecksumOk(packet, kIcmpChecksumOffset)) return DropReason::kIcmpChecksum;
  switch (runtime::LoadU8(frame.data)) {
    case kIcmp6EchoRequest:
      return Icmp6Echo(inet.ip, packet, now_ns);
    case kIcmp6RouterSolicitation:
    case kIcmp6RouterAdvertisement:
    case kIcmp6NeighborSolicitation:
    case kIcmp6NeighborAdvertisement:
    case kIcmp6Redirect:
      return NdpRcv(packet, now_ns);
    case kIcmp6MldQuery:
    case kIcmp6MldV1Report:
      return MldRcv(packet, now_ns);
    default:
      return IcmpErrorRcv(inet, packet, now_ns);
  }
}

}  // namespace weir::netstack
