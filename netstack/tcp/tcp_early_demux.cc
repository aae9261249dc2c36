#include "netstack/tcp/tcp_early_demux.h"

#include <algorithm>

#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/tcp.h"

namespace weir::netstack {
namespace {

// The ends of the segment's connection, where the packet is one of TCP without IP options or extension headers.
bool FlowOf(std::span<const std::byte> packet, Endpoint* local, Endpoint* remote) {
  if (packet.size() < Ipv4Header::kMinSize + TcpHeader::kMinSize) return false;
  size_t transport = Ipv4Header::kMinSize;
  if (packet[0] == std::byte{0x45}) {
    Ipv4Header header;
    header.Parse(packet.data());
    if (header.protocol != kProtocolTcp) return false;
    *remote = {IpAddress::V4(header.source), 0};
    *local = {IpAddress::V4(header.destination), 0};
  } else {
    transport = Ipv6Header::kSize;
    if (packet.size() < transport + TcpHeader::kMinSize) return false;
    Ipv6Header header;
    header.Parse(packet.data());
    if (header.version != 6 || header.next_header != kProtocolTcp) return false;
    *remote = {header.source, 0};
    *local = {header.destination, 0};
  }
  remote->port = runtime::LoadBe16(packet.data() + transport);
  local->port = runtime::LoadBe16(packet.data() + transport + 2);
  return true;
}

// What every segment may touch: the round trips are behind the front.
constexpr size_t kFront = sizeof(TcpSockFront) + 64;

// What a segment of the connection will read and write: the control block with the socket object, and the call that waits.
void PrefetchSock(const TcpSock& sock) {
  const auto* at = reinterpret_cast<const std::byte*>(&sock);
  for (size_t line = 0; line < kFront; line += 64) __builtin_prefetch(at + line, /*rw=*/1);
}
// The rest of it, when something is in flight that the segment may acknowledge.
void PrefetchBack(const TcpSock& sock) {
  if (sock.snd.nxt == sock.snd.una) return;
  const auto* at = reinterpret_cast<const std::byte*>(&sock);
  for (size_t line = kFront; line < sizeof(TcpSock); line += 64) __builtin_prefetch(at + line, /*rw=*/1);
}
void PrefetchReader(const TcpSock& sock) {
  if (sock.reader == nullptr) return;
  // It is in the middle of the coroutine's operation.
  for (int line = -1; line <= 1; ++line) {
    __builtin_prefetch(reinterpret_cast<const std::byte*>(sock.reader) + 64 * line, /*rw=*/1);
  }
}

}  // namespace

void TcpEarlyDemux(TcpContext& context, std::span<runtime::Frame* const> burst, size_t link_header) {
  TcpBurst& ahead = context.burst;
  ahead = {};
  for (const runtime::Frame* frame : burst.first(std::min(burst.size(), TcpBurst::kMax))) {
    Endpoint local, remote;
    if (frame->len < link_header || !FlowOf(std::span(frame->bytes()).subspan(link_header), &local, &remote)) continue;
    const uint32_t hash = context.demux.Hash(local, remote);
    ahead.segments[ahead.count++] = {frame, hash};
    context.demux.PrefetchBucket(hash);
  }
  const auto segments = std::span(ahead.segments).first(ahead.count);
  for (const auto& segment : segments) context.demux.PrefetchHead(segment.hash);
  for (const auto& segment : segments) {
    if (const TcpSock* sock = context.demux.First(segment.hash)) PrefetchSock(*sock);
  }
  for (const auto& segment : segments) {
    const TcpSock* sock = context.demux.First(segment.hash);
    if (sock == nullptr) continue;
    PrefetchReader(*sock);
    PrefetchBack(*sock);
  }
}

}  // namespace weir::netstack
