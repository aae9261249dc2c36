// What the short ways in ask of an IPv4 packet (netstack/udp/udp_plain.h, TcpRcvPlain in netstack/tcp/tcp_rcv.cc): that it
// is as nearly all are. Inline: each is asked once a packet, and a call costs more than some of the questions.
#ifndef NETSTACK_IP_IP_PLAIN_H_
#define NETSTACK_IP_IP_PLAIN_H_

#include <cstddef>
#include <cstdint>

#include "netstack/ip/ip_context.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"
#include "runtime/base/byte_order.h"
#include "runtime/buffer/frame.h"

namespace weir::netstack {

// Of the `size` bytes at `ip`: how many follow an IP header without options that is right and agrees with them; 0: it is
// not so, or a fragment, or they are fewer than `least`.
[[gnu::always_inline]] inline uint32_t PlainPayload(const std::byte* ip, uint32_t size, uint32_t least) {
  constexpr uint32_t kIp = Ipv4Header::kMinSize;
  if (size < kIp + least || runtime::LoadU8(ip) != 0x45 || Ipv4Header::IsFragment(ip)) [[unlikely]] return 0;
  const uint32_t total = runtime::LoadBe16(ip + Ipv4Header::kTotalLengthOffset);
  if (total > size || total < kIp + least || !IsAllOnes(SumOf<kIp>(ip))) [[unlikely]] return 0;
  return total - kIp;
}

// Whether the checksum of `length` bytes behind the header at `ip`, whose field is at `field_offset` of them, is right,
// pseudo-header included; or, with `partial_ok`, is what a device was to finish.
[[gnu::always_inline]] inline bool PlainChecksumOk(const std::byte* ip, uint32_t length, uint8_t protocol,
                                                   size_t field_offset, bool partial_ok) {
  const std::byte* transport = ip + Ipv4Header::kMinSize;
  const ChecksumSum rest = ChecksumSum{__builtin_bswap32(length)} + __builtin_bswap32(protocol);
  const WideSum pseudo = AddWide(SumOf<8>(ip + Ipv4Header::kSourceOffset), rest);
  if (partial_ok && LoadChecksum(transport + field_offset) == FoldSum(pseudo)) return true;
  return IsAllOnes(SumWide(transport, length, pseudo));
}

// Whether the packet with the header at `ip` is for this host, from another, and has no hook on its way.
[[gnu::always_inline]] inline bool PlainWayIn(const IpContext& context, const std::byte* ip) {
  const LocalTable& local = context.local4;
  if (local.IsMartianSource(runtime::LoadBe32(ip + Ipv4Header::kSourceOffset))) [[unlikely]] return false;
  if (!local.IsLocal(runtime::LoadBe32(ip + Ipv4Header::kDestinationOffset))) [[unlikely]] return false;
  return !context.hooks.any(Hook::kPreRouting, Hook::kLocalIn);
}

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_PLAIN_H_
