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
#include "netstack/udp/udp_queue_rcv.h"
#include "netstack/udp/udp_table.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/udp.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {

// Of `frame`, at its IP header: an IPv4 header without options and a UDP header that agree with one another and with
// the frame about what is in it, and right checksums (RFC 768: a field of zero says that the sender made none).
[[gnu::always_inline]] inline bool IsPlainUdp(const runtime::Frame& frame, bool partial_ok) {
  using runtime::LoadBe16, runtime::LoadU8;
  constexpr uint32_t kIp = Ipv4Header::kMinSize;
  const std::byte* ip = frame.data;
  if (frame.len < kIp + UdpHeader::kSize || LoadU8(ip) != 0x45) [[unlikely]] return false;
  if (LoadU8(ip + Ipv4Header::kProtocolOffset) != kProtocolUdp || Ipv4Header::IsFragment(ip)) return false;
  const uint32_t total = LoadBe16(ip + Ipv4Header::kTotalLengthOffset);
  const uint32_t length = LoadBe16(ip + kIp + UdpHeader::kLengthOffset);
  if (total > frame.len || total != kIp + length || length < UdpHeader::kSize) [[unlikely]] return false;
  if (!IsAllOnes(SumOf<kIp>(ip))) [[unlikely]] return false;
  const uint16_t checksum = LoadChecksum(ip + kIp + UdpHeader::kChecksumOffset);
  if (checksum == 0) [[unlikely]] return true;
  // The addresses of the pseudo-header lie in front of the UDP header, so that one sum is over both.
  const std::byte* addresses = ip + Ipv4Header::kSourceOffset;
  const ChecksumSum rest = ChecksumSum{__builtin_bswap32(length)} + __builtin_bswap32(kProtocolUdp);
  if (partial_ok && checksum == FoldSum(AddWide(SumOf<8>(addresses), rest))) return true;
  return IsAllOnes(SumWide(addresses, 8 + length, rest));
}

// `frame` came in on `in` and is at its IP header. kConsumed, kUdpQueueFull, or nothing: it is not taken. Inline, for
// IpRcv alone: with a call, it would cost a tenth more.
[[gnu::always_inline]] inline std::optional<DropReason> UdpRcvPlain(UdpTable& table, const Interface& in,
                                                                    runtime::Frame& frame, Nanos now_ns) {
  if (!IsPlainUdp(frame, in.device.partial_checksums())) return std::nullopt;
  const IpContext& context = table.ip();
  const std::byte* ip = frame.data;
  const bool from_other = !context.local4.IsMartianSource(runtime::LoadBe32(ip + Ipv4Header::kSourceOffset));
  if (!from_other || !context.local4.IsLocal(runtime::LoadBe32(ip + Ipv4Header::kDestinationOffset))) [[unlikely]] {
    return std::nullopt;
  }
  if (context.hooks.any(Hook::kPreRouting) || context.hooks.any(Hook::kLocalIn)) [[unlikely]] return std::nullopt;
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
