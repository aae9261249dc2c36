// IPv6 input (RFC 8200). Linux: ipv6_rcv, ip6_rcv_finish, ip6_input.
#include "netstack/ip/icmp_output.h"
#include "netstack/ip/ip_forward.h"
#include "netstack/ip/ip_input.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/ipv6_extensions.h"

namespace weir::netstack {
namespace {

using Extensions = Ipv6ExtensionResult;

bool IsNdp(const Ipv6Header& header, const runtime::Frame& frame) {
  if (header.next_header != kProtocolIcmp6 || header.payload_length == 0) return false;
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

// Extension headers up to the transport, or what was wrong with them.
DropReason WalkAndDeliver(Inet& inet, IpPacket& packet, uint8_t next_header, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  const Extensions found = WalkIpv6Extensions(frame.bytes(), next_header);
  packet.router_alert = found.router_alert;
  switch (found.outcome) {
    case Extensions::Outcome::kUpperLayer:
      break;
    case Extensions::Outcome::kFragment:
      return DropReason::kIpFragment;
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

}  // namespace

DropReason Ip6Rcv(Inet& inet, Interface& in, runtime::Frame& frame, Nanos now_ns, bool link_multicast) {
  if (frame.len < Ipv6Header::kSize) return DropReason::kIpTruncated;
  Ipv6Header header;
  header.Parse(frame.data);
  if (header.version != 6) return DropReason::kIpVersion;
  if (frame.len < Ipv6Header::kSize + header.payload_length) return DropReason::kIpTruncated;
  if (IsMartian(inet.ip, header, frame)) return DropReason::kIpMartianSource;
  const std::span<const std::byte> bytes(frame.data, Ipv6Header::kSize);
  frame.Trim(static_cast<uint32_t>(Ipv6Header::kSize) + header.payload_length);
  if (inet.ip.hooks.any(Hook::kPreRouting)) [[unlikely]] {
    const DropReason verdict = inet.ip.hooks.Run(Hook::kPreRouting, {.frame = frame, .in = &in, .now_ns = now_ns});
    if (verdict != DropReason::kConsumed) return verdict;
    header.Parse(frame.data);
  }
  frame.Pull(Ipv6Header::kSize);
  IpPacket packet{.frame = frame,
                  .in = in,
                  .source = header.source,
                  .destination = header.destination,
                  .protocol = header.next_header,
                  .tos = header.traffic_class,
                  .ttl = header.hop_limit,
                  .link_multicast = link_multicast,
                  .header = bytes};
  packet.to = ClassifyDestination(inet.ip, in, packet.destination);
  if (packet.to == IpDestination::kOther) {
    return inet.ip.forwarding ? IpForward(inet.ip, packet, now_ns) : DropReason::kIpNotLocal;
  }
  return WalkAndDeliver(inet, packet, header.next_header, now_ns);
}

}  // namespace weir::netstack
