#include "netstack/link/shards_of_frame.h"

#include "netstack/wire/arp.h"
#include "netstack/wire/ethernet.h"
#include "netstack/wire/icmp.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/igmp.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/ipv6_extensions.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

using Bytes = std::span<const std::byte>;
using runtime::LoadBe16;
using runtime::LoadBe32;
using runtime::LoadU8;

constexpr ShardSet kSpeaker = 1;  // shard 0
constexpr size_t kPortBytes = 4;

// A packet, as far as it says where it belongs.
struct Packet {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;
  Bytes transport;
  bool to_group = false;  // or to all on the link
  bool fragment = false;
};

struct Question {
  const FlowShards& flows;
  IpContext& context;
  ShardSet here;
};

bool IsTransport(uint8_t protocol) { return protocol == kProtocolTcp || protocol == kProtocolUdp; }

PortSpace SpaceOf(uint8_t protocol) { return protocol == kProtocolTcp ? PortSpace::kTcp : PortSpace::kUdp; }

ShardSet OfTransport(const Question& question, const Packet& packet) {
  if (packet.transport.size() < kPortBytes) return question.here;
  const uint16_t from = LoadBe16(packet.transport.data()), to = LoadBe16(packet.transport.data() + 2);
  const PortSpace space = SpaceOf(packet.protocol);
  if (packet.to_group) {
    const ShardSet users = space == PortSpace::kUdp ? question.flows.Users(space, to) : 0;
    return users != 0 ? users : question.here;  // which counts that nobody wants it
  }
  return ShardSet{1} << question.flows.Choose(space, {packet.destination, to}, {packet.source, from});
}

// False: cut short, or malformed.
bool Read4(Bytes bytes, Packet& packet) {
  if (bytes.size() < Ipv4Header::kMinSize) return false;
  Ipv4Header header;
  header.Parse(bytes.data());
  if (header.version != 4 || header.header_size < Ipv4Header::kMinSize || header.header_size > bytes.size()) return false;
  packet.source = IpAddress::V4(header.source);
  packet.destination = IpAddress::V4(header.destination);
  packet.protocol = header.protocol;
  packet.transport = bytes.subspan(header.header_size);
  packet.fragment = header.is_fragment();
  return true;
}

bool Read6(Bytes bytes, Packet& packet) {
  using Outcome = Ipv6ExtensionResult::Outcome;
  if (bytes.size() < Ipv6Header::kSize) return false;
  Ipv6Header header;
  header.Parse(bytes.data());
  if (header.version != 6) return false;
  packet.source = header.source;
  packet.destination = header.destination;
  Bytes rest = bytes.subspan(Ipv6Header::kSize);
  Ipv6ExtensionResult found = WalkIpv6Extensions(rest, header.next_header);
  if (found.outcome == Outcome::kFragment) {
    // RFC 6946 §4: a packet in one fragment is whole.
    packet.fragment = found.fragment.offset != 0 || found.fragment.more;
    const size_t skip = found.offset + Ipv6FragmentHeader::kSize;
    if (skip > rest.size()) return false;
    rest = rest.subspan(skip);
    if (packet.fragment) return true;
    found = WalkIpv6Extensions(rest, found.fragment.next_header, skip);
  }
  packet.protocol = found.outcome == Outcome::kUpperLayer ? found.protocol : kNextHeaderNone;
  if (found.outcome == Outcome::kUpperLayer && found.offset <= rest.size()) packet.transport = rest.subspan(found.offset);
  return true;
}

// `echo`: an ICMP header with an identifier, in a reply, or in a request that we sent.
ShardSet OfEcho(const Question& question, Bytes echo) {
  if (echo.size() < kIcmpHeader) return kSpeaker;
  const ShardSet users = question.flows.Users(PortSpace::kPing, LoadBe16(echo.data() + kIcmpIdentifierOffset));
  return users != 0 ? users : kSpeaker;
}

// The flow that an ICMP error is about: `quote` is a packet that we sent.
ShardSet OfQuote(const Question& question, Bytes quote, bool v4) {
  Packet sent;
  if (!(v4 ? Read4(quote, sent) : Read6(quote, sent))) return kSpeaker;
  if (sent.protocol == (v4 ? kProtocolIcmp : kProtocolIcmp6)) return OfEcho(question, sent.transport);
  if (!IsTransport(sent.protocol)) return kSpeaker;
  // Of a first fragment, too, the ports are there.
  if (sent.transport.size() < kPortBytes) return kSpeaker;
  const Endpoint local{sent.source, LoadBe16(sent.transport.data())};
  const Endpoint remote{sent.destination, LoadBe16(sent.transport.data() + 2)};
  return ShardSet{1} << question.flows.Choose(SpaceOf(sent.protocol), local, remote);
}

ShardSet OfIcmp(const Question& question, const Packet& packet) {
  if (packet.transport.size() < kIcmpHeader) return kSpeaker;
  const uint8_t type = LoadU8(packet.transport.data()), code = LoadU8(packet.transport.data() + 1);
  if (type == kIcmpUnreachable && code == kIcmpCodeFragmentationNeeded) return question.flows.all();
  if (type == kIcmpEchoReply) return OfEcho(question, packet.transport);
  const bool error = type == kIcmpUnreachable || type == kIcmpTimeExceeded || type == kIcmpParameterProblem;
  return error ? OfQuote(question, packet.transport.subspan(kIcmpHeader), /*v4=*/true) : kSpeaker;
}

ShardSet OfIcmp6(const Question& question, const Packet& packet) {
  if (packet.transport.size() < kIcmpHeader) return kSpeaker;
  switch (LoadU8(packet.transport.data())) {
    case kIcmp6PacketTooBig:
    case kIcmp6NeighborAdvertisement:
    case kIcmp6MldQuery:
    case kIcmp6MldV1Report:
      return question.flows.all();
    case kIcmp6EchoReply:
      return OfEcho(question, packet.transport);
    case kIcmp6Unreachable:
    case kIcmp6TimeExceeded:
    case kIcmp6ParameterProblem:
      return OfQuote(question, packet.transport.subspan(kIcmpHeader), /*v4=*/false);
    default:
      return kSpeaker;
  }
}

ShardSet OfIp(const Question& question, const Packet& packet, bool v4) {
  // Routers keep no flows: whoever got a packet passes it on, and the order stays what the device made of it.
  if (question.context.forwarding && !packet.to_group && !question.context.IsLocal(packet.destination)) return question.here;
  if (packet.fragment) return question.flows.all();
  if (IsTransport(packet.protocol)) return OfTransport(question, packet);
  if (v4 && packet.protocol == kProtocolIcmp) return OfIcmp(question, packet);
  if (v4 && packet.protocol == kProtocolIgmp) return question.flows.all();
  if (!v4 && packet.protocol == kProtocolIcmp6) return OfIcmp6(question, packet);
  return kSpeaker;
}

// Questions are for who answers them; what others say of themselves is for all who may have asked.
ShardSet OfArp(const Question& question, Bytes bytes) {
  ArpPacket packet;
  if (bytes.size() < ArpPacket::kSize || !packet.Parse(bytes.data())) return kSpeaker;
  const bool told = packet.operation == ArpPacket::kReply || packet.sender_ip == packet.target_ip;
  return told ? question.flows.all() : kSpeaker;
}

}  // namespace

ShardSet ShardsOfFrame(const FlowShards& flows, IpContext& context, std::span<const std::byte> frame, ShardSet here) {
  const Question question{flows, context, here};
  EthernetHeader header;
  if (!header.Parse(frame)) return here;
  const Bytes bytes = frame.subspan(header.size);
  if (header.ether_type == kEtherTypeArp) return OfArp(question, bytes);
  const bool v4 = header.ether_type == kEtherTypeIpv4;
  if (!v4 && header.ether_type != kEtherTypeIpv6) return here;
  Packet packet;
  if (!(v4 ? Read4(bytes, packet) : Read6(bytes, packet))) return here;
  packet.to_group = header.destination.is_multicast() || packet.destination.is_multicast();
  return OfIp(question, packet, v4);
}

}  // namespace weir::netstack
