#include "netstack/udp/udp_input.h"

#include <utility>

#include "netstack/ip/icmp_output.h"
#include "netstack/ip/packet_checksum.h"
#include "netstack/udp/udp_multicast.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/udp.h"

namespace weir::netstack {
namespace {

// The payload behind the UDP header, with a reference on each frame. The first slice is there even when it is empty.
runtime::FrameChain Payload(const IpPacket& packet) {
  runtime::FrameChain data;
  runtime::Ref(&packet.frame);
  data.Append(&packet.frame, packet.frame.bytes().subspan(UdpHeader::kSize));
  for (runtime::Frame* piece : packet.more) {
    if (piece->len == 0) break;
    runtime::Ref(piece);
    data.Append(piece, piece->bytes());
  }
  return data;
}

DropReason UdpQueueRcv(UdpTable& table, UdpSock& sock, UdpDatagram&& datagram) {
  // The pool's last frames are for receiving and answering; sockets that nobody reads do not get them.
  const runtime::FramePool& pool = table.ip().pool;
  if (pool.free_count() <= pool.size() / 16 || !sock.receive_queue.Push(std::move(datagram))) {
    ++sock.dropped;
    return DropReason::kUdpQueueFull;
  }
  table.ip().Ready(sock, ReadySock::kReadable);
  return DropReason::kConsumed;
}

}  // namespace

DropReason UdpDeliverToMembers(UdpTable& table, const Interface& in, const UdpDatagram& datagram) {
  DropReason outcome = DropReason::kUdpNotMember;
  const IpAddress& group = datagram.destination.ip;
  table.ForEachMatching(datagram.destination, datagram.source, [&](UdpSock& sock) {
    if (group.is_multicast() && !UdpIsMember(sock, in, group, datagram.source.ip)) return;
    const DropReason queued = UdpQueueRcv(table, sock, datagram.Share());
    if (outcome != DropReason::kConsumed) outcome = queued;
  });
  return outcome;
}

DropReason UdpRcv(UdpTable& table, IpPacket& packet, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  if (frame.len < UdpHeader::kSize) return DropReason::kUdpTruncated;
  UdpHeader header;
  header.Parse(frame.data);
  if (header.length < UdpHeader::kSize || header.length > packet.length()) return DropReason::kUdpTruncated;
  packet.Trim(header.length);
  // RFC 768: a checksum of zero says that the sender made none.
  const bool has_checksum = LoadChecksum(frame.data + UdpHeader::kChecksumOffset) != 0;
  if (!has_checksum && !packet.is_v4()) return DropReason::kUdpChecksum;  // RFC 8200 §8.1
  if (has_checksum && !TransportChecksumOk(packet, UdpHeader::kChecksumOffset)) return DropReason::kUdpChecksum;
  UdpDatagram datagram{.data = Payload(packet),
                       .source = {packet.source, header.source_port, ScopeOf(packet.source, packet.in)},
                       .destination = {packet.destination, header.destination_port},
                       .interface = packet.in.index,
                       .ttl = packet.ttl,
                       .tos = packet.tos,
                       .received_ns = now_ns};
  if (packet.to != IpDestination::kLocal) return UdpDeliverToMembers(table, packet.in, datagram);
  UdpSock* sock = table.Lookup(datagram.destination, datagram.source);
  if (sock == nullptr) {
    IcmpSend(table.ip(), packet, IcmpError::kPortUnreachable, 0, now_ns);  // RFC 1122 §4.1.3.1
    return DropReason::kUdpNoSocket;
  }
  return UdpQueueRcv(table, *sock, std::move(datagram));
}

}  // namespace weir::netstack
