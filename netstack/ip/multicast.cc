#include "netstack/ip/multicast.h"

#include <algorithm>

#include "netstack/ip/ip_context.h"
#include "netstack/ip/multicast_report.h"

namespace weir::netstack {
namespace {

using Type = MulticastRecordType;

constexpr Nanos kQueryInterval = 125 * kSecond;            // RFC 3376 §8.2, RFC 3810 §9.2
constexpr Nanos kUnsolicitedInterval = kSecond;            // RFC 3376 §8.11, RFC 3810 §9.11
constexpr Nanos kOlderUnsolicitedInterval = 10 * kSecond;  // RFC 2236 §8.10, RFC 2710 §7.10
constexpr Nanos kAtOnce = 0;

// Sources of a group, as many as it can have.
class SourceList {
 public:
  void Add(const IpAddress& ip) { list_[count_++] = ip; }
  bool empty() const { return count_ == 0; }
  operator std::span<const IpAddress>() const { return {list_.data(), count_}; }

 private:
  std::array<IpAddress, 2 * MulticastGroup::kMaxSources> list_;
  size_t count_ = 0;
};

void AddWholeState(MulticastReport& report, Type type, const MulticastGroup& group) {
  SourceList list;
  for (const MulticastGroup::Source& source : group.sources) {
    if (source.listed) list.Add(source.ip);
  }
  report.Add(type, group.group, list);
}

// RFC 3376 §5.2, the record that answers a query for the group, or for some sources of it: those that are wanted.
void AddCurrentState(MulticastReport& report, const MulticastGroup& group, size_t queried) {
  if (queried == 0) return AddWholeState(report, group.exclude ? Type::kModeIsExclude : Type::kModeIsInclude, group);
  SourceList wanted;
  for (const IpAddress& ip : std::span(group.queried.data(), queried)) {
    const bool listed = std::ranges::any_of(group.sources, [&](const auto& s) { return s.listed && s.ip == ip; });
    if (listed != group.exclude) wanted.Add(ip);
  }
  if (!wanted.empty()) report.Add(Type::kModeIsInclude, group.group, wanted);
}

// RFC 3376 §5.1: what is still to be said of changes, once.
void AddChange(MulticastReport& report, MulticastGroup& group) {
  SourceList allow, block;
  for (MulticastGroup::Source& source : group.sources) {
    if (source.to_send == 0) continue;
    (source.listed != group.exclude ? allow : block).Add(source.ip);
    --source.to_send;
  }
  if (group.mode_to_send > 0) {  // then the list is told whole
    --group.mode_to_send;
    AddWholeState(report, group.exclude ? Type::kChangeToExcludeMode : Type::kChangeToIncludeMode, group);
  } else {
    if (!allow.empty()) report.Add(Type::kAllowNewSources, group.group, allow);
    if (!block.empty()) report.Add(Type::kBlockOldSources, group.group, block);
  }
  std::erase_if(group.sources, [](const auto& s) { return !s.listed && s.to_send == 0; });
}

bool HasChanges(const MulticastGroup& group) {
  return group.mode_to_send > 0 || std::ranges::any_of(group.sources, [](const auto& s) { return s.to_send > 0; });
}

// RFC 3376 §5, RFC 3810 §6: nothing is said of all-systems and all-nodes, nor of groups that do not leave the host.
bool IsReported(const IpAddress& group) {
  return group.is_v4() ? group != kAllHosts : group != kAllNodes && (group.bytes()[1] & 0xf) > 1;
}

}  // namespace

MulticastHost::MulticastHost(Interface& interface, bool v4)
    : Timer(&OnTimer), interface_(interface), v4_(v4), query_interval_ns_(kQueryInterval) {}

MulticastHost::~MulticastHost() { interface_.context.timers.Cancel(*this); }

// Calls fn(group) on each that this protocol speaks of.
template <typename Fn>
void MulticastHost::ForEachGroup(Fn&& fn) {
  for (MulticastGroup& group : interface_.groups.groups()) {
    if (group.in_use() && group.group.is_v4() == v4_ && IsReported(group.group)) fn(group);
  }
}

// 0 < result <= limit_ns.
Nanos MulticastHost::Random(Nanos limit_ns) {
  if (limit_ns <= 0) return kAtOnce;
  return 1 + static_cast<Nanos>(interface_.context.Draw() % static_cast<uint64_t>(limit_ns));
}

void MulticastHost::FilterChanged(MulticastGroup& group, bool was_joined, bool told) {
  const bool reported = told && IsReported(group.group);
  const bool current = reported && version_ == MulticastVersion::kCurrent;
  if (!GroupTable::Merge(group, current ? robustness_ : uint8_t{0})) return;
  if (current) {
    change_ns_ = kAtOnce;
  } else {
    // The older versions know joining and leaving only (RFC 2236 §3, RFC 2710 §4).
    if (!reported || group.joined() == was_joined) return;
    group.unsolicited = group.joined() ? robustness_ : uint8_t{0};
    group.response_ns = kAtOnce;
  }
  Rearm();
}

void MulticastHost::ReportAgain() {
  if (version_ != MulticastVersion::kCurrent) return;
  ForEachGroup([&](MulticastGroup& group) {
    group.mode_to_send = robustness_;
    change_ns_ = kAtOnce;
  });
  Rearm();
}

void MulticastHost::QueryRcv(const MulticastQuery& query, Nanos now_ns) {
  if (query.version == MulticastVersion::kCurrent) {
    if (query.robustness != 0) robustness_ = query.robustness;
    if (query.query_interval_s != 0) query_interval_ns_ = query.query_interval_s * kSecond;
  } else {
    // RFC 3376 §7.2.1, §8.12; RFC 3810 §8.2.1, §9.12.
    Nanos& until_ns = query.version == MulticastVersion::kOlder ? older_until_ns_ : oldest_until_ns_;
    until_ns = now_ns + robustness_ * query_interval_ns_ + query.max_response_ns();
  }
  FollowVersion(now_ns);
  const Nanos deadline_ns = now_ns + Random(query.max_response_ns());
  if (version_ != MulticastVersion::kCurrent) {
    // RFC 2236 §3: a timer that runs is set anew when it has longer to run than the query allows.
    ForEachGroup([&](MulticastGroup& group) {
      if (!query.group.is_any() && query.group != group.group) return;
      if (group.joined() && group.response_ns > now_ns + query.max_response_ns()) group.response_ns = deadline_ns;
    });
  } else if (general_ns_ > deadline_ns) {  // §5.2 rule 1: else the answer to a general query is an answer to this one
    if (query.group.is_any()) {
      general_ns_ = deadline_ns;  // rule 2
    } else if (MulticastGroup* group = interface_.groups.Find(query.group); group != nullptr) {
      if (group->joined() && IsReported(query.group)) GroupQueryRcv(*group, query, deadline_ns);
    }
  }
  Rearm();
}

// RFC 3376 §5.2, rules 3 to 5.
void MulticastHost::GroupQueryRcv(MulticastGroup& group, const MulticastQuery& query, Nanos deadline_ns) {
  const bool pending = group.response_ns != kNever;
  if (query.sources.empty() || (pending && group.queried_count == 0)) {
    group.queried_count = 0;
  } else {
    for (size_t i = 0; i < query.sources.size(); ++i) {
      const IpAddress ip = query.sources[i];
      const std::span<const IpAddress> known(group.queried.data(), group.queried_count);
      if (std::ranges::find(known, ip) != known.end()) continue;
      if (known.size() == MulticastGroup::kMaxQueried) {
        group.queried_count = 0;  // the whole state says more than was asked for
        break;
      }
      group.queried[group.queried_count++] = ip;
    }
  }
  group.response_ns = std::min(group.response_ns, deadline_ns);
}

void MulticastHost::ReportRcv(const IpAddress& ip) {
  MulticastGroup* group = interface_.groups.Find(ip);
  if (version_ == MulticastVersion::kCurrent || group == nullptr || !group->joined()) return;
  group->response_ns = kNever;
  group->unsolicited = 0;
  group->last_reporter = false;
}

// RFC 3376 §7.2.1, RFC 3810 §8.2.1: the version of the oldest querier that is there; with another one everything that
// was to be sent is void.
void MulticastHost::FollowVersion(Nanos now_ns) {
  const MulticastVersion version = now_ns < oldest_until_ns_  ? MulticastVersion::kOldest
                                   : now_ns < older_until_ns_ ? MulticastVersion::kOlder
                                                              : MulticastVersion::kCurrent;
  if (version == version_) return;
  version_ = version;
  general_ns_ = change_ns_ = kNever;
  ForEachGroup([](MulticastGroup& group) {
    group.ClearPending();
    group.last_reporter = false;
  });
}

void MulticastHost::OnTimer(runtime::Timer& timer, Nanos now_ns) {
  auto& self = static_cast<MulticastHost&>(timer);
  self.FollowVersion(now_ns);
  if (self.version_ == MulticastVersion::kCurrent) {
    self.SendCurrent(now_ns);
  } else {
    self.SendOlder(now_ns);
  }
  self.Rearm();
}

void MulticastHost::SendCurrent(Nanos now_ns) {
  MulticastReport report(interface_, v4_, now_ns);
  const bool general = general_ns_ <= now_ns;
  if (general) general_ns_ = kNever;
  ForEachGroup([&](MulticastGroup& group) {
    const bool asked = group.response_ns <= now_ns;
    if (group.joined() && general) AddCurrentState(report, group, 0);
    if (group.joined() && asked && !general) AddCurrentState(report, group, group.queried_count);
    if (!asked) return;
    group.response_ns = kNever;
    group.queried_count = 0;
  });
  if (change_ns_ > now_ns) return;
  change_ns_ = kNever;
  ForEachGroup([&](MulticastGroup& group) {
    if (HasChanges(group)) AddChange(report, group);
    if (HasChanges(group)) change_ns_ = now_ns;
  });
  if (change_ns_ != kNever) change_ns_ += Random(kUnsolicitedInterval);
}

void MulticastHost::SendOlder(Nanos now_ns) {
  ForEachGroup([&](MulticastGroup& group) {
    if (group.response_ns > now_ns) return;
    group.response_ns = kNever;
    if (group.joined()) {
      SendOlderReport(interface_, group.group, version_, now_ns);
      group.last_reporter = true;
      if (group.unsolicited > 0 && --group.unsolicited > 0) {
        group.response_ns = now_ns + Random(kOlderUnsolicitedInterval);
      }
    } else if (group.last_reporter && version_ == MulticastVersion::kOlder) {
      SendOlderLeave(interface_, group.group, now_ns);
    }
  });
}

void MulticastHost::Rearm() {
  Nanos deadline_ns = std::min(general_ns_, change_ns_);
  ForEachGroup([&](const MulticastGroup& group) { deadline_ns = std::min(deadline_ns, group.response_ns); });
  if (deadline_ns == kNever) {
    interface_.context.timers.Cancel(*this);
  } else {
    interface_.context.timers.Arm(*this, deadline_ns);
  }
}

}  // namespace weir::netstack
