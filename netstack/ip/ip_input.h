// IP input: of IPv4 (RFC 791, RFC 1122 §3.2.1) and IPv6 (RFC 8200). Linux: ip_rcv, ip_rcv_finish, ip_local_deliver, and
// ipv6_rcv, ip6_rcv_finish, ip6_input.
#ifndef NETSTACK_IP_IP_INPUT_H_
#define NETSTACK_IP_IP_INPUT_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/inet.h"
#include "netstack/ip/ip_packet.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/udp/udp_plain.h"

namespace weir::netstack {

// `frame` came in on `in` and begins at the IP header; the caller keeps its reference. Checks the header, cuts padding
// off, and passes the packet on. One that is larger than a frame goes on in `more`, fewer than kMaxPacketFrames; all
// headers are in the first. `link_multicast`: the frame was sent to a multicast or broadcast address of the link.
DropReason IpRcv(Inet& inet, Interface& in, runtime::Frame& frame, std::span<runtime::Frame* const> more, Nanos now_ns,
                 bool link_multicast);
DropReason Ip6Rcv(Inet& inet, Interface& in, runtime::Frame& frame, std::span<runtime::Frame* const> more, Nanos now_ns,
                  bool link_multicast);

// The transport of a packet for this host; `packet` is at its transport header.
DropReason IpLocalDeliver(Inet& inet, IpPacket& packet, Nanos now_ns);

// Whom `destination` names for a packet that came in on `in`.
IpDestination ClassifyDestination(IpContext& context, Interface& in, const IpAddress& destination);

// The short ways in, for what is UDP or TCP and, `at` bytes into `frame`, begins with an IPv4 header. Nothing: they do
// not take it. Inline: a call more, with what it has to save, would cost a twentieth of a datagram.
[[gnu::always_inline]] inline std::optional<DropReason> IpRcvPlain(Inet& inet, Interface& in, runtime::Frame& frame,
                                                                   uint32_t at, Nanos now_ns) {
  switch (runtime::LoadU8(frame.data + at + Ipv4Header::kProtocolOffset)) {
    case kProtocolTcp:
      return TcpRcvPlain(inet.tcp, in, frame, at, now_ns);
    case kProtocolUdp:
      return UdpRcvPlain(inet.udp, in, frame, at, now_ns);
    default:
      return std::nullopt;
  }
}

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_INPUT_H_
