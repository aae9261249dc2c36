// UdpRcvPlain: the way of nearly every datagram, from its IP header to the socket's queue, in one function: one that
// came whole and without IP options, is for this host alone, has no hook on its way, and is right in everything.
//
// It is only a shortcut. What it takes, IpRcv, IpLocalDeliver and UdpRcv would have taken in the same way, and what it
// does not take it leaves as it was, for them to find out why.
#ifndef NETSTACK_UDP_UDP_PLAIN_H_
#define NETSTACK_UDP_UDP_PLAIN_H_

#include <optional>

#include "netstack/drop_reason.h"
#include "netstack/ip/interface.h"
#include "netstack/ip/ip_plain.h"
#include "netstack/udp/udp_queue_rcv.h"
#include "netstack/udp/udp_table.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/udp.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {

// Of the `size` bytes at `ip`: the length of the UDP datagram, when an IPv4 header without options and a UDP header
// agree with one another and with the size about what is there, and the checksums are right (RFC 768: a field of zero
// says that the sender made none). Else 0.
[[gnu::always_inline]] inline uint32_t PlainUdpLength(const std::byte* ip, uint32_t size, bool partial_ok) {
  const uint32_t length = PlainPayload(ip, size, UdpHeader::kSize);
  const std::byte* udp = ip + Ipv4Header::kMinSize;
  if (length == 0 || length != runtime::LoadBe16(udp + UdpHeader::kLengthOffset)) [[unlikely]] return 0;
  if (LoadChecksum(udp + UdpHeader::kChecksumOffset) == 0) [[unlikely]] return length;
  return PlainChecksumOk(ip, length, kProtocolUdp, UdpHeader::kChecksumOffset, partial_ok) ? length : 0;
}

// `frame` came in on `in`, and a UDP datagram's IP header is `at` bytes into it. kConsumed, kUdpQueueFull, or nothing:
// it is not taken. Inline, for IpRcvPlain alone: with a call, it would cost a tenth more.
[[gnu::always_inline]] inline std::optional<DropReason> UdpRcvPlain(UdpTable& table, const Interface& in,
                                                                    runtime::Frame& frame, uint32_t at, Nanos now_ns) {
  std::byte* ip = frame.data + at;
  const uint32_t length = PlainUdpLength(ip, frame.len - at, in.device.partial_checksums());
  if (length == 0 || !PlainWayIn(table.ip(), ip)) [[unlikely]] return std::nullopt;
  UdpSock* sock = table.LookupPlain(ip);
  if (sock == nullptr) [[unlikely]] return std::nullopt;

  constexpr uint32_t kHeaders = Ipv4Header::kMinSize + UdpHeader::kSize;
  frame.data = ip + kHeaders;
  frame.len = length - UdpHeader::kSize;
  frame.Cb<UdpRxCb>() = {.received_ns = now_ns,
                         .interface = in.index,
                         .headers = kHeaders,
                         .ttl = runtime::LoadU8(ip + Ipv4Header::kTtlOffset),
                         .tos = runtime::LoadU8(ip + Ipv4Header::kTosOffset)};
  return UdpQueueRcv(table, *sock, *frame.pool, frame) ? DropReason::kConsumed : DropReason::kUdpQueueFull;
}

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_PLAIN_H_
