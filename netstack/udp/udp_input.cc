#include "netstack/udp/udp_input.h"

#include <utility>

#include "netstack/ip/icmp_output.h"
#include "netstack/ip/packet_checksum.h"
#include "netstack/udp/udp_multicast.h"
#include "netstack/udp/udp_queue_rcv.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/udp.h"

namespace weir::netstack {
namespace {

// Calls queue(UdpSock&), which says whether there was room, for every socket that wants what came in on `in` from
// `remote` to the group or broadcast address of `local`.
template <typename Queue>
DropReason ForEachMember(UdpTable& table, const Interface& in, const Endpoint& local, const Endpoint& remote,
                         Queue&& queue) {
  DropReason outcome = DropReason::kUdpNotMember;
  table.ForEachMatching(local, remote, [&](UdpSock& sock) {
    if (local.ip.is_multicast() && !UdpIsMember(sock, in, local.ip, remote.ip)) return;
    const bool queued = queue(sock);
    if (outcome != DropReason::kConsumed) outcome = queued ? DropReason::kConsumed : DropReason::kUdpQueueFull;
  });
  return outcome;
}

// A datagram in one frame, ready to wait there.
inline runtime::Frame& WaitInFrame(const IpPacket& packet, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  frame.Pull(UdpHeader::kSize);
  frame.Cb<UdpRxCb>() = {.received_ns = now_ns,
                         .interface = packet.in.index,
                         .headers = static_cast<uint16_t>(frame.data - packet.header.data()),
                         .ttl = packet.ttl,
                         .tos = packet.tos};
  return frame;
}

// One that was put together.
Datagram RecordOf(const IpPacket& packet, const Endpoint& local, const Endpoint& remote, Nanos now_ns) {
  return UdpRecordOf(packet, UdpHeader::kSize, local, remote, now_ns);
}

// To the members of a group, or to everyone.
[[gnu::noinline]] DropReason UdpRcvGroup(UdpTable& table, const IpPacket& packet, const Endpoint& local,
                                         const Endpoint& remote, Nanos now_ns) {
  if (!packet.more.empty()) return UdpDeliverToMembers(table, packet.in, RecordOf(packet, local, remote, now_ns));
  runtime::Frame& frame = WaitInFrame(packet, now_ns);
  return ForEachMember(table, packet.in, local, remote,
                       [&, shared = UdpReceiveQueue::SharedFrame{frame}](UdpSock& sock) {
                         return UdpQueueRcv(table, sock, *frame.pool, shared);
                       });
}

}  // namespace

Datagram UdpRecordOf(const IpPacket& packet, size_t skip, const Endpoint& local, const Endpoint& remote, Nanos now_ns) {
  runtime::Ref(&packet.frame);
  Datagram datagram{{.peer = remote,
                     .local = local,
                     .interface = packet.in.index,
                     .ttl = packet.ttl,
                     .tos = packet.tos,
                     .received_ns = now_ns},
                    RecvBuffer(&packet.frame, packet.frame.bytes().subspan(skip))};
  for (runtime::Frame* piece : packet.more) {
    if (piece->len == 0) continue;
    runtime::Ref(piece);
    datagram.data.Append(piece, piece->bytes());
  }
  return datagram;
}

DropReason UdpDeliverToMembers(UdpTable& table, const Interface& in, const Datagram& datagram) {
  return ForEachMember(table, in, datagram.local, datagram.peer,
                       [&](UdpSock& sock) { return UdpQueueRcv(table, sock, table.ip().pool, datagram.Share()); });
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
  const Endpoint local{packet.destination, header.destination_port};
  const Endpoint remote{packet.source, header.source_port, ScopeOf(packet.source, packet.in)};
  if (packet.to != IpDestination::kLocal) [[unlikely]] return UdpRcvGroup(table, packet, local, remote, now_ns);
  UdpSock* sock = table.Lookup(local, remote);
  if (sock == nullptr) [[unlikely]] {
    if (PeerShards* peers = table.ip().peers; peers != nullptr && packet.more.empty()) {
      if (const auto passed = peers->PassOn(PortSpace::kUdp, local.port, frame)) return *passed;
    }
    IcmpSend(table.ip(), packet, IcmpError::kPortUnreachable, 0, now_ns);  // RFC 1122 §4.1.3.1
    return DropReason::kUdpNoSocket;
  }
  const bool queued = packet.more.empty()
                          ? UdpQueueRcv(table, *sock, *frame.pool, WaitInFrame(packet, now_ns))
                          : UdpQueueRcv(table, *sock, *frame.pool, RecordOf(packet, local, remote, now_ns));
  return queued ? DropReason::kConsumed : DropReason::kUdpQueueFull;
}

}  // namespace weir::netstack
