#include "netstack/ip/mld.h"

#include "netstack/wire/icmp6.h"
#include "netstack/wire/mld.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

DropReason QueryRcv(Interface& in, std::span<const std::byte> message, Nanos now_ns) {
  MldQuery query;
  if (!query.Parse(message) || (!query.group.is_any() && !query.group.is_multicast())) return DropReason::kMldMalformed;
  const MulticastVersion version = query.version == 2 ? MulticastVersion::kCurrent : MulticastVersion::kOlder;
  in.mld.QueryRcv({query, version, query.group}, now_ns);
  return DropReason::kConsumed;
}

}  // namespace

DropReason MldRcv(IpPacket& packet, Nanos now_ns) {
  const std::span<const std::byte> message = packet.frame.bytes();
  // RFC 3810 §6.2, §7.4: from a neighbour, and no farther. None is longer than one packet of a link.
  const bool link_local = !packet.source.is_v4() && packet.source.is_link_local();
  if (!packet.more.empty() || packet.ttl != 1 || !packet.router_alert || !link_local) return DropReason::kMldMalformed;
  if (runtime::LoadU8(message.data()) == kIcmp6MldQuery) return QueryRcv(packet.in, message, now_ns);
  MldV1Message report;
  if (!report.Parse(message) || report.type != kIcmp6MldV1Report) return DropReason::kIcmpType;
  packet.in.mld.ReportRcv(report.group);
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
