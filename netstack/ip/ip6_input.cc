// IPv6 input (RFC 8200). Linux: ipv6_rcv, ip6_rcv_finish, ip6_input.
#include "netstack/ip/icmp_output.h"
#include "netstack/ip/ip_forward.h"
#include "netstack/ip/ip_input.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/ipv6_extensions.h"
#include "netstack/wire/tcp.h"
#include "netstack/wire/udp.h"

namespace weir::netstack {
namespace {

using Extensions = Ipv6ExtensionResult;

bool IsNdp(const Ipv6Header& header, const runtime::Frame& frame) {
  if (header.next_header != kProtocolIcmp6 || header.payload_length == 0 || frame.len == Ipv6Header::kSize) return false;
  const uint8_t type = runtime::LoadU8(frame.data + Ipv6Header::kSize);
  return type >= kIcmp6RouterSolicitation && type <= kIcmp6Redirect;
}

// RFC 4291 §2.5.2, §2.5.3, §2.7 and RFC 4942 §2.2: what no packet on a link may come from or go to. The unspecified
// address is the source of hosts that have none yet. Our own as a source is a spoof, but for Neighbor Discovery, which
// says that another host has the address.
bool IsMartian(const IpContext& context, const Ipv6Header& header, const runtime::Frame& frame) {
  return header.source.is_multicast() || header.source.is_loopback() || header.source.is_v4() ||
         header.destination.is_any() || header.destination.is_loopback() || header.destination.is_v4() ||
         (context.IsLocal(header.source) && !IsNdp(header, frame));
}

IcmpError ParameterProblem(uint8_t code) {
  if (code == kIcmp6CodeOption) return IcmpError::kBadOption;
  return code == kIcmp6CodeNextHeader ? IcmpError::kProtocolUnreachable : IcmpError::kBadHeader;
}

DropReason Ip6RcvFragment(Inet& inet, IpPacket& packet, const Extensions& found, Nanos now_ns);

// Extension headers up to the transport, or what was wrong with them. `packet` is at the header that its protocol
// names, behind its fixed header or, when it was put together, behind its Fragment header.
DropReason WalkAndDeliver(Inet& inet, IpPacket& packet, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  const size_t skipped = packet.header.size() - Ipv6Header::kSize;
  const Extensions found = WalkIpv6Extensions(frame.bytes(), packet.protocol, skipped);
  packet.router_alert |= found.router_alert;
  switch (found.outcome) {
    case Extensions::Outcome::kUpperLayer:
      break;
    case Extensions::Outcome::kFragment:
      return Ip6RcvFragment(inet, packet, found, now_ns);
    case Extensions::Outcome::kDrop:
      return DropReason::kIpOptions;
    case Extensions::Outcome::kTruncated:
      return DropReason::kIpTruncated;
    case Extensions::Outcome::kParameterProblem:
      if (packet.to == IpDestination::kLocal || !found.only_unicast) {
        IcmpSend(inet.ip, packet, ParameterProblem(found.code), found.pointer, now_ns);
      }
      return DropReason::kIpOptions;
  }
  packet.protocol = found.protocol;
  packet.next_header_offset = found.next_header_offset;
  frame.Pull(found.offset);
  packet.header = {packet.header.data(), packet.header.size() + found.offset};
  return IpLocalDeliver(inet, packet, now_ns);
}

// RFC 7112 §3, §5: a first fragment holds all headers up to the transport's, that one included
// (ipv6frag_thdr_truncated).
bool HasAllHeaders(const IpPacket& packet) {
  const size_t skipped = packet.header.size() - Ipv6Header::kSize;
  const Extensions found = WalkIpv6Extensions(packet.frame.bytes(), packet.protocol, skipped);
  if (found.outcome == Extensions::Outcome::kTruncated) return false;
  if (found.outcome != Extensions::Outcome::kUpperLayer) return true;  // something else is wrong, and said later
  const bool short_header = found.protocol == kProtocolUdp || found.protocol == kProtocolIcmp6;
  const size_t needed = found.protocol == kProtocolTcp ? TcpHeader::kMinSize : short_header ? UdpHeader::kSize : 1;
  return packet.frame.len - found.offset >= needed;
}

// RFC 8200 §4.5 (ipv6_frag_rcv). `packet` is where the walk began that found the Fragment header.
DropReason Ip6RcvFragment(Inet& inet, IpPacket& packet, const Extensions& found, Nanos now_ns) {
  constexpr uint32_t kPayloadLengthAt = 4, kOffsetAt = 2;  // in the fixed and in the Fragment header
  const uint32_t skip = found.offset + static_cast<uint32_t>(Ipv6FragmentHeader::kSize);
  packet.protocol = found.fragment.next_header;
  packet.frame.Pull(skip);
  packet.header = {packet.header.data(), packet.header.size() + skip};
  const IpFragment fragment{.id = found.fragment.id, .offset = found.fragment.offset, .more = found.fragment.more};
  // RFC 6946 §4: a packet in one fragment has nothing to do with others of the same identification.
  if (fragment.offset == 0 && !fragment.more) return WalkAndDeliver(inet, packet, now_ns);
  const uint32_t length = packet.length();
  if (fragment.more && length % 8 != 0) {
    IcmpSend(inet.ip, packet, IcmpError::kBadHeader, kPayloadLengthAt, now_ns);
    return DropReason::kIpFragmentMalformed;
  }
  if (found.offset + fragment.offset + length > 65535) {
    const auto fragment_header = static_cast<uint32_t>(Ipv6Header::kSize) + found.offset;
    IcmpSend(inet.ip, packet, IcmpError::kBadHeader, fragment_header + kOffsetAt, now_ns);
    return DropReason::kIpFragmentMalformed;
  }
  if (fragment.offset == 0 && !HasAllHeaders(packet)) {
    IcmpSend(inet.ip, packet, IcmpError::kIncompleteHeaders, 0, now_ns);
    return DropReason::kIpFragmentMalformed;
  }
  ReassembledPacket whole;
  const DropReason reason = inet.ip.reassembly.Add(packet, fragment, whole, now_ns);
  return whole.packet.has_value() ? WalkAndDeliver(inet, *whole.packet, now_ns) : reason;
}

}  // namespace

DropReason Ip6Rcv(Inet& inet, Interface& in, runtime::Frame& frame, std::span<runtime::Frame* const> more, Nanos now_ns,
                  bool link_multicast) {
  if (frame.len < Ipv6Header::kSize) return DropReason::kIpTruncated;
  Ipv6Header header;
  header.Parse(frame.data);
  if (header.version != 6) return DropReason::kIpVersion;
  const uint32_t length = static_cast<uint32_t>(Ipv6Header::kSize) + header.payload_length;
  if (!more.empty()) [[unlikely]] {
    const auto pieces = TrimFrames(frame, more, length);
    if (!pieces.has_value()) return DropReason::kIpTruncated;
    more = *pieces;
  } else if (frame.len < length) {
    return DropReason::kIpTruncated;
  }
  if (IsMartian(inet.ip, header, frame)) return DropReason::kIpMartianSource;
  frame.Trim(length);
  if (inet.ip.hooks.any(Hook::kPreRouting)) [[unlikely]] {
    const DropReason verdict = inet.ip.hooks.Run(Hook::kPreRouting, {.frame = frame, .in = &in, .now_ns = now_ns});
    if (verdict != DropReason::kConsumed) return verdict;
    header.Parse(frame.data);
  }
  const std::span<const std::byte> bytes(frame.data, Ipv6Header::kSize);
  frame.Pull(Ipv6Header::kSize);
  if (!more.empty()) [[unlikely]] AlignFrames(frame, more);
  IpPacket packet{.frame = frame,
                  .in = in,
                  .source = header.source,
                  .destination = header.destination,
                  .protocol = header.next_header,
                  .tos = header.traffic_class,
                  .ttl = header.hop_limit,
                  .link_multicast = link_multicast,
                  .header = bytes,
                  .more = more};
  packet.to = ClassifyDestination(inet.ip, in, packet.destination);
  if (packet.to == IpDestination::kOther) {
    return inet.ip.forwarding ? IpForward(inet.ip, packet, now_ns) : DropReason::kIpNotLocal;
  }
  return WalkAndDeliver(inet, packet, now_ns);
}

}  // namespace weir::netstack
