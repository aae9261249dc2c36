// The transport checksum of a received packet, over all of the frames it lies in (RFC 1071).
#ifndef NETSTACK_IP_PACKET_CHECKSUM_H_
#define NETSTACK_IP_PACKET_CHECKSUM_H_

#include "netstack/ip/interface.h"
#include "netstack/ip/ip_packet.h"
#include "netstack/wire/checksum.h"

namespace weir::netstack {

// Of transport header and payload. Pieces begin at even offsets, so their sums add up.
inline ChecksumSum SumPacket(const IpPacket& packet) {
  ChecksumSum sum = SumBytes(packet.frame.bytes());
  for (const runtime::Frame* piece : packet.more) sum += SumBytes(piece->bytes());
  return sum;
}

// Whether the checksum at `field_offset` of the transport header is right, pseudo-header included. What was cut into
// fragments has no partial checksum: a device could not have finished it (Linux: skb_checksum_help in ip_fragment).
inline bool TransportChecksumOk(const IpPacket& packet, size_t field_offset) {
  const auto pseudo = [&](uint32_t length) {
    return PseudoHeaderSum(packet.source, packet.destination, packet.protocol, length);
  };
  if (!packet.more.empty()) [[unlikely]] return FoldSum(SumPacket(packet) + pseudo(packet.length())) == 0xffff;
  return ChecksumOk(packet.frame.bytes(), field_offset, pseudo(packet.frame.len), packet.in.device.partial_checksums());
}

}  // namespace weir::netstack

#endif  // NETSTACK_IP_PACKET_CHECKSUM_H_
