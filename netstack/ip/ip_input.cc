#include "netstack/ip/ip_input.h"

#include "netstack/ip/icmp.h"
#include "netstack/ip/ip_packet.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/udp/udp_input.h"
#include "netstack/wire/icmp.h"
#include "netstack/wire/ipv4.h"

namespace weir::netstack {
namespace {

// RFC 1122 §3.2.1.3: addresses that must never be a source. Our own as a source is a spoof (the land attack).
bool IsMartianSource(const IpContext& context, const Ipv4Header& header) {
  const uint32_t source = header.source;
  const uint8_t net = static_cast<uint8_t>(source >> 24);
  if (net == 0 || net == 127 || net >= 224) return true;
  const IpAddress address = IpAddress::V4(source);
  if (context.IsLocal(address)) return true;
  // The broadcast address of our own prefix; /31 and /32 have none (RFC 3021 §2.1).
  const int bits = context.address.length;
  const uint32_t host_mask = bits >= 31 ? 0 : 0xffffffffu >> bits;
  return host_mask != 0 && context.address.Contains(address) && (source & host_mask) == host_mask;
}

// The transport of a packet for this host (ip_local_deliver, ip_protocol_deliver_rcu).
DropReason IpLocalDeliver(Inet& inet, IpPacket& packet, Nanos now_ns) {
  switch (packet.protocol) {
    case kProtocolTcp:
      return TcpRcv(inet.tcp, packet, now_ns);
    case kProtocolUdp:
      return UdpRcv(inet.udp, packet, now_ns);
    case kProtocolIcmp:
      return IcmpRcv(inet.ip, packet, now_ns);
    default:
      // RFC 1122 §3.2.2.1: a host sends protocol unreachable.
      IcmpSendUnreachable(inet.ip, packet, kIcmpCodeProtocolUnreachable, now_ns);
      return DropReason::kIpProtocol;
  }
}

// Where the packet goes (ip_rcv_finish): only to this host, so far.
DropReason IpRcvFinish(Inet& inet, IpPacket& packet, Nanos now_ns) {
  if (!inet.ip.IsLocal(packet.destination)) return DropReason::kIpNotLocal;
  return IpLocalDeliver(inet, packet, now_ns);
}

}  // namespace

DropReason IpRcv(Inet& inet, runtime::Frame& frame, Nanos now_ns, bool link_multicast) {
  if (frame.len < Ipv4Header::kMinSize) return DropReason::kIpTruncated;
  Ipv4Header header;
  header.Parse(frame.data);
  if (header.version != 4) return DropReason::kIpVersion;
  if (header.header_size < Ipv4Header::kMinSize) return DropReason::kIpHeaderLength;
  if (frame.len < header.header_size) return DropReason::kIpTruncated;
  const std::span<const std::byte> bytes(frame.data, header.header_size);
  if (FoldSum(SumBytes(bytes)) != 0xffff) return DropReason::kIpChecksum;
  if (header.total_length < header.header_size) return DropReason::kIpHeaderLength;
  if (frame.len < header.total_length) return DropReason::kIpTruncated;
  if (IsMartianSource(inet.ip, header)) return DropReason::kIpMartianSource;
  if (header.is_fragment()) return DropReason::kIpFragment;
  frame.Trim(header.total_length);  // Ethernet pads to 60 bytes
  frame.Pull(header.header_size);
  IpPacket packet{.frame = frame,
                  .source = IpAddress::V4(header.source),
                  .destination = IpAddress::V4(header.destination),
                  .protocol = header.protocol,
                  .tos = header.tos,
                  .ttl = header.ttl,
                  .link_multicast = link_multicast,
                  .header = bytes};
  return IpRcvFinish(inet, packet, now_ns);
}

}  // namespace weir::netstack
