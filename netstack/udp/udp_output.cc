#include "netstack/udp/udp_output.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "netstack/ip/ip_fragment.h"
#include "netstack/ip/ip_loopback.h"
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

// `data` in frames of its own; as much of it as there are frames for.
runtime::FrameChain CopyToFrames(IpContext& ip, std::span<const iovec> data) {
  runtime::FrameChain copy;
  runtime::Frame* frame = nullptr;
  for (const iovec& piece : data) {
    const auto* from = static_cast<const std::byte*>(piece.iov_base);
    for (size_t left = piece.iov_len; left > 0;) {
      if (frame == nullptr || frame->tailroom() == 0) {
        if (frame != nullptr) copy.Append(frame, frame->bytes());
        frame = copy.full() ? nullptr : ip.pool.Alloc();
        if (frame == nullptr) return copy;
      }
      const size_t n = std::min<size_t>(left, frame->tailroom());
      std::memcpy(frame->data + frame->len, from + piece.iov_len - left, n);
      frame->len += static_cast<uint32_t>(n);
      left -= n;
    }
  }
  if (frame != nullptr) copy.Append(frame, frame->bytes());
  ip.copied_bytes += copy.size();
  return copy;
}

// Writes the header of a datagram of `length` bytes, header included, whose payload sums up to `payload`.
void EmitHeader(std::byte* at, const UdpSock& sock, const UdpRoute& route, size_t length, ChecksumSum payload) {
  const UdpHeader header{
      .source_port = sock.local.port, .destination_port = route.port, .length = static_cast<uint16_t>(length)};
  header.Emit(at);
  const ChecksumSum pseudo =
      PseudoHeaderSum(route.flow.source, route.flow.destination, kProtocolUdp, header.length);
  uint16_t checksum = FinishChecksum(SumBytes({at, UdpHeader::kSize}) + payload + pseudo);
  if (checksum == 0) checksum = 0xffff;  // RFC 768: zero means none, so its other form is sent
  StoreChecksum(at + UdpHeader::kChecksumOffset, checksum);
}

DropReason ToLink(UdpTable& table, const UdpSock& sock, runtime::Frame* frame, const UdpRoute& route, Nanos now_ns) {
  const ChecksumSum payload = SumBytes(frame->bytes());
  std::byte* header = frame->Push(UdpHeader::kSize);
  EmitHeader(header, sock, route, frame->len, payload);
  return IpOutput(table.ip(), frame, route.flow, now_ns);
}

// Lets the hooks see the datagram as a packet of its own, and takes over what they made of it. False: refused, counted.
bool PassHooks(UdpTable& table, const UdpSock& sock, const UdpRoute& route, Datagram* datagram) {
  IpContext& ip = table.ip();
  const bool v4 = route.flow.destination.is_v4();
  runtime::Frame* frame = ip.pool.Alloc();
  if (frame == nullptr) {
    ip.outcomes.Count(DropReason::kTxNoFrame);
    return false;
  }
  const size_t length = UdpHeader::kSize + datagram->data.size();
  frame->len = static_cast<uint32_t>(std::min<size_t>(datagram->data.size(), frame->tailroom()));
  datagram->data.CopyTo(frame->bytes());
  const size_t copied = frame->len;
  EmitHeader(frame->Push(UdpHeader::kSize), sock, route, length, SumPieces(datagram->data.buffers()));
  const bool whole = frame->len == length;
  if (v4) {
    PushIpv4(*frame, route.flow, *route.flow.out, 0, whole ? Ipv4Header::kDontFragment : Ipv4Header::kMoreFragments);
  } else {
    PushIpv6(*frame, route.flow, *route.flow.out);
  }
  const DropReason verdict = LoopbackHooks(*route.flow.out, *frame, !route.to_link, datagram->received_ns);
  if (verdict != DropReason::kConsumed) {
    ip.outcomes.Count(verdict);
    runtime::Unref(frame);
    return false;
  }
  const uint32_t headers = (v4 ? Ipv4Header::kMinSize : Ipv6Header::kSize) + UdpHeader::kSize;
  UdpHeader header;
  header.Parse(frame->data + headers - UdpHeader::kSize);
  datagram->peer = {v4 ? IpAddress::V4(runtime::LoadBe32(frame->data + Ipv4Header::kSourceOffset))
                       : LoadIpv6Address(frame->data + 8),
                    header.source_port, datagram->peer.scope_id};
  datagram->local = {DestinationOf(*frame), header.destination_port};
  datagram->data.Consume(copied);
  runtime::FrameChain changed;
  changed.Append(frame, frame->bytes().subspan(headers));
  changed.Append(std::move(datagram->data));
  datagram->data = RecvBuffer(std::move(changed));
  return true;
}

// Members on this host get what is sent as it lies in its frames, headers or not: nothing is copied without hooks.
void DeliverHere(UdpTable& table, const UdpSock& sock, runtime::FrameChain&& data, const UdpRoute& route,
                 Nanos now_ns) {
  const IpFlow& flow = route.flow;
  Datagram datagram{{.peer = {flow.source, sock.local.port, ScopeOf(flow.source, *flow.out)},
                     .local = {flow.destination, route.port},
                     .interface = flow.out->index,
                     .ttl = flow.ttl,
                     .tos = flow.tos,
                     .received_ns = now_ns},
                    RecvBuffer(std::move(data))};
  if (HasLoopbackHooks(table.ip().hooks) && !PassHooks(table, sock, route, &datagram)) [[unlikely]] return;
  // That nobody here wants it is no drop: it goes to the link.
  static_cast<void>(UdpDeliverToMembers(table, *flow.out, datagram));
}

// What was refused on its way to the link comes to nobody here either: LOCAL_OUT comes before both (ip_local_out).
bool GoesOn(DropReason sent) { return sent != DropReason::kHookDropped && sent != DropReason::kHookStolen; }

}  // namespace

int UdpFindRoute(UdpTable& table, const UdpSock& sock, const Endpoint& peer, const UdpSendOptions& options,
                 UdpRoute* route) {
  if (peer.ip.is_any() || peer.port == 0 || options.ttl == 0) return EINVAL;
  IpFlow& flow = route->flow;
  flow = {.destination = peer.ip,
          .protocol = kProtocolUdp,
          .tos = options.tos.value_or(sock.tos),
          .pmtu_discovery = sock.pmtu_discovery};
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
  if (!route.to_host && route.to_link) [[likely]] return ToLink(table, sock, frame, route, now_ns);
  runtime::FrameChain here;
  runtime::Ref(frame);
  here.Append(frame, frame->bytes());
  DropReason sent = DropReason::kConsumed;
  if (route.to_link) {
    sent = ToLink(table, sock, frame, route, now_ns);
  } else {
    runtime::Unref(frame);
  }
  if (route.to_host && GoesOn(sent)) DeliverHere(table, sock, std::move(here), route, now_ns);
  return sent;
}

DropReason UdpTransmit(UdpTable& table, const UdpSock& sock, std::span<const iovec> data, const UdpRoute& route,
                       Nanos now_ns) {
  size_t length = UdpHeader::kSize;
  for (const iovec& piece : data) length += piece.iov_len;
  if (length > UdpHeader::kSize + UdpMaxDatagram(route.flow.destination)) return DropReason::kTxTooBig;
  DropReason sent = DropReason::kConsumed;
  if (route.to_link) {
    std::byte header[UdpHeader::kSize];
    EmitHeader(header, sock, route, length, SumPieces(data));
    sent = IpFragmentOutput(table.ip(), header, data, route.flow, now_ns);
  }
  if (route.to_host && GoesOn(sent)) {
    runtime::FrameChain copy = CopyToFrames(table.ip(), data);
    if (copy.size() + UdpHeader::kSize == length) DeliverHere(table, sock, std::move(copy), route, now_ns);
  }
  return sent;
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

DropReason UdpSendmsg(UdpTable& table, const UdpSock& sock, std::span<const iovec> data, const Endpoint& peer,
                      Nanos now_ns) {
  UdpRoute route;
  if (UdpFindRoute(table, sock, peer, {}, &route) != 0) return DropReason::kNoRoute;
  return UdpTransmit(table, sock, data, route, now_ns);
}

size_t UdpMaxDatagram(const IpAddress& peer) {
  return 65535 - UdpHeader::kSize - (peer.is_v4() ? Ipv4Header::kMinSize : 0);
}

size_t UdpMaxPayload(UdpTable& table, const Endpoint& peer) {
  const size_t headers = UdpHeader::kSize + (peer.ip.is_v4() ? Ipv4Header::kMinSize : Ipv6Header::kSize);
  const uint32_t mtu = PathMtu(table.ip(), peer.ip, table.ip().FindInterface(peer.scope_id));
  return mtu > headers ? mtu - headers : 0;
}

}  // namespace weir::netstack
