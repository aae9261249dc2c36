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
inline void AppendPayload(const IpPacket& packet, runtime::FrameChain& data) {
  runtime::Ref(&packet.frame);
  data.Append(&packet.frame, packet.frame.bytes().subspan(UdpHeader::kSize));
  for (runtime::Frame* piece : packet.more) {
    if (piece->len == 0) [[unlikely]] continue;
    runtime::Ref(piece);
    data.Append(piece, piece->bytes());
  }
}

size_t PayloadFrames(const IpPacket& packet) {
  size_t frames = 1;
  for (const runtime::Frame* piece : packet.more) frames += piece->len != 0;
  return frames;
}

// A place in the socket's queue for a datagram of `frames` frames, which the caller fills in; nullptr, and counted, when
// there is none. The socket is marked ready.
Datagram* UdpQueueRcv(UdpTable& table, UdpSock& sock, size_t frames) {
  // The pool's last frames are for receiving and answering; sockets that nobody reads do not get them.
  const runtime::FramePool& pool = table.ip().pool;
  Datagram* place = pool.free_count() > pool.size() / 16 ? sock.receive_queue.Append(frames) : nullptr;
  if (place == nullptr) [[unlikely]] {
    ++sock.dropped;
    return nullptr;
  }
  table.ip().Ready(sock, ReadySock::kReadable);
  return place;
}

inline void FillIn(Datagram& datagram, const IpPacket& packet, const UdpHeader& header, Nanos now_ns) {
  AppendPayload(packet, datagram.data);
  datagram.peer = {packet.source, header.source_port, ScopeOf(packet.source, packet.in)};
  datagram.local = {packet.destination, header.destination_port};
  datagram.interface = packet.in.index;
  datagram.ttl = packet.ttl;
  datagram.tos = packet.tos;
  datagram.received_ns = now_ns;
}

// To the members of a group, or to everyone.
[[gnu::noinline]] DropReason UdpRcvGroup(UdpTable& table, const IpPacket& packet, const UdpHeader& header,
                                         Nanos now_ns) {
  Datagram datagram;
  FillIn(datagram, packet, header, now_ns);
  return UdpDeliverToMembers(table, packet.in, datagram);
}

}  // namespace

DropReason UdpDeliverToMembers(UdpTable& table, const Interface& in, const Datagram& datagram) {
  DropReason outcome = DropReason::kUdpNotMember;
  const IpAddress& group = datagram.local.ip;
  table.ForEachMatching(datagram.local, datagram.peer, [&](UdpSock& sock) {
    if (group.is_multicast() && !UdpIsMember(sock, in, group, datagram.peer.ip)) return;
    Datagram* place = UdpQueueRcv(table, sock, datagram.data.buffers().size());
    if (place != nullptr) {
      *place = {.data = RecvBuffer(datagram.data.Share()), .peer = datagram.peer, .local = datagram.local,
                .interface = datagram.interface, .ttl = datagram.ttl, .tos = datagram.tos,
                .received_ns = datagram.received_ns};
    }
    if (outcome != DropReason::kConsumed) outcome = place != nullptr ? DropReason::kConsumed : DropReason::kUdpQueueFull;
  });
  return outcome;
}

DropReason UdpRcv(UdpTable& table, IpPacket& packet, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  if (frame.len < UdpHeader::kSize) [[unlikely]] return DropReason::kUdpTruncated;
  UdpHeader header;
  header.Parse(frame.data);
  if (header.length < UdpHeader::kSize || header.length > packet.length()) [[unlikely]] return DropReason::kUdpTruncated;
  packet.Trim(header.length);
  // RFC 768: a checksum of zero says that the sender made none.
  const bool has_checksum = LoadChecksum(frame.data + UdpHeader::kChecksumOffset) != 0;
  if (!has_checksum && !packet.is_v4()) [[unlikely]] return DropReason::kUdpChecksum;  // RFC 8200 §8.1
  if (has_checksum && !TransportChecksumOk(packet, UdpHeader::kChecksumOffset)) [[unlikely]] return DropReason::kUdpChecksum;
  if (packet.to != IpDestination::kLocal) [[unlikely]] return UdpRcvGroup(table, packet, header, now_ns);
  UdpSock* sock = table.Lookup({packet.destination, header.destination_port},
                               {packet.source, header.source_port, ScopeOf(packet.source, packet.in)});
  if (sock == nullptr) [[unlikely]] {
    IcmpSend(table.ip(), packet, IcmpError::kPortUnreachable, 0, now_ns);  // RFC 1122 §4.1.3.1
    return DropReason::kUdpNoSocket;
  }
  Datagram* place = UdpQueueRcv(table, *sock, PayloadFrames(packet));
  if (place == nullptr) [[unlikely]] return DropReason::kUdpQueueFull;
  FillIn(*place, packet, header, now_ns);
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
