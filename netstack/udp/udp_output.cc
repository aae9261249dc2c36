#include "netstack/udp/udp_output.h"

#include <cerrno>

#include "netstack/udp/udp_input.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/udp.h"

namespace weir::netstack {
namespace {

// What the program says of the interface: for this datagram, by the scope of its destination, or for all groups.
Interface* WantedInterface(UdpTable& table, const UdpSock& sock, const Endpoint& peer, const UdpSendOptions& options) {
  uint32_t index = options.interface != 0 ? options.interface : peer.scope_id;
  if (index == 0 && peer.ip.is_multicast()) index = sock.multicast_interface;
  return table.ip().FindInterface(index);
}

// RFC 1122 §4.1.3.5: an address of ours, or what fits the destination.
int FindSource(UdpTable& table, const UdpSock& sock, const UdpSendOptions& options, IpFlow* flow) {
  flow->source = options.source.is_any() ? sock.local.ip : options.source;
  const bool unicast = !flow->source.is_any() && !flow->source.is_multicast() && table.ip().IsLocal(flow->source);
  if (!options.source.is_any() && !unicast) return EINVAL;
  if (unicast && flow->source.is_v4() != flow->destination.is_v4()) return EINVAL;
  if (!unicast && !SelectSource(table.ip(), flow->destination, flow->out, &flow->source)) return ENETUNREACH;
  return 0;
}

// Members on this host get what is sent before its headers are in front of it: the frame is the same.
void DeliverHere(UdpTable& table, const UdpSock& sock, runtime::Frame* frame, const UdpRoute& route, Nanos now_ns) {
  const IpFlow& flow = route.flow;
  UdpDatagram datagram{.source = {flow.source, sock.local.port, ScopeOf(flow.source, *flow.out)},
                       .destination = {flow.destination, route.port},
                       .interface = flow.out->index,
                       .ttl = flow.ttl,
                       .tos = flow.tos,
                       .received_ns = now_ns};
  runtime::Ref(frame);
  datagram.data.Append(frame, frame->bytes());
  // That nobody here wants it is no drop: it goes to the link.
  static_cast<void>(UdpDeliverToMembers(table, *flow.out, datagram));
}

}  // namespace

int UdpFindRoute(UdpTable& table, const UdpSock& sock, const Endpoint& peer, const UdpSendOptions& options,
                 UdpRoute* route) {
  if (peer.ip.is_any() || peer.port == 0 || options.ttl == 0) return EINVAL;
  IpFlow& flow = route->flow;
  flow = {.destination = peer.ip, .protocol = kProtocolUdp, .tos = options.tos.value_or(sock.tos)};
  flow.out = WantedInterface(table, sock, peer, options);
  const NextHop hop = RouteLookup(table.ip(), peer.ip, flow.out);
  if (hop.out == nullptr) return ENETUNREACH;
  const bool broadcast = hop.out->IsBroadcast(peer.ip);
  if (broadcast && !sock.broadcast) return EACCES;
  if (const int error = FindSource(table, sock, options, &flow); error != 0) return error;
  const bool multicast = peer.ip.is_multicast();
  flow.ttl = options.ttl.value_or(multicast ? sock.multicast_ttl : sock.ttl);
  if (multicast || broadcast) flow.out = hop.out;
  route->port = peer.port;
  route->to_link = !multicast || flow.ttl != 0;
  route->to_host = broadcast || (multicast && sock.multicast_loop);
  return 0;
}

DropReason UdpTransmit(UdpTable& table, const UdpSock& sock, runtime::Frame* frame, const UdpRoute& route,
                       Nanos now_ns) {
  if (route.to_host) DeliverHere(table, sock, frame, route, now_ns);
  if (!route.to_link) {
    runtime::Unref(frame);
    return DropReason::kConsumed;
  }
  const IpFlow& flow = route.flow;
  const auto length = static_cast<uint16_t>(frame->len + UdpHeader::kSize);
  std::byte* header = frame->Push(UdpHeader::kSize);
  UdpHeader{.source_port = sock.local.port, .destination_port = route.port, .length = length}.Emit(header);
  const ChecksumSum pseudo = PseudoHeaderSum(flow.source, flow.destination, kProtocolUdp, length);
  uint16_t checksum = FinishChecksum(SumBytes(frame->bytes()) + pseudo);
  if (checksum == 0) checksum = 0xffff;  // RFC 768: zero means none, so its other form is sent
  StoreChecksum(header + UdpHeader::kChecksumOffset, checksum);
  return IpOutput(table.ip(), frame, flow, now_ns);
}

DropReason UdpSendmsg(UdpTable& table, const UdpSock& sock, runtime::Frame* frame, const Endpoint& peer,
                      Nanos now_ns) {
  UdpRoute route;
  if (UdpFindRoute(table, sock, peer, {}, &route) != 0) {
    runtime::Unref(frame);
    return DropReason::kNoRoute;
  }
  return UdpTransmit(table, sock, frame, route, now_ns);
}

size_t UdpMaxPayload(UdpTable& table, const Endpoint& peer) {
  const size_t headers = UdpHeader::kSize + (peer.ip.is_v4() ? Ipv4Header::kMinSize : Ipv6Header::kSize);
  const uint32_t mtu = PathMtu(table.ip(), peer.ip, table.ip().FindInterface(peer.scope_id));
  return mtu > headers ? mtu - headers : 0;
}

}  // namespace weir::netstack
