#include "netstack/tcp/tcp_early_demux.h"

#include <algorithm>
#include <array>

#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/tcp.h"

namespace weir::netstack {
namespace {

// As many frames as are looked ahead at: a burst of the ring.
constexpr size_t kAhead = 64;

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

}  // namespace

void TcpEarlyDemux(const TcpContext& context, std::span<runtime::Frame* const> burst, size_t link_header) {
  std::array<uint32_t, kAhead> hashes;
  size_t count = 0;
  for (const runtime::Frame* frame : burst.first(std::min(burst.size(), kAhead))) {
    Endpoint local, remote;
    if (frame->len < link_header || !FlowOf(std::span(frame->bytes()).subspan(link_header), &local, &remote)) continue;
    hashes[count] = context.demux.Hash(local, remote);
    context.demux.PrefetchBucket(hashes[count++]);
  }
  for (size_t i = 0; i < count; ++i) context.demux.PrefetchSock(hashes[i]);
  for (size_t i = 0; i < count; ++i) context.demux.PrefetchOwner(hashes[i]);
}

}  // namespace weir::netstack
