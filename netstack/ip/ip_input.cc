#include "netstack/ip/ip_input.h"

#include "netstack/ip/icmp_input.h"
#include "netstack/ip/icmp_output.h"
#include "netstack/ip/igmp.h"
#include "netstack/ip/ip_forward.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/udp/udp_input.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/icmp.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/igmp.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv4_options.h"
#include "netstack/wire/ipv6.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

// RFC 1122 §3.2.1.8, for a packet with options that was found whole. Source routes are refused (RFC 7126 §4.3, §4.4;
// Linux: accept_source_route); who made a malformed option is told (§3.2.2.5).
DropReason CheckOptions(Inet& inet, IpPacket& packet, Nanos now_ns) {
  const Ipv4Options options = Ipv4Options::Parse(packet.header);
  packet.router_alert = options.router_alert;
  if (options.problem.has_value()) {
    packet.to = ClassifyDestination(inet.ip, packet.in, packet.destination);
    if (packet.to != IpDestination::kOther || inet.ip.forwarding) {
      IcmpSend(inet.ip, packet, IcmpError::kBadHeader, *options.problem, now_ns);
    }
    return DropReason::kIpOptions;
  }
  return options.source_route ? DropReason::kIpOptions : DropReason::kConsumed;
}

// The functions see the packet with its header, and may have changed whom it is from.
DropReason LocalInHooks(IpContext& context, IpPacket& packet, Nanos now_ns) {
  const auto header_size = static_cast<uint32_t>(packet.header.size());
  packet.frame.Push(header_size);
  const DropReason verdict =
      context.hooks.Run(Hook::kLocalIn, {.frame = packet.frame, .in = &packet.in, .now_ns = now_ns});
  if (verdict != DropReason::kConsumed) return verdict;
  packet.header = {packet.frame.data, header_size};
  if (packet.is_v4()) {
    Ipv4Header header;
    header.Parse(packet.frame.data);
    packet.source = IpAddress::V4(header.source);
    packet.destination = IpAddress::V4(header.destination);
  } else {
    Ipv6Header header;
    header.Parse(packet.frame.data);
    packet.source = header.source;
    packet.destination = header.destination;
  }
  packet.frame.Pull(header_size);
  return DropReason::kConsumed;
}

// RFC 791 §3.2. The datagram goes on when this fragment was the last one missing (ip_defrag).
DropReason IpRcvFragment(Inet& inet, const IpPacket& packet, Nanos now_ns) {
  Ipv4Header header;
  header.Parse(packet.header.data());
  const IpFragment fragment{.id = header.id,
                            .offset = uint32_t{8} * (header.fragment & Ipv4Header::kOffsetMask),
                            .more = (header.fragment & Ipv4Header::kMoreFragments) != 0};
  ReassembledPacket whole;
  const DropReason reason = inet.ip.reassembly.Add(packet, fragment, whole, now_ns);
  return whole.packet.has_value() ? IpLocalDeliver(inet, *whole.packet, now_ns) : reason;
}

// Where the packet goes (ip_rcv_finish).
inline DropReason IpRcvFinish(Inet& inet, IpPacket& packet, const Ipv4Header& header, Nanos now_ns) {
  const LocalTable::Entry* entry = inet.ip.local4.Find(header.destination);
  if (entry == nullptr || entry->broadcast) [[unlikely]] {
    packet.to = ClassifyDestination(inet.ip, packet.in, packet.destination);
    if (packet.to == IpDestination::kOther) {
      return inet.ip.forwarding ? IpForward(inet.ip, packet, now_ns) : DropReason::kIpNotLocal;
    }
  } else {
    packet.to = IpDestination::kLocal;
  }
  if (header.is_fragment()) [[unlikely]] return IpRcvFragment(inet, packet, now_ns);
  return IpLocalDeliver(inet, packet, now_ns);
}

}  // namespace

IpDestination ClassifyDestination(IpContext& context, Interface& in, const IpAddress& destination) {
  if (context.FindLocal(destination) != nullptr) return IpDestination::kLocal;
  if (in.IsBroadcast(destination)) return IpDestination::kBroadcast;
  if (!destination.is_multicast()) return IpDestination::kOther;
  const bool member = destination == kAllHosts || destination == kAllNodes || in.groups.Contains(destination);
  return member ? IpDestination::kMulticast : IpDestination::kOther;
}

// A datagram that was put together was so on every shard that its fragments came to.
static bool IsOtherShards(const PeerShards& peers, const IpPacket& packet) {
  if (packet.to != IpDestination::kLocal) return false;
  const bool tcp = packet.protocol == kProtocolTcp;
  if (packet.frame.len < 4) return !peers.speaks();
  if (!tcp && packet.protocol != kProtocolUdp) {
    // An echo reply is for whoever has its identifier, and nothing is said about it.
    const bool icmp = packet.protocol == (packet.is_v4() ? kProtocolIcmp : kProtocolIcmp6);
    const bool reply = icmp && runtime::LoadU8(packet.frame.data) == (packet.is_v4() ? kIcmpEchoReply : kIcmp6EchoReply);
    return !reply && !peers.speaks();
  }
  const Endpoint local{packet.destination, runtime::LoadBe16(packet.frame.data + 2)};
  const Endpoint remote{packet.source, runtime::LoadBe16(packet.frame.data)};
  return !peers.Owns(tcp ? PortSpace::kTcp : PortSpace::kUdp, local, remote);
}

// Linux: ip_local_deliver, ip_protocol_deliver_rcu; ip6_protocol_deliver_rcu.
DropReason IpLocalDeliver(Inet& inet, IpPacket& packet, Nanos now_ns) {
  if (packet.reassembled && inet.ip.peers != nullptr && IsOtherShards(*inet.ip.peers, packet)) [[unlikely]] {
    return DropReason::kOtherShard;
  }
  if (inet.ip.hooks.any(Hook::kLocalIn)) [[unlikely]] {
    const DropReason verdict = LocalInHooks(inet.ip, packet, now_ns);
    if (verdict != DropReason::kConsumed) return verdict;
  }
  if (packet.protocol == kProtocolTcp) [[likely]] return TcpRcv(inet.tcp, packet, now_ns);
  if (packet.protocol == kProtocolUdp) [[likely]] return UdpRcv(inet.udp, packet, now_ns);
  switch (packet.protocol) {
    case kProtocolIcmp:
      if (packet.is_v4()) return IcmpRcv(inet, packet, now_ns);
      break;
    case kProtocolIgmp:
      if (packet.is_v4()) return IgmpRcv(packet, now_ns);
      break;
    case kProtocolIcmp6:
      if (!packet.is_v4()) return Icmp6Rcv(inet, packet, now_ns);
      break;
    case kNextHeaderNone:
      if (!packet.is_v4()) return DropReason::kIpProtocol;
      break;
    default:
      break;
  }
  // RFC 1122 §3.2.2.1, RFC 8200 §4: a host says that it does not know the protocol.
  IcmpSend(inet.ip, packet, IcmpError::kProtocolUnreachable, packet.next_header_offset, now_ns);
  return DropReason::kIpProtocol;
}

DropReason IpRcv(Inet& inet, Interface& in, runtime::Frame& frame, std::span<runtime::Frame* const> more, Nanos now_ns,
                 bool link_multicast) {
  if (frame.len < Ipv4Header::kMinSize) [[unlikely]] return DropReason::kIpTruncated;
  Ipv4Header header;
  header.Parse(frame.data);
  if (header.version != 4) [[unlikely]] return DropReason::kIpVersion;
  if (header.header_size < Ipv4Header::kMinSize) [[unlikely]] return DropReason::kIpHeaderLength;
  if (frame.len < header.header_size) [[unlikely]] return DropReason::kIpTruncated;
  if (FoldSum(header.SumHeader(frame.data)) != 0xffff) [[unlikely]] return DropReason::kIpChecksum;
  if (header.total_length < header.header_size) [[unlikely]] return DropReason::kIpHeaderLength;
  if (!more.empty()) [[unlikely]] {
    const auto pieces = TrimFrames(frame, more, header.total_length);
    if (!pieces.has_value()) return DropReason::kIpTruncated;
    more = *pieces;
  } else if (frame.len < header.total_length) [[unlikely]] {
    return DropReason::kIpTruncated;
  }
  // IGMP comes from 0.0.0.0 where a host or a switch has no address yet (RFC 3376 §4.2.13, RFC 4541 §2.1.1).
  if (inet.ip.local4.IsMartianSource(header.source)) [[unlikely]] {
    if (header.source != 0 || header.protocol != kProtocolIgmp) return DropReason::kIpMartianSource;
  }
  frame.Trim(header.total_length);  // Ethernet pads to 60 bytes
  if (inet.ip.hooks.any(Hook::kPreRouting)) [[unlikely]] {
    const DropReason verdict = inet.ip.hooks.Run(Hook::kPreRouting, {.frame = frame, .in = &in, .now_ns = now_ns});
    if (verdict != DropReason::kConsumed) return verdict;
    Ipv4Header changed;
    changed.Parse(frame.data);
    header = changed;
  }
  const std::span<const std::byte> bytes(frame.data, header.header_size);
  frame.Pull(header.header_size);
  if (!more.empty()) [[unlikely]] AlignFrames(frame, more);
  IpPacket packet{.frame = frame,
                  .in = in,
                  .source = IpAddress::V4(header.source),
                  .destination = IpAddress::V4(header.destination),
                  .protocol = header.protocol,
                  .tos = header.tos,
                  .ttl = header.ttl,
                  .link_multicast = link_multicast,
                  .header = bytes,
                  .more = more};
  if (bytes.size() > Ipv4Header::kMinSize) [[unlikely]] {
    if (const DropReason bad = CheckOptions(inet, packet, now_ns); bad != DropReason::kConsumed) return bad;
  }
  return IpRcvFinish(inet, packet, header, now_ns);
}

}  // namespace weir::netstack
