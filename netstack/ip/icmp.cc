#include "netstack/ip/icmp.h"

#include <algorithm>
#include <cstring>

#include "netstack/ip/ip_output.h"
#include "netstack/wire/icmp.h"
#include "netstack/wire/ipv4.h"

namespace weir::netstack {
namespace {

void StoreIcmpChecksum(runtime::Frame& frame) {
  StoreChecksum(frame.data + kIcmpChecksumOffset, 0);
  StoreChecksum(frame.data + kIcmpChecksumOffset, FinishChecksum(SumBytes(frame.bytes())));
}

}  // namespace

DropReason IcmpRcv(IpContext& context, IpPacket& packet, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  if (frame.len < kIcmpHeader) return DropReason::kIcmpTruncated;
  if (FoldSum(SumBytes(frame.bytes())) != 0xffff) return DropReason::kIcmpChecksum;
  if (runtime::LoadU8(frame.data) != kIcmpEchoRequest || runtime::LoadU8(frame.data + 1) != 0) {
    return DropReason::kIcmpType;
  }
  // RFC 1122 §3.2.2.6: an echo request to a broadcast or multicast address may be discarded, and is (smurf).
  if (!context.IsLocal(packet.destination)) return DropReason::kIcmpBroadcast;
  frame.data[0] = std::byte{kIcmpEchoReply};
  StoreIcmpChecksum(frame);
  runtime::Ref(&frame);
  return IpOutput(context, &frame,
                  {.source = packet.destination,
                   .destination = packet.source,
                   .protocol = kProtocolIcmp,
                   .tos = packet.tos},
                  now_ns);
}

void IcmpSendUnreachable(IpContext& context, const IpPacket& about, uint8_t code, Nanos now_ns) {
  if (!context.IsLocal(about.destination) || about.link_multicast) return;
  if (!context.icmp_limit.Take(now_ns)) {
    context.outcomes.Count(DropReason::kIcmpRateLimited);
    return;
  }
  runtime::Frame* frame = context.pool.Alloc();
  if (frame == nullptr) {
    context.outcomes.Count(DropReason::kTxNoFrame);
    return;
  }
  // RFC 1812 §4.3.2.3: as much of the packet as fits into 576 bytes.
  constexpr size_t kQuote = 576 - Ipv4Header::kMinSize - kIcmpHeader;
  const size_t header = about.header.size();
  const size_t payload = std::min<size_t>(about.frame.len, kQuote - header);
  frame->len = static_cast<uint32_t>(kIcmpHeader + header + payload);
  std::memset(frame->data, 0, kIcmpHeader);
  frame->data[0] = std::byte{kIcmpUnreachable};
  frame->data[1] = std::byte{code};
  std::memcpy(frame->data + kIcmpHeader, about.header.data(), header);
  std::memcpy(frame->data + kIcmpHeader + header, about.frame.data, payload);
  StoreIcmpChecksum(*frame);
  context.CountFailure(IpOutput(
      context, frame,
      {.source = about.destination, .destination = about.source, .protocol = kProtocolIcmp, .tos = 0xc0}, now_ns));
}

}  // namespace weir::netstack
