#include "netstack/ip/multicast_report.h"

#include <algorithm>
#include <utility>

#include "netstack/ip/icmp_output.h"
#include "netstack/ip/ip_output.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/igmp.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/mld.h"

namespace weir::netstack {
namespace {

constexpr IpAddress kIgmpv3Routers = IpAddress::V4(0xe0000016);  // RFC 3376 §4.2.14
constexpr IpAddress kAllRouters4 = IpAddress::V4(0xe0000002);
constexpr IpAddress kMldv2Routers =  // RFC 3810 §5.2.14
    IpAddress::V6({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16});
constexpr IpAddress kAllRouters6 = IpAddress::V6({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2});

constexpr uint32_t kRouterAlert = 8;  // of IPv6; IPv4 takes half of it

// RFC 3376 §4.2.13: 0.0.0.0 before there is an address; RFC 3810 §5.2.13: "::" before there is a link-local one.
IpAddress SourceOf(const Interface& out, bool v4) {
  const InterfaceAddress* address = v4 ? out.FirstAddress(true) : out.LinkLocal();
  if (address != nullptr) return address->prefix.ip;
  return v4 ? IpAddress::V4(0) : IpAddress();
}

// The checksum of IGMP lies where ICMP's does.
static_assert(kIgmpChecksumOffset == 2);

void Output(Interface& out, runtime::Frame* frame, const IpAddress& destination, Nanos now_ns) {
  const bool v4 = destination.is_v4();
  out.context.CountFailure(IcmpOutput(out.context, frame,
                                      {.source = SourceOf(out, v4),
                                       .destination = destination,
                                       .protocol = v4 ? kProtocolIgmp : kProtocolIcmp6,
                                       .tos = v4 ? uint8_t{0xc0} : uint8_t{0},  // RFC 3376 §4: internetwork control
                                       .ttl = 1,
                                       .router_alert = true,
                                       .out = &out},
                                      now_ns));
}

void SendOlder(Interface& out, uint8_t type, const IpAddress& group, const IpAddress& destination, Nanos now_ns) {
  runtime::Frame* frame = out.context.pool.Alloc();
  if (frame == nullptr) return out.context.outcomes.Count(DropReason::kTxNoFrame);
  if (group.is_v4()) {
    frame->len = IgmpMessage::kSize;
    IgmpMessage{.type = type, .group = group.v4()}.Emit(frame->data);
  } else {
    frame->len = MldV1Message::kSize;
    MldV1Message{.type = type, .group = group}.Emit(frame->data);
  }
  Output(out, frame, destination, now_ns);
}

}  // namespace

void MulticastReport::Add(MulticastRecordType type, const IpAddress& group, std::span<const IpAddress> sources) {
  const bool all_but = type == MulticastRecordType::kModeIsExclude || type == MulticastRecordType::kChangeToExcludeMode;
  do {
    if (!Open()) return;
    const std::optional<size_t> added = writer_->Add(type, group, sources);
    if (!added.has_value()) {
      if (writer_->empty()) return;  // an MTU that no record fits
      Send();
      continue;
    }
    // RFC 3376 §4.2.16: of a list that does not fit, an EXCLUDE record leaves the rest out.
    if (all_but) return;
    sources = sources.subspan(*added);
    if (!sources.empty()) Send();
  } while (frame_ == nullptr);
}

bool MulticastReport::Open() {
  if (frame_ != nullptr) return true;
  frame_ = out_.context.pool.Alloc();
  if (frame_ == nullptr) {
    out_.context.outcomes.Count(DropReason::kTxNoFrame);
    return false;
  }
  const uint32_t headers = (v4_ ? Ipv4Header::kMinSize : Ipv6Header::kSize) + kRouterAlert;
  const uint32_t mtu = std::max<uint32_t>(out_.mtu(v4_), headers + MulticastReportWriter::kHeader);
  const uint32_t room = std::min(frame_->tailroom(), mtu - headers);
  writer_.emplace(std::span(frame_->data, room), v4_ ? kIgmpV3Report : kIcmp6MldV2Report, v4_ ? 4 : 16);
  return true;
}

void MulticastReport::Send() {
  if (frame_ == nullptr) return;
  runtime::Frame* frame = std::exchange(frame_, nullptr);
  if (writer_->empty()) return runtime::Unref(frame);
  frame->len = static_cast<uint32_t>(writer_->Finish());
  Output(out_, frame, v4_ ? kIgmpv3Routers : kMldv2Routers, now_ns_);
}

void SendOlderReport(Interface& out, const IpAddress& group, MulticastVersion version, Nanos now_ns) {
  const uint8_t type = !group.is_v4()                         ? kIcmp6MldV1Report
                       : version == MulticastVersion::kOldest ? kIgmpV1Report
                                                              : kIgmpV2Report;
  SendOlder(out, type, group, group, now_ns);
}

void SendOlderLeave(Interface& out, const IpAddress& group, Nanos now_ns) {
  const bool v4 = group.is_v4();
  SendOlder(out, v4 ? kIgmpV2Leave : kIcmp6MldV1Done, group, v4 ? kAllRouters4 : kAllRouters6, now_ns);
}

}  // namespace weir::netstack
