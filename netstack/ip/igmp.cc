#include "netstack/ip/igmp.h"

#include "netstack/wire/checksum.h"
#include "netstack/wire/igmp.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

// RFC 3376 §7.1.
MulticastVersion VersionOf(const IgmpQuery& query) {
  if (query.version == 3) return MulticastVersion::kCurrent;
  return query.version == 2 ? MulticastVersion::kOlder : MulticastVersion::kOldest;
}

DropReason QueryRcv(Interface& in, std::span<const std::byte> message, Nanos now_ns) {
  IgmpQuery query;
  if (!query.Parse(message)) return DropReason::kIgmpMalformed;
  // Version 1 says nothing in its group field (RFC 1112, appendix I): its queries are general ones.
  const IpAddress group = IpAddress::V4(query.version == 1 ? 0 : query.group);
  if (!group.is_any() && !group.is_multicast()) return DropReason::kIgmpMalformed;
  in.igmp.QueryRcv({query, VersionOf(query), group}, now_ns);
  return DropReason::kConsumed;
}

}  // namespace

DropReason IgmpRcv(IpPacket& packet, Nanos now_ns) {
  const std::span<const std::byte> message = packet.frame.bytes();
  if (message.size() < IgmpMessage::kSize) return DropReason::kIgmpTruncated;
  // None is longer than one packet of a link. One that was sent farther than the next hop is from beyond the link; the
  // Router Alert option, which all should have, some switches leave out that ask in place of a router.
  // Differs from Linux: there any TTL will do.
  if (!packet.more.empty() || packet.ttl != 1) return DropReason::kIgmpMalformed;
  if (FoldSum(SumBytes(message)) != 0xffff) return DropReason::kIgmpChecksum;
  if (runtime::LoadU8(message.data()) == kIgmpQuery) return QueryRcv(packet.in, message, now_ns);
  IgmpMessage report;
  if (!report.Parse(message) || report.type == kIgmpV2Leave) return DropReason::kIgmpType;
  packet.in.igmp.ReportRcv(IpAddress::V4(report.group));
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
