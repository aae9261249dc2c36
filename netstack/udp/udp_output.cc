#include "netstack/udp/udp_output.h"

#include "netstack/ip/ip_output.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/udp.h"

namespace weir::netstack {

DropReason UdpSendmsg(UdpTable& table, const UdpSock& sock, runtime::Frame* frame, const Endpoint& peer,
                      Nanos now_ns) {
  const auto length = static_cast<uint16_t>(frame->len + UdpHeader::kSize);
  std::byte* header = frame->Push(UdpHeader::kSize);
  UdpHeader{.source_port = sock.local.port, .destination_port = peer.port, .length = length}.Emit(header);
  const ChecksumSum pseudo = PseudoHeaderSum(sock.local.ip, peer.ip, kProtocolUdp, length);
  uint16_t checksum = FinishChecksum(SumBytes(frame->bytes()) + pseudo);
  if (checksum == 0) checksum = 0xffff;  // RFC 768: zero means none, so its other form is sent
  StoreChecksum(header + UdpHeader::kChecksumOffset, checksum);
  return IpOutput(table.ip(), frame,
                  {.source = sock.local.ip, .destination = peer.ip, .protocol = kProtocolUdp}, now_ns);
}

size_t UdpMaxPayload(UdpTable& table) {
  return table.ip().device.mtu() - Ipv4Header::kMinSize - UdpHeader::kSize;
}

}  // namespace weir::netstack
