#include "netstack/ip/icmp_output.h"

#include <algorithm>
#include <cstring>

#include "netstack/ip/ip_output.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/icmp.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"

namespace weir::netstack {
namespace {

struct TypeAndCode {
  uint8_t type, code;
};

// In the order of IcmpError.
constexpr TypeAndCode kV4[] = {
    {kIcmpUnreachable, kIcmpCodeNetUnreachable},
    {kIcmpUnreachable, kIcmpCodeHostUnreachable},
    {kIcmpUnreachable, kIcmpCodeAdministrativelyProhibited},
    {kIcmpUnreachable, kIcmpCodeProtocolUnreachable},
    {kIcmpUnreachable, kIcmpCodePortUnreachable},
    {kIcmpUnreachable, kIcmpCodeFragmentationNeeded},
    {kIcmpTimeExceeded, kIcmpCodeTtlExceeded},
    {kIcmpTimeExceeded, kIcmpCodeReassemblyTimeExceeded},
    {kIcmpParameterProblem, 0},
    {kIcmpParameterProblem, 0},
    {kIcmpParameterProblem, 0},
};
constexpr TypeAndCode kV6[] = {
    {kIcmp6Unreachable, kIcmp6CodeNoRoute},
    {kIcmp6Unreachable, kIcmp6CodeAddressUnreachable},
    {kIcmp6Unreachable, kIcmp6CodeAdministrativelyProhibited},
    {kIcmp6ParameterProblem, kIcmp6CodeNextHeader},
    {kIcmp6Unreachable, kIcmp6CodePortUnreachable},
    {kIcmp6PacketTooBig, 0},
    {kIcmp6TimeExceeded, kIcmp6CodeHopLimitExceeded},
    {kIcmp6TimeExceeded, kIcmp6CodeReassemblyTimeExceeded},
    {kIcmp6ParameterProblem, kIcmp6CodeField},
    {kIcmp6ParameterProblem, kIcmp6CodeOption},
    {kIcmp6ParameterProblem, kIcmp6CodeIncompleteHeaderChain},
};

// RFC 1122 §3.2.2, RFC 4443 §2.4(e.1, e.2): nothing is said about an error.
bool IsIcmpError(const IpPacket& packet) {
  if (packet.protocol != (packet.is_v4() ? kProtocolIcmp : kProtocolIcmp6)) return false;
  if (packet.frame.len < 1) return true;
  const uint8_t type = runtime::LoadU8(packet.frame.data);
  if (!packet.is_v4()) return type < kIcmp6FirstInformational || type == kIcmp6Redirect;
  return type == kIcmpUnreachable || type == kIcmpRedirect || type == kIcmpTimeExceeded ||
         type == kIcmpParameterProblem;
}

// RFC 1122 §3.2.2: nor about a fragment other than the first, which names no transport.
bool IsLaterFragment(const IpPacket& packet) {
  return packet.is_v4() && (runtime::LoadBe16(packet.header.data() + 6) & Ipv4Header::kOffsetMask) != 0;
}

bool MayAnswer(const IpPacket& about, IcmpError error) {
  if (IsIcmpError(about) || IsLaterFragment(about) || about.source.is_any() || about.source.is_multicast() ||
      about.in.IsBroadcast(about.source)) {
    return false;
  }
  // RFC 4443 §2.4(e.3): path MTU discovery works for multicast too, and unknown options may ask for an answer.
  const bool to_groups_too = !about.is_v4() && (error == IcmpError::kTooBig || error == IcmpError::kBadOption);
  const bool to_one = (about.to == IpDestination::kLocal || about.to == IpDestination::kOther) && !about.link_multicast;
  return to_one || to_groups_too;
}

// RFC 1812 §4.3.2.4, RFC 4443 §2.2: from the address that the packet was sent to, else from the interface it came in on.
bool SourceOf(const IpPacket& about, IpAddress* source) {
  if (about.to == IpDestination::kLocal) {
    *source = about.destination;
    return true;
  }
  const InterfaceAddress* address = about.in.SelectSource(about.source);
  if (address == nullptr) return false;
  *source = address->prefix.ip;
  return true;
}

// Type, code and the quoted packet: as much as fits into 576 bytes (RFC 1812 §4.3.2.3) or 1280 (RFC 4443 §2.4(c)).
void Fill(runtime::Frame& frame, const IpPacket& about, TypeAndCode what, uint32_t info) {
  const size_t limit = about.is_v4() ? 576 - Ipv4Header::kMinSize : 1280 - Ipv6Header::kSize;
  const size_t header = std::min(about.header.size(), limit - kIcmpHeader);
  const size_t payload = std::min<size_t>(about.frame.len, limit - kIcmpHeader - header);
  frame.len = static_cast<uint32_t>(kIcmpHeader + header + payload);
  frame.data[0] = std::byte{what.type};
  frame.data[1] = std::byte{what.code};
  // RFC 792: the pointer of IPv4 is one byte.
  const bool pointer_byte = about.is_v4() && what.type == kIcmpParameterProblem;
  runtime::StoreBe32(frame.data + 4, pointer_byte ? info << 24 : info);
  std::memcpy(frame.data + kIcmpHeader, about.header.data(), header);
  std::memcpy(frame.data + kIcmpHeader + header, about.frame.data, payload);
}

}  // namespace

void IcmpSend(IpContext& context, const IpPacket& about, IcmpError error, uint32_t info, Nanos now_ns) {
  // Fragments come to all shards, and so each of them gives up what is incomplete.
  const bool others_too = error == IcmpError::kReassemblyTime;
  if (context.peers != nullptr && (context.peers->silent() || (others_too && !context.speaks()))) return;
  IpAddress source;
  if (!MayAnswer(about, error) || !SourceOf(about, &source)) return;
  if (!context.icmp_limit.Take(now_ns)) {
    context.outcomes.Count(DropReason::kIcmpRateLimited);
    return;
  }
  runtime::Frame* frame = context.pool.Alloc();
  if (frame == nullptr) {
    context.outcomes.Count(DropReason::kTxNoFrame);
    return;
  }
  const bool v4 = about.is_v4();
  const bool has_info = error == IcmpError::kTooBig || error == IcmpError::kBadHeader || error == IcmpError::kBadOption ||
                        (error == IcmpError::kProtocolUnreachable && !v4);
  Fill(*frame, about, (v4 ? kV4 : kV6)[static_cast<size_t>(error)], has_info ? info : 0);
  // RFC 1812 §4.3.2.5: precedence 6, internetwork control; the type of service is that of the packet (RFC 1122 §3.2.2).
  constexpr uint8_t kInternetworkControl = 0xc0, kTypeOfService = 0x1e;
  context.CountFailure(IcmpOutput(context, frame,
                                  {.source = source,
                                   .destination = about.source,
                                   .protocol = v4 ? kProtocolIcmp : kProtocolIcmp6,
                                   .tos = v4 ? static_cast<uint8_t>((about.tos & kTypeOfService) | kInternetworkControl)
                                             : uint8_t{0},
                                   .pmtu_discovery = PmtuDiscovery::kDont,
                                   .out = about.source.is_link_local() ? &about.in : nullptr},
                                  now_ns));
}

DropReason IcmpOutput(IpContext& context, runtime::Frame* frame, const IpFlow& flow, Nanos now_ns) {
  const ChecksumSum pseudo =
      flow.destination.is_v4() ? 0 : PseudoHeaderSum(flow.source, flow.destination, kProtocolIcmp6, frame->len);
  StoreChecksum(frame->data + kIcmpChecksumOffset, 0);
  StoreChecksum(frame->data + kIcmpChecksumOffset, FinishChecksum(SumBytes(frame->bytes()) + pseudo));
  return IpOutput(context, frame, flow, now_ns);
}

}  // namespace weir::netstack
