#include "netstack/ip/icmp_input.h"

#include <algorithm>
#include <array>

#include "netstack/ip/icmp_error.h"
#include "netstack/ip/icmp_output.h"
#include "netstack/ip/ip_fragment.h"
#include "netstack/ip/ip_output.h"
#include "netstack/ip/mld.h"
#include "netstack/ip/ndisc.h"
#include "netstack/ip/packet_checksum.h"
#include "netstack/udp/ping.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/icmp.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv4_options.h"
#include "netstack/wire/ipv6.h"

namespace weir::netstack {
namespace {

// RFC 1122 §3.2.2.6, §3.2.2.8: a record route and a timestamp come back in the answer. This host is in them twice: as it
// was reached and as it answers, which is what Linux does (__ip_options_echo).
class AnswerOptions {
 public:
  AnswerOptions(const IpPacket& request, Nanos now_ns) {
    if (!request.is_v4() || request.header.size() == Ipv4Header::kMinSize) [[likely]] return;
    std::array<std::byte, kMaxHeader> copy;
    const std::span<std::byte> header(copy.data(), request.header.size());
    std::copy(request.header.begin(), request.header.end(), header.begin());
    const Ipv4Options options = Ipv4Options::Parse(header);
    for (bool arrival : {true, false}) {
      RecordPassage(header, options, request.destination.v4(), NonstandardTime(now_ns), /*count_overflow=*/arrival);
    }
    for (uint8_t at : {options.record_route, options.timestamp}) {
      if (at != 0) Append(header.subspan(at, std::to_integer<size_t>(header[at + 1])));
    }
    size_ = (size_ + 3) / 4 * 4;  // the rest is zero: end of the list
  }
  std::span<const std::byte> bytes() const { return {bytes_.data(), size_}; }

 private:
  static constexpr size_t kMaxHeader = 60;
  void Append(std::span<const std::byte> option) {
    std::copy(option.begin(), option.end(), bytes_.begin() + static_cast<ptrdiff_t>(size_));
    size_ += option.size();
  }
  std::array<std::byte, kMaxHeader - Ipv4Header::kMinSize> bytes_{};
  size_t size_ = 0;
};

// Sends the message back from the frame it came in, as the answer that `type` names; in fragments when it came so.
DropReason EchoReply(IpContext& context, IpPacket& packet, uint8_t type, const IpAddress& source, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  const AnswerOptions options(packet, now_ns);
  const IpFlow flow{.source = source,
                    .destination = packet.source,
                    .protocol = packet.protocol,
                    .tos = packet.tos,
                    .pmtu_discovery = PmtuDiscovery::kDont,
                    .options = options.bytes(),
                    .out = packet.source.is_link_local() ? &packet.in : nullptr};
  frame.data[0] = std::byte{type};
  if (packet.more.empty()) {
    runtime::Ref(&frame);
    return IcmpOutput(context, &frame, flow, now_ns);
  }
  const ChecksumSum pseudo =
      packet.is_v4() ? 0 : PseudoHeaderSum(flow.source, flow.destination, kProtocolIcmp6, packet.length());
  StoreChecksum(frame.data + kIcmpChecksumOffset, 0);
  StoreChecksum(frame.data + kIcmpChecksumOffset, FinishChecksum(SumPacket(packet) + pseudo));
  std::array<iovec, ReassembledPacket::kMaxFrames> pieces;
  size_t count = 0;
  for (const runtime::Frame* piece : packet.more) pieces[count++] = {piece->data, piece->len};
  return IpFragmentOutput(context, frame.bytes(), {pieces.data(), count}, flow, now_ns);
}

// RFC 4443 §4.2: a request to a group is answered from an address of the interface.
DropReason Icmp6Echo(IpContext& context, IpPacket& packet, Nanos now_ns) {
  IpAddress source = packet.destination;
  if (packet.to != IpDestination::kLocal) {
    const InterfaceAddress* address = packet.in.SelectSource(packet.source);
    if (address == nullptr) return DropReason::kNoSourceAddress;
    source = address->prefix.ip;
  }
  return EchoReply(context, packet, kIcmp6EchoReply, source, now_ns);
}

// RFC 792, RFC 1122 §3.2.2.8 (icmp_timestamp).
DropReason TimestampReply(IpContext& context, IpPacket& packet, Nanos now_ns) {
  if (packet.length() < kIcmpTimestampSize) return DropReason::kIcmpTruncated;
  if (!packet.more.empty()) return DropReason::kIcmpType;  // nothing of that size comes in fragments
  std::byte* message = packet.frame.data;
  packet.frame.Trim(kIcmpTimestampSize);
  message[1] = std::byte{0};
  runtime::StoreBe32(message + 12, NonstandardTime(now_ns));
  runtime::StoreBe32(message + 16, NonstandardTime(now_ns));
  return EchoReply(context, packet, kIcmpTimestampReply, packet.destination, now_ns);
}

}  // namespace

DropReason IcmpRcv(Inet& inet, IpPacket& packet, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  if (frame.len < kIcmpHeader) return DropReason::kIcmpTruncated;
  if (FoldSum(SumPacket(packet)) != 0xffff) return DropReason::kIcmpChecksum;
  const uint8_t type = runtime::LoadU8(frame.data);
  if (type == kIcmpEchoReply && packet.to == IpDestination::kLocal) return PingRcv(inet.ping, packet, now_ns);
  if (type != kIcmpEchoRequest && type != kIcmpTimestamp) return IcmpErrorRcv(inet, packet, now_ns);
  // RFC 1122 §3.2.2.6, §3.2.2.8: a request to a broadcast or multicast address may be discarded, and is (smurf).
  if (packet.to != IpDestination::kLocal || packet.link_multicast) return DropReason::kIcmpBroadcast;
  if (type == kIcmpTimestamp) return TimestampReply(inet.ip, packet, now_ns);
  return EchoReply(inet.ip, packet, kIcmpEchoReply, packet.destination, now_ns);
}

DropReason Icmp6Rcv(Inet& inet, IpPacket& packet, Nanos now_ns) {
  runtime::Frame& frame = packet.frame;
  if (frame.len < kIcmpHeader) return DropReason::kIcmpTruncated;
  if (!TransportChecksumOk(packet, kIcmpChecksumOffset)) return DropReason::kIcmpChecksum;
  switch (runtime::LoadU8(frame.data)) {
    case kIcmp6EchoRequest:
      return Icmp6Echo(inet.ip, packet, now_ns);
    case kIcmp6EchoReply:
      if (packet.to != IpDestination::kLocal) return DropReason::kIcmpType;
      return PingRcv(inet.ping, packet, now_ns);
    case kIcmp6RouterSolicitation:
    case kIcmp6RouterAdvertisement:
    case kIcmp6NeighborSolicitation:
    case kIcmp6NeighborAdvertisement:
    case kIcmp6Redirect:
      return NdpRcv(packet, now_ns);
    case kIcmp6MldQuery:
    case kIcmp6MldV1Report:
      return MldRcv(packet, now_ns);
    default:
      return IcmpErrorRcv(inet, packet, now_ns);
  }
}

}  // namespace weir::netstack
