// Header checks and demultiplexing.
#include "netstack/ip/ip_plain.h"
#include "netstack/ip/packet_checksum.h"
#include "netstack/tcp/tcp_ecn.h"
#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/wire/ipv4.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

// RFC 9293 §3.9.2.3, RFC 1122 §4.2.3.10: a segment to several hosts, on the link or by its IP address, is no segment.
bool IsUnicast(const IpPacket& packet) {
  return packet.to == IpDestination::kLocal && !packet.link_multicast && !packet.source.is_any();
}

DropReason TcpDoRcv(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  if (sock.rcv.guarded && segment.ttl < sock.extra->min_ttl) [[unlikely]] return DropReason::kTcpMinTtl;
  ++sock.stats.segs_in;
  if (sock.state == TcpState::kEstablished) return TcpRcvEstablished(sock, segment, now_ns);
  return TcpRcvStateProcess(sock, segment, now_ns);
}

// The connection that a segment is of; else its hash is known (__inet_lookup_established). With so many connections that they
// are looked ahead at, one that was found lately has left the caches, and only to compare it would cost a look into memory.
TcpSock* FindSock(TcpContext& context, TcpSegment& segment) {
  const Endpoint &local = segment.destination, &remote = segment.source;
  TcpDemux& demux = context.demux;
  if (context.burst.Take(segment.frame, &segment.hash)) {
    if (TcpSock* sock = demux.Find(segment.hash, local, remote)) return sock;
  } else if (TcpSock* sock = demux.Recent(local, remote)) {
    return sock;
  }
  segment.hash = demux.Hash(local, remote);
  return demux.Find(segment.hash, local, remote);
}

// The connection, what is left of one, or the listener that a segment is for.
DropReason Demultiplex(TcpContext& context, TcpSegment& segment, Nanos now_ns) {
  if (TcpSock* sock = FindSock(context, segment)) return TcpDoRcv(*sock, segment, now_ns);
  if (TcpTimeWait* block = context.time_wait.Find(segment.hash, segment.destination, segment.source)) {
    return TcpRcvTimeWait(context, *block, segment, now_ns);
  }
  if (TcpListenSock* listener = context.demux.FindListener(segment.destination)) {
    return TcpRcvListen(*listener, context, segment, now_ns);
  }
  return TcpNoSocket(context, segment, now_ns);
}

// A segment that came in fragments: each frame is taken as a segment of its own, in order, of which the first has the
// SYN or RST and the last the FIN. So TCP knows only segments that lie in one frame.
DropReason TakePieces(TcpContext& context, const TcpSegment& whole, std::span<runtime::Frame* const> more,
                      Nanos now_ns) {
  constexpr uint8_t kFirst = kTcpSyn | kTcpRst, kLast = kTcpFin | kTcpPsh;
  const auto take = [&](runtime::Frame& frame, Seq seq, uint8_t without) {
    TcpSegment piece{.header = whole.header,
                     .seq = seq,
                     .ack = whole.ack,
                     .payload = frame.len,
                     .ecn = whole.ecn,
                     .ttl = whole.ttl,
                     .frame = frame,
                     .options = whole.options,
                     .source = whole.source,
                     .destination = whole.destination,
                     .hash = 0};
    piece.header.flags &= static_cast<uint8_t>(~without);
    return Demultiplex(context, piece, now_ns);
  };
  Seq seq = whole.seq + whole.payload + whole.has(kTcpSyn);
  DropReason reason = take(whole.frame, whole.seq, kLast);
  if (whole.has(kTcpRst)) return reason;
  for (runtime::Frame* frame : more) {
    const uint32_t length = frame->len;
    reason = take(*frame, seq, frame == more.back() ? kFirst : kFirst | kLast);
    seq += length;
  }
  return reason;
}

// What a segment is made of besides its ends and its text, when segment.header is that at `tcp` and right.
inline void Read(TcpSegment& segment, const std::byte* tcp, uint8_t tos, uint8_t ttl) {
  segment.seq = Seq(segment.header.seq);
  segment.ack = Seq(segment.header.ack);
  segment.ecn = tos & kEcnMask;
  segment.ttl = ttl;
  segment.options.Parse({tcp + TcpHeader::kMinSize, segment.header.header_size - TcpHeader::kMinSize});
}

}  // namespace

DropReason TcpNoSocket(TcpContext& context, const TcpSegment& segment, Nanos now_ns) {
  if (const auto passed = TcpPassOn(context, segment)) return *passed;
  if (!segment.has(kTcpRst)) TcpSendResetFor(context, segment, now_ns);
  return DropReason::kTcpNoSocket;
}

std::optional<DropReason> TcpRcvPlain(TcpContext& context, const Interface& in, runtime::Frame& frame, uint32_t at,
                                      Nanos now_ns) {
  std::byte* ip = frame.data + at;
  std::byte* tcp = ip + Ipv4Header::kMinSize;
  const uint32_t length = PlainPayload(ip, frame.len - at, TcpHeader::kMinSize);
  if (length == 0 || !PlainChecksumOk(ip, length, kProtocolTcp, TcpHeader::kChecksumOffset,
                                      in.device.partial_checksums())) {
    return std::nullopt;
  }
  if (!PlainWayIn(context.ip, ip)) [[unlikely]] return std::nullopt;
  TcpSegment segment{.frame = frame};
  segment.header.Parse(tcp);
  const uint32_t header_size = segment.header.header_size;
  if (header_size < TcpHeader::kMinSize || header_size > length) [[unlikely]] return std::nullopt;
  Read(segment, tcp, runtime::LoadU8(ip + Ipv4Header::kTosOffset), runtime::LoadU8(ip + Ipv4Header::kTtlOffset));
  segment.source = {IpAddress::V4(runtime::LoadBe32(ip + Ipv4Header::kSourceOffset)), segment.header.source_port};
  segment.destination = {IpAddress::V4(runtime::LoadBe32(ip + Ipv4Header::kDestinationOffset)),
                         segment.header.destination_port};
  frame.data = tcp + header_size;
  frame.len = length - header_size;
  segment.payload = frame.len;
  return Demultiplex(context, segment, now_ns);
}

DropReason TcpRcv(TcpContext& context, IpPacket& packet, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  if (frame.len < TcpHeader::kMinSize) return DropReason::kTcpTruncated;
  TcpSegment segment{.frame = frame};
  segment.header.Parse(frame.data);
  const uint8_t header_size = segment.header.header_size;
  if (header_size < TcpHeader::kMinSize || header_size > frame.len) return DropReason::kTcpHeaderLength;
  if (!IsUnicast(packet)) return DropReason::kTcpNotUnicast;
  if (!TransportChecksumOk(packet, TcpHeader::kChecksumOffset)) return DropReason::kTcpChecksum;
  Read(segment, frame.data, packet.tos, packet.ttl);
  segment.source = {packet.source, segment.header.source_port, ScopeOf(packet.source, packet.in)};
  segment.destination = {packet.destination, segment.header.destination_port};
  frame.Pull(header_size);
  segment.payload = frame.len;
  if (!packet.more.empty()) [[unlikely]] return TakePieces(context, segment, packet.more, now_ns);
  return Demultiplex(context, segment, now_ns);
}

}  // namespace weir::netstack
