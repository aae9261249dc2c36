#include "netstack/udp/udp_input.h"

#include "netstack/ip/icmp_output.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/udp.h"

namespace weir::netstack {
namespace {

DropReason UdpQueueRcv(UdpTable& table, UdpSock& sock, const UdpDatagram& datagram) {
  // The pool's last frames are for receiving and answering; sockets that nobody reads do not get them.
  const runtime::FramePool& pool = table.ip().pool;
  if (pool.free_count() <= pool.size() / 16) return DropReason::kUdpQueueFull;
  if (!sock.receive_queue.Push(datagram)) return DropReason::kUdpQueueFull;
  runtime::Ref(datagram.frame);
  table.ip().Ready(sock, ReadySock::kReadable);
  return DropReason::kConsumed;
}

}  // namespace

DropReason UdpRcv(UdpTable& table, IpPacket& packet, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  if (frame.len < UdpHeader::kSize) return DropReason::kUdpTruncated;
  UdpHeader header;
  header.Parse(frame.data);
  if (header.length < UdpHeader::kSize || header.length > frame.len) return DropReason::kUdpTruncated;
  frame.Trim(header.length);
  // RFC 768: a checksum of zero says that the sender made none.
  const bool has_checksum = LoadChecksum(frame.data + UdpHeader::kChecksumOffset) != 0;
  if (!has_checksum && !packet.is_v4()) return DropReason::kUdpChecksum;  // RFC 8200 §8.1
  if (has_checksum) {
    const ChecksumSum pseudo = PseudoHeaderSum(packet.source, packet.destination, kProtocolUdp, header.length);
    if (!ChecksumOk(frame.bytes(), UdpHeader::kChecksumOffset, pseudo, packet.in.device.partial_checksums())) {
      return DropReason::kUdpChecksum;
    }
  }
  UdpSock* sock = table.Lookup({packet.destination, header.destination_port});
  if (sock == nullptr) {
    IcmpSend(table.ip(), packet, IcmpError::kPortUnreachable, 0, now_ns);  // RFC 1122 §4.1.3.1
    return DropReason::kUdpNoSocket;
  }
  return UdpQueueRcv(table, *sock,
                     {.frame = &frame,
                      .data = frame.data + UdpHeader::kSize,
                      .length = static_cast<uint16_t>(header.length - UdpHeader::kSize),
                      .source = {packet.source, header.source_port, ScopeOf(packet.source, packet.in)},
                      .destination = {packet.destination, header.destination_port}});
}

}  // namespace weir::netstack
