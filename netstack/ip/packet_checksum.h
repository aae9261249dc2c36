// The transport checksum of a received packet, over all of the frames it lies in (RFC 1071).
#ifndef NETSTACK_IP_PACKET_CHECKSUM_H_
#define NETSTACK_IP_PACKET_CHECKSUM_H_

#include "netstack/ip/interface.h"
#include "netstack/ip/ip_packet.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"

namespace weir::netstack {

// Of transport header and payload. Pieces begin at even offsets, so their sums add up.
inline ChecksumSum SumPacket(const IpPacket& packet) {
  ChecksumSum sum = SumBytes(packet.frame.bytes());
  for (const runtime::Frame* piece : packet.more) sum += SumBytes(piece->bytes());
  return sum;
}

// Of the pseudo-header. The addresses of IPv4 are summed as they lie in the header, one behind the other.
inline ChecksumSum PseudoHeaderSum(const IpPacket& packet, uint32_t length) {
  if (!packet.is_v4()) return PseudoHeaderSum(packet.source, packet.destination, packet.protocol, length);
  uint64_t addresses;
  std::memcpy(&addresses, packet.header.data() + Ipv4Header::kSourceOffset, sizeof addresses);
  return (addresses & 0xffffffff) + (addresses >> 32) + __builtin_bswap32(length) + __builtin_bswap32(packet.protocol);
}

// Whether the checksum at `field_offset` of the transport header is right, pseudo-header included. What was cut into
// fragments has no partial checksum: a device could not have finished it (Linux: skb_checksum_help in ip_fragment). The
// header is in the first frame.
inline bool TransportChecksumOk(const IpPacket& packet, size_t field_offset) {
  if (!packet.more.empty()) [[unlikely]] {
    const ChecksumSum pseudo = PseudoHeaderSum(packet, packet.length());
    const bool partial_ok = packet.in.device.partial_checksums() && !packet.reassembled;
    if (partial_ok && LoadChecksum(packet.frame.data + field_offset) == FoldSum(pseudo)) return true;
    return FoldSum(SumPacket(packet) + pseudo) == 0xffff;
  }
  return ChecksumOk(packet.frame.bytes(), field_offset, PseudoHeaderSum(packet, packet.frame.len),
                    packet.in.device.partial_checksums());
}

}  // namespace weir::netstack

#endif  // NETSTACK_IP_PACKET_CHECKSUM_H_
