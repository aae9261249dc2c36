#include "netstack/ip/ip_output.h"

#include <algorithm>
#include <cstring>

#include "netstack/ip/ip_fragment.h"
#include "netstack/ip/link_output.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"

namespace weir::netstack {
namespace {

// RFC 2113 §2.1 and RFC 2711 §2.1, the latter in a hop-by-hop header of its own, padded to eight bytes.
constexpr std::array<uint8_t, 4> kIpv4RouterAlert{0x94, 4, 0, 0};
constexpr std::array<uint8_t, 8> kIpv6RouterAlert{0, 0, 5, 2, 0, 0, 1, 0};

uint8_t Ttl(const IpFlow& flow, const Interface& out) {
  if (flow.ttl != 0) return flow.ttl;
  if (flow.destination.is_multicast()) return 1;  // RFC 1112 §6.1
  return flow.destination.is_v4() ? kDefaultTtl : out.hop_limit;
}

// A link-local address or group says nothing of the interface; where the caller does not either, it is the first.
Interface* DefaultInterface(IpContext& context, const IpAddress& destination) {
  if (const Route* route = context.routes.Lookup(destination)) return route->out;
  return context.interfaces.empty() ? nullptr : context.interfaces.front().get();
}

// Of what `frame` begins with, a transport header or a first fragment's; 0 where there are no ports.
uint32_t FlowLabel(const runtime::Frame& frame, const IpFlow& flow, const IpContext& context) {
  const std::byte* at = frame.data;
  uint8_t protocol = flow.protocol;
  if (protocol == kNextHeaderFragment) [[unlikely]] {
    protocol = runtime::LoadU8(at);
    at += Ipv6FragmentHeader::kSize;
  }
  if (protocol != kProtocolTcp && protocol != kProtocolUdp) return 0;
  return context.flow_labels.Of(flow.source, flow.destination, protocol, runtime::LoadBe32(at));
}

// A packet that does not fit the path, in fragments or, if that was for its options, without them.
[[gnu::noinline]] DropReason Cut(IpContext& context, const runtime::Frame& frame,
                                 std::span<runtime::Frame* const> more, const IpFlow& flow, Nanos now_ns) {
  IpFlow plain = flow;
  plain.options = {};
  return IpFragmentOutput(context, {}, PacketPieces(frame, more), plain, now_ns);
}

}  // namespace

IpAddress DestinationOf(const runtime::Frame& frame) {
  if (runtime::LoadU8(frame.data) >> 4 == 4) return IpAddress::V4(runtime::LoadBe32(frame.data + 16));
  return LoadIpv6Address(frame.data + 24);
}

NextHop RouteLookup(IpContext& context, const IpAddress& destination, Interface* out) {
  if (destination.is_multicast() || destination == IpAddress::V4(0xffffffff)) {
    return {out != nullptr ? out : DefaultInterface(context, destination), destination};
  }
  const Route* route = context.routes.Lookup(destination, out);
  if (route == nullptr) return {};
  return {route->out, route->gateway.is_any() ? destination : route->gateway};
}

bool SelectSource(IpContext& context, const IpAddress& destination, Interface* out, IpAddress* source) {
  const NextHop hop = RouteLookup(context, destination, out);
  if (hop.out == nullptr) return false;
  // Through a gateway: IPv4 takes the address that the gateway sees on its own link (inet_select_addr).
  const InterfaceAddress* address = hop.out->SelectSource(destination.is_v4() ? hop.ip : destination);
  if (address == nullptr) return false;
  *source = address->prefix.ip;
  return true;
}

uint32_t PathMtu(IpContext& context, const IpAddress& destination, Interface* out) {
  const NextHop hop = RouteLookup(context, destination, out);
  if (hop.out == nullptr) return 0;
  const uint32_t link = hop.out->mtu(destination.is_v4());
  const PathMtuEntry* path = context.path_mtu.Find(destination);
  return path != nullptr ? std::min(path->mtu, link) : link;
}

void PushIpv4(runtime::Frame& frame, const IpFlow& flow, Interface& out, uint16_t id, uint16_t fragment,
              uint32_t more) {
  const std::span<const std::byte> option_bytes =
      flow.router_alert ? std::as_bytes(std::span(kIpv4RouterAlert)) : flow.options;
  const auto options = static_cast<uint32_t>(option_bytes.size());
  const Ipv4Header header{.header_size = static_cast<uint8_t>(Ipv4Header::kMinSize + options),
                          .tos = flow.tos,
                          .total_length = static_cast<uint16_t>(frame.len + more + Ipv4Header::kMinSize + options),
                          .id = id,
                          .fragment = fragment,
                          .ttl = Ttl(flow, out),
                          .protocol = flow.protocol,
                          .source = flow.source.v4(),
                          .destination = flow.destination.v4()};
  if (options != 0) std::memcpy(frame.Push(options), option_bytes.data(), options);
  header.Emit(frame.Push(Ipv4Header::kMinSize));
}

void PushIpv6(runtime::Frame& frame, const IpFlow& flow, Interface& out, uint32_t more) {
  const uint32_t flow_label = FlowLabel(frame, flow, out.context);
  uint8_t next = flow.protocol;
  if (flow.router_alert) {
    std::memcpy(frame.Push(kIpv6RouterAlert.size()), kIpv6RouterAlert.data(), kIpv6RouterAlert.size());
    frame.data[0] = std::byte{next};
    next = kNextHeaderHopByHop;
  }
  const Ipv6Header header{.traffic_class = flow.tos,
                          .flow_label = flow_label,
                          .payload_length = static_cast<uint16_t>(frame.len + more),
                          .next_header = next,
                          .hop_limit = Ttl(flow, out),
                          .source = flow.source,
                          .destination = flow.destination};
  header.Emit(frame.Push(Ipv6Header::kSize));
}

DropReason IpOutput(IpContext& context, runtime::Frame* frame, const IpFlow& flow, Nanos now_ns,
                    std::span<runtime::Frame* const> more) {
  NextHop hop = RouteLookup(context, flow.destination, flow.out);
  if (hop.out == nullptr) {
    UnrefPacket(frame, more);
    return DropReason::kNoRoute;
  }
  const bool v4 = flow.destination.is_v4();
  const PathMtuEntry* path = context.path_mtu.Find(flow.destination);
  const uint32_t link = hop.out->mtu(v4), mtu = path != nullptr ? std::min(path->mtu, link) : link;
  const uint32_t header = (v4 ? Ipv4Header::kMinSize : Ipv6Header::kSize) +
                          (flow.router_alert ? 8 : static_cast<uint32_t>(flow.options.size()));
  const uint32_t behind = BytesIn(more);
  if (frame->len + behind + header > mtu) {
    const DropReason reason = flow.pmtu_discovery == PmtuDiscovery::kDo ? DropReason::kTxTooBig
                                                                        : Cut(context, *frame, more, flow, now_ns);
    UnrefPacket(frame, more);
    return reason;
  }
  if (v4 && flow.pmtu_discovery != PmtuDiscovery::kDont && (path == nullptr || !path->locked)) {
    // RFC 6864 §4.1: nobody looks at the ID
    PushIpv4(*frame, flow, *hop.out, /*id=*/0, Ipv4Header::kDontFragment, behind);
  } else if (v4) {
    const uint32_t id = context.fragment_ids.Next(flow.source, flow.destination, flow.protocol);
    PushIpv4(*frame, flow, *hop.out, static_cast<uint16_t>(id), /*fragment=*/0, behind);
  } else {
    PushIpv6(*frame, flow, *hop.out, behind);
  }
  DropReason verdict = LocalOutHooks(context, *frame, flow, &hop, now_ns);
  // Differs from Linux, which would cut what may be cut only now (ip_finish_output).
  if (verdict == DropReason::kConsumed && context.hooks.any(Hook::kLocalOut) &&
      frame->len + behind > PathMtu(context, DestinationOf(*frame), flow.out)) [[unlikely]] {
    verdict = DropReason::kTxTooBig;
  }
  if (verdict != DropReason::kConsumed) {
    UnrefPacket(frame, more);
    return verdict;
  }
  return IpFinishOutput(*hop.out, frame, hop.ip, now_ns, more);
}

DropReason LocalOutHooks(IpContext& context, runtime::Frame& frame, const IpFlow& flow, NextHop* hop, Nanos now_ns) {
  if (!context.hooks.any(Hook::kLocalOut)) [[likely]] return DropReason::kConsumed;
  const DropReason verdict =
      context.hooks.Run(Hook::kLocalOut, {.frame = frame, .out = hop->out, .now_ns = now_ns});
  if (verdict != DropReason::kConsumed) return verdict;
  const IpAddress destination = DestinationOf(frame);
  if (destination != flow.destination) *hop = RouteLookup(context, destination, flow.out);
  return hop->out != nullptr ? DropReason::kConsumed : DropReason::kNoRoute;
}

DropReason PostRoutingHooks(Interface& out, runtime::Frame& frame, Nanos now_ns) {
  const HookTable& hooks = out.context.hooks;
  if (!hooks.any(Hook::kPostRouting)) [[likely]] return DropReason::kConsumed;
  return hooks.Run(Hook::kPostRouting, {.frame = frame, .out = &out, .now_ns = now_ns});
}

DropReason IpFinishOutput(Interface& out, runtime::Frame* frame, const IpAddress& next_hop, Nanos now_ns,
                          std::span<runtime::Frame* const> more) {
  if (const DropReason verdict = PostRoutingHooks(out, *frame, now_ns); verdict != DropReason::kConsumed) {
    UnrefPacket(frame, more);
    return verdict;
  }
  return IpFinishOutput2(out, frame, next_hop, now_ns, more);
}

DropReason IpFinishOutput2(Interface& out, runtime::Frame* frame, const IpAddress& next_hop, Nanos now_ns,
                           std::span<runtime::Frame* const> more) {
  const uint16_t type = next_hop.is_v4() ? kEtherTypeIpv4 : kEtherTypeIpv6;
  if (next_hop.is_multicast()) return LinkOutput(out, frame, MulticastMac(next_hop), type, more);
  if (out.IsBroadcast(next_hop)) return LinkOutput(out, frame, kBroadcastMac, type, more);
  return NeighbourOutput(out, frame, next_hop, now_ns, more);
}

MacAddress MulticastMac(const IpAddress& group) {
  const auto& ip = group.bytes();
  if (group.is_v4()) return {{0x01, 0x00, 0x5e, static_cast<uint8_t>(ip[13] & 0x7f), ip[14], ip[15]}};
  return {{0x33, 0x33, ip[12], ip[13], ip[14], ip[15]}};
}

}  // namespace weir::netstack
