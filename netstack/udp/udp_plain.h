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

// Of `frame`, at its IP header: an IPv4 header without options and a UDP header that agree with one another and with
// the frame about what is in it, and right checksums (RFC 768: a field of zero says that the sender made none).
[[gnu::always_inline]] inline bool IsPlainUdp(const runtime::Frame& frame, bool partial_ok) {
  const std::byte* ip = frame.data;
  if (frame.len <= Ipv4Header::kMinSize || runtime::LoadU8(ip + Ipv4Header::kProtocolOffset) != kProtocolUdp) return false;
  const uint32_t length = PlainPayload(frame, UdpHeader::kSize);
  const std::byte* udp = ip + Ipv4Header::kMinSize;
  if (length == 0 || length != runtime::LoadBe16(udp + UdpHeader::kLengthOffset)) [[unlikely]] return false;
  if (LoadChecksum(udp + UdpHeader::kChecksumOffset) == 0) [[unlikely]] return true;
  return PlainChecksumOk(ip, length, kProtocolUdp, UdpHeader::kChecksumOffset, partial_ok);
}

// `frame` came in on `in` and is at its IP header. kConsumed, kUdpQueueFull, or nothing: it is not taken. Inline, for
// IpRcv alone: with a call, it would cost a tenth more.
[[gnu::always_inline]] inline std::optional<DropReason> UdpRcvPlain(UdpTable& table, const Interface& in,
                                                                    runtime::Frame& frame, Nanos now_ns) {
  if (!IsPlainUdp(frame, in.device.partial_checksums())) return std::nullopt;
  const std::byte* ip = frame.data;
  if (!PlainWayIn(table.ip(), ip)) [[unlikely]] return std::nullopt;
  UdpSock* sock = table.LookupPlain(ip);
  if (sock == nullptr) [[unlikely]] return std::nullopt;

  constexpr uint32_t kHeaders = Ipv4Header::kMinSize + UdpHeader::kSize;
  frame.data += kHeaders;
  frame.len = runtime::LoadBe16(ip + Ipv4Header::kTotalLengthOffset) - kHeaders;
  frame.Cb<UdpRxCb>() = {.received_ns = now_ns,
                         .interface = in.index,
                         .headers = kHeaders,
                         .ttl = runtime::LoadU8(ip + Ipv4Header::kTtlOffset),
                         .tos = runtime::LoadU8(ip + Ipv4Header::kTosOffset)};
  return UdpQueueRcv(table, *sock, frame) ? DropReason::kConsumed : DropReason::kUdpQueueFull;
}

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_PLAIN_H_
