// MulticastHost: the host's part of IGMPv3 (RFC 3376 §5) or of MLDv2 (RFC 3810 §6) on one interface: reports of what
// the interface's groups want, when that changes and when a router asks. The two protocols differ in their messages
// (multicast_report.h, igmp.h, mld.h) and in nothing here. Where a router of an older version asks, that one is spoken:
// IGMPv2 (RFC 2236), IGMPv1 (RFC 1112, appendix I) or MLDv1 (RFC 2710).
//
// Linux: igmp_heard_query, igmp_ifc_timer_expire, igmpv3_send_cr; igmp6_event_query, mld_ifc_work, mld_send_cr.
#ifndef NETSTACK_IP_MULTICAST_H_
#define NETSTACK_IP_MULTICAST_H_

#include <cstdint>

#include "netstack/ip/group_table.h"
#include "netstack/wire/multicast.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"
#include "runtime/base/timer_wheel.h"

namespace weir::netstack {

class Interface;

// IGMPv3 or MLDv2; IGMPv2 or MLDv1, which are alike; IGMPv1.
enum class MulticastVersion : uint8_t { kCurrent, kOlder, kOldest };

struct MulticastQuery : MulticastQueryFields {
  MulticastVersion version = MulticastVersion::kCurrent;
  IpAddress group;  // any: a general query

  Nanos max_response_ns() const { return max_response_ms * kMillisecond; }
};

class MulticastHost final : runtime::Timer {
 public:
  // `v4`: IGMP, else MLD.
  MulticastHost(Interface& interface, bool v4);
  ~MulticastHost();
  MulticastHost(const MulticastHost&) = delete;

  // The filters of `group`, of this IP version, changed: merges them, and what differs is told with the next tick, unless
  // `told` is false.
  void FilterChanged(MulticastGroup& group, bool was_joined, bool told = true);
  // The interface got its first link-local address: what was told from "::" no router believed (RFC 3590 §4).
  void ReportAgain();

  // Something is to be sent with the next tick.
  bool urgent() const { return armed() && deadline_ns() <= 0; }

  // A query whose way here is right.
  void QueryRcv(const MulticastQuery& query, Nanos now_ns);
  // Another host's report of an older version: with it there is no need for ours (RFC 2236 §3, RFC 2710 §4).
  void ReportRcv(const IpAddress& group);

 private:
  static void OnTimer(runtime::Timer& timer, Nanos now_ns);
  template <typename Fn>
  void ForEachGroup(Fn&& fn);
  Nanos Random(Nanos limit_ns);
  void FollowVersion(Nanos now_ns);
  void GroupQueryRcv(MulticastGroup& group, const MulticastQuery& query, Nanos deadline_ns);
  void Rearm();

  // In the current version, and in the older ones.
  void SendCurrent(Nanos now_ns);
  void SendOlder(Nanos now_ns);

  Interface& interface_;
  const bool v4_;
  MulticastVersion version_ = MulticastVersion::kCurrent;
  uint8_t robustness_ = 2;           // RFC 3376 §8.1
  Nanos query_interval_ns_;          // §8.2
  Nanos older_until_ns_ = 0;         // a router of that version is there (§7.2.1)
  Nanos oldest_until_ns_ = 0;
  Nanos general_ns_ = kNever;        // when a general query is answered
  Nanos change_ns_ = kNever;         // when changes are told
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_MULTICAST_H_
