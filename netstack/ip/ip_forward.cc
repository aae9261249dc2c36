#include "netstack/ip/ip_forward.h"

#include "netstack/ip/icmp_output.h"
#include "netstack/ip/ip_fragment.h"
#include "netstack/ip/ip_output.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv4_options.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/ipv6_extensions.h"
#include "netstack/wire/tcp.h"
#include "netstack/wire/udp.h"

namespace weir::netstack {
namespace {

// RFC 1812 §5.3.1. One less in the TTL's byte is one more in the checksum's (RFC 1624 §3).
void DecrementTtl(std::byte* header, bool v4) {
  if (!v4) {
    header[7] = std::byte(runtime::LoadU8(header + 7) - 1);
    return;
  }
  header[8] = std::byte(runtime::LoadU8(header + 8) - 1);
  const uint32_t sum = uint32_t{runtime::LoadBe16(header + 10)} + 0x100;
  runtime::StoreBe16(header + 10, static_cast<uint16_t>(sum + (sum >= 0xffff ? 1 : 0)));
}

// RFC 1812 §5.3.7, RFC 4291 §2.5.6, §2.7: what must not leave its link.
bool MayForward(const IpPacket& packet) {
  return !packet.link_multicast && !packet.destination.is_multicast() && !packet.source.is_any() &&
         !packet.source.is_link_local() && !packet.destination.is_link_local();
}

// On such devices (veth, tap, virtio) the sender may have left the transport's checksum to an offload, which no frame of
// ours gets on its way out. Fragments never are such: the sender finished the checksum before it cut.
void CompleteChecksum(IpPacket& packet) {
  runtime::Frame& frame = packet.frame;
  uint8_t protocol = packet.protocol;
  uint32_t skip = 0;
  if (packet.is_v4()) {
    constexpr uint16_t kFragment = Ipv4Header::kMoreFragments | Ipv4Header::kOffsetMask;
    if ((runtime::LoadBe16(packet.header.data() + 6) & kFragment) != 0) return;
  } else {
    const Ipv6ExtensionResult found = WalkIpv6Extensions(frame.bytes(), protocol);
    if (found.outcome != Ipv6ExtensionResult::Outcome::kUpperLayer) return;
    protocol = found.protocol;
    skip = found.offset;
  }
  const bool tcp = protocol == kProtocolTcp;
  const size_t smallest = tcp ? TcpHeader::kMinSize : UdpHeader::kSize;
  if ((!tcp && protocol != kProtocolUdp) || frame.len < skip + smallest) return;
  const std::span<std::byte> segment = frame.bytes().subspan(skip);
  ChecksumSum behind = 0;
  for (const runtime::Frame* piece : packet.more) behind += SumBytes(piece->bytes());
  CompletePartialChecksum(segment, tcp ? TcpHeader::kChecksumOffset : UdpHeader::kChecksumOffset,
                          PseudoHeaderSum(packet.source, packet.destination, protocol, packet.length() - skip), behind);
}

// RFC 1812 §5.2.4.1, §4.2.2.2: the address that the next hop sees goes into a record route, with the time into a timestamp
// (ip_forward_options). `frame` begins at its header.
void ForwardOptions(runtime::Frame& frame, uint32_t header_size, const NextHop& hop, Nanos now_ns) {
  const std::span<std::byte> header = frame.bytes().first(header_size);
  const InterfaceAddress* address = hop.out->SelectSource(hop.ip);
  if (address == nullptr) return;
  RecordPassage(header, Ipv4Options::Parse(header), address->prefix.ip.v4(), NonstandardTime(now_ns));
  UpdateIpv4Checksum(header);
}

}  // namespace

DropReason IpForward(IpContext& context, IpPacket& packet, Nanos now_ns) {
  if (!MayForward(packet)) return DropReason::kIpNotForwardable;
  if (packet.ttl <= 1) {
    IcmpSend(context, packet, IcmpError::kTtlExceeded, 0, now_ns);
    return DropReason::kIpTtlExceeded;
  }
  const NextHop hop = RouteLookup(context, packet.destination);
  if (hop.out == nullptr) {
    IcmpSend(context, packet, IcmpError::kNoRoute, 0, now_ns);
    return DropReason::kNoRoute;
  }
  if (packet.in.device.partial_checksums()) CompleteChecksum(packet);
  runtime::Frame& frame = packet.frame;
  const auto header_size = static_cast<uint32_t>(packet.header.size());
  const bool v4 = packet.is_v4();
  const uint32_t mtu = hop.out->mtu(v4);
  const bool may_cut = v4 && (runtime::LoadBe16(packet.header.data() + 6) & Ipv4Header::kDontFragment) == 0;
  const uint32_t length = packet.length() + header_size;
  if (length > mtu && !may_cut) {
    IcmpSend(context, packet, IcmpError::kTooBig, mtu, now_ns);
    return DropReason::kTxTooBig;
  }
  // A packet goes out the way it came in when its source takes us for the way there: it is sent on all the same (the
  // redirect that RFC 1812 §5.2.7.2 allows is never sent, so that routers that point at each other cannot be fooled).
  DecrementTtl(frame.Push(header_size), v4);
  if (v4 && header_size > Ipv4Header::kMinSize) [[unlikely]] ForwardOptions(frame, header_size, hop, now_ns);
  if (context.hooks.any(Hook::kForward)) [[unlikely]] {
    const DropReason verdict =
        context.hooks.Run(Hook::kForward, {.frame = frame, .in = &packet.in, .out = hop.out, .now_ns = now_ns});
    if (verdict != DropReason::kConsumed) return verdict;
  }
  ++context.forwarded;
  if (length > mtu) {  // RFC 1812 §5.2.6
    return IpFragmentForward(*hop.out, frame, header_size, hop.ip, now_ns, packet.more);
  }
  runtime::Ref(&frame);
  for (runtime::Frame* piece : packet.more) runtime::Ref(piece);
  return IpFinishOutput(*hop.out, &frame, hop.ip, now_ns, packet.more);
}

}  // namespace weir::netstack
