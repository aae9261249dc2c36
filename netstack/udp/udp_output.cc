#include "netstack/udp/udp_output.h"

#include "netstack/ip/ip_fragment.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/udp.h"

namespace weir::netstack {

namespace {

// Where a datagram to `peer` goes, and from which address. False: nowhere.
bool UdpRoute(UdpTable& table, const UdpSock& sock, const Endpoint& peer, IpFlow* flow) {
  *flow = {.source = sock.local.ip,
           .destination = peer.ip,
           .protocol = kProtocolUdp,
           .pmtu_discovery = PmtuDiscovery::kWant,
           .out = table.ip().FindInterface(peer.scope_id)};
  return !flow->source.is_any() || SelectSource(table.ip(), peer.ip, flow->out, &flow->source);
}

// Writes the header of a datagram whose payload sums up to `payload`.
void EmitHeader(std::byte* at, const UdpSock& sock, const Endpoint& peer, const IpFlow& flow, size_t length,
                ChecksumSum payload) {
  const UdpHeader header{
      .source_port = sock.local.port, .destination_port = peer.port, .length = static_cast<uint16_t>(length)};
  header.Emit(at);
  const ChecksumSum pseudo = PseudoHeaderSum(flow.source, flow.destination, kProtocolUdp, header.length);
  uint16_t checksum = FinishChecksum(SumBytes({at, UdpHeader::kSize}) + payload + pseudo);
  if (checksum == 0) checksum = 0xffff;  // RFC 768: zero means none, so its other form is sent
  StoreChecksum(at + UdpHeader::kChecksumOffset, checksum);
}

}  // namespace

DropReason UdpSendmsg(UdpTable& table, const UdpSock& sock, runtime::Frame* frame, const Endpoint& peer,
                      Nanos now_ns) {
  IpFlow flow;
  if (!UdpRoute(table, sock, peer, &flow)) {
    runtime::Unref(frame);
    return DropReason::kNoRoute;
  }
  const ChecksumSum payload = SumBytes(frame->bytes());
  std::byte* header = frame->Push(UdpHeader::kSize);
  EmitHeader(header, sock, peer, flow, frame->len, payload);
  return IpOutput(table.ip(), frame, flow, now_ns);
}

DropReason UdpSendmsg(UdpTable& table, const UdpSock& sock, std::span<const iovec> data, const Endpoint& peer,
                      Nanos now_ns) {
  size_t length = UdpHeader::kSize;
  for (const iovec& piece : data) length += piece.iov_len;
  if (length > UdpHeader::kSize + UdpMaxDatagram(peer.ip)) return DropReason::kTxTooBig;
  IpFlow flow;
  if (!UdpRoute(table, sock, peer, &flow)) return DropReason::kNoRoute;
  std::byte header[UdpHeader::kSize];
  EmitHeader(header, sock, peer, flow, length, SumPieces(data));
  return IpFragmentOutput(table.ip(), header, data, flow, now_ns);
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
