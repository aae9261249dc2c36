#include "netstack/udp/ping.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "netstack/ip/icmp_output.h"
#include "netstack/ip/ip_fragment.h"
#include "netstack/udp/udp_error.h"
#include "netstack/udp/udp_input.h"
#include "netstack/udp/udp_output.h"
#include "netstack/udp/udp_queue_rcv.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/icmp.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

uint8_t RequestType(bool v4) { return v4 ? kIcmpEchoRequest : kIcmp6EchoRequest; }

}  // namespace

int PingSend(UdpTable& pings, const UdpSock& sock, std::span<const std::byte> message, const Endpoint& peer,
             Nanos now_ns) {
  const bool v4 = peer.ip.is_v4();
  if (message.size() < kIcmpHeader || runtime::LoadU8(message.data()) != RequestType(v4) ||
      runtime::LoadU8(message.data() + 1) != 0) {
    return EINVAL;
  }
  const size_t most = 65535 - (v4 ? Ipv4Header::kMinSize : 0);
  if (message.size() > most) return EMSGSIZE;
  UdpRoute route;
  const int error = UdpFindRoute(pings, sock, {peer.ip, 1, peer.scope_id}, {}, &route);
  if (error != 0) return error;
  route.flow.protocol = v4 ? kProtocolIcmp : kProtocolIcmp6;
  std::array<std::byte, kIcmpHeader> header;
  std::memcpy(header.data(), message.data(), header.size());
  runtime::StoreBe16(header.data() + kIcmpIdentifierOffset, sock.local.port);
  const std::span<const std::byte> rest = message.subspan(kIcmpHeader);
  IpContext& ip = pings.ip();
  const size_t headers = v4 ? Ipv4Header::kMinSize : Ipv6Header::kSize;
  const size_t room = std::min<size_t>(PathMtu(ip, peer.ip, route.flow.out) - headers,
                                       ip.pool.frame_size() - runtime::kTxHeadroom);
  DropReason reason;
  if (message.size() <= room) {
    runtime::Frame* frame = ip.pool.Alloc();
    if (frame == nullptr) return ENOBUFS;
    frame->len = static_cast<uint32_t>(message.size());
    std::copy(header.begin(), header.end(), frame->data);
    std::copy(rest.begin(), rest.end(), frame->data + kIcmpHeader);
    reason = IcmpOutput(ip, frame, route.flow, now_ns);
  } else {
    if (route.flow.pmtu_discovery == PmtuDiscovery::kDo) return EMSGSIZE;
    const auto length = static_cast<uint32_t>(message.size());
    const ChecksumSum pseudo =
        v4 ? 0 : PseudoHeaderSum(route.flow.source, route.flow.destination, kProtocolIcmp6, length);
    StoreChecksum(header.data() + kIcmpChecksumOffset, 0);
    StoreChecksum(header.data() + kIcmpChecksumOffset, FinishChecksum(SumBytes(header) + SumBytes(rest) + pseudo));
    const iovec piece{const_cast<std::byte*>(rest.data()), rest.size()};
    reason = IpFragmentOutput(ip, header, {&piece, 1}, route.flow, now_ns);
  }
  ip.CountFailure(reason);
  return reason == DropReason::kTxNoFrame ? ENOBUFS : 0;
}

DropReason PingRcv(UdpTable& pings, const IpPacket& packet, Nanos now_ns) {
  const Endpoint local{packet.destination, runtime::LoadBe16(packet.frame.data + kIcmpIdentifierOffset)};
  const Endpoint remote{packet.source, 0, ScopeOf(packet.source, packet.in)};
  UdpSock* sock = pings.Lookup(local, remote);
  if (sock == nullptr) return DropReason::kIcmpNoSocket;
  const bool queued =
      UdpQueueRcv(pings, *sock, *packet.frame.pool, UdpRecordOf(packet, 0, local, remote, now_ns));
  return queued ? DropReason::kConsumed : DropReason::kUdpQueueFull;
}

DropReason PingErr(UdpTable& pings, const TransportError& error, Nanos now_ns) {
  if (runtime::LoadU8(error.transport.data()) != RequestType(error.source.is_v4())) return DropReason::kIcmpNoSocket;
  const Endpoint local{error.source, runtime::LoadBe16(error.transport.data() + kIcmpIdentifierOffset)};
  UdpSock* sock = pings.Lookup(local, {error.destination, 0, ScopeOf(error.destination, error.in)});
  if (sock == nullptr) return DropReason::kIcmpNoSocket;
  return UdpErrTo(pings, *sock, sock->connected_ping, error, now_ns);
}

}  // namespace weir::netstack
