#include "netstack/udp/udp_output.h"

#include "netstack/ip/ip_output.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/udp.h"

namespace weir::netstack {

DropReason UdpSendmsg(UdpTable& table, const UdpSock& sock, runtime::Frame* frame, const Endpoint& peer,
                      Nanos now_ns) {
  Interface* out = table.ip().FindInterface(peer.scope_id);
  IpAddress source = sock.local.ip;
  if (source.is_any() && !SelectSource(table.ip(), peer.ip, out, &source)) {
    runtime::Unref(frame);
    return DropReason::kNoRoute;
  }
  const auto length = static_cast<uint16_t>(frame->len + UdpHeader::kSize);
  std::byte* header = frame->Push(UdpHeader::kSize);
  UdpHeader{.source_port = sock.local.port, .destination_port = peer.port, .length = length}.Emit(header);
  const ChecksumSum pseudo = PseudoHeaderSum(source, peer.ip, kProtocolUdp, length);
  uint16_t checksum = FinishChecksum(SumBytes(frame->bytes()) + pseudo);
  if (checksum == 0) checksum = 0xffff;  // RFC 768: zero means none, so its other form is sent
  StoreChecksum(header + UdpHeader::kChecksumOffset, checksum);
  return IpOutput(table.ip(), frame,
                  {.source = source, .destination = peer.ip, .protocol = kProtocolUdp, .out = out}, now_ns);
}

size_t UdpMaxPayload(UdpTable& table, const Endpoint& peer) {
  const size_t headers = UdpHeader::kSize + (peer.ip.is_v4() ? Ipv4Header::kMinSize : Ipv6Header::kSize);
  const uint32_t mtu = PathMtu(table.ip(), peer.ip, table.ip().FindInterface(peer.scope_id));
  return mtu > headers ? mtu - headers : 0;
}

}  // namespace weir::netstack
