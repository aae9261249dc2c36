// Filter: which packets pass a hook of the IP layer, by rules in the order in which they were written; the first that
// matches decides, else the hook's policy does. Hooks and matches are those of nftables, in its words. What the packet
// is stands in a FilterKey, so that a filter knows no packet formats and is a function of (key, size, now).
//
//   Filter filter;
//   filter.Add({.hook = Hook::kLocalIn, .protocol = 6, .destination_port = {{22, 22}}});
//   filter.set_policy(Hook::kLocalIn, FilterVerdict::kDrop);
//   if (filter.Match(Hook::kLocalIn, key, bytes, now_ns) == FilterVerdict::kDrop) ...
//
// A filter belongs to one shard: its limits and counters are that shard's.
#ifndef NETSTACK_IP_FILTER_H_
#define NETSTACK_IP_FILTER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "netstack/ip/netfilter.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"

namespace weir::netstack {

// As nftables writes them.
inline constexpr const char* kHookNames[kHooks] = {"prerouting", "input", "forward", "output", "postrouting"};

enum class FilterVerdict : uint8_t { kAccept, kDrop };

// What rules look at.
struct FilterKey {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;
  bool has_ports = false;  // false also for a fragment that does not carry them
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  absl::string_view in_interface;  // empty for what this host sends
};

// Both ends included.
struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
  bool Contains(uint16_t port) const { return first <= port && port <= last; }
};

// A token bucket, kept as nft_limit does: the time that is saved up, of which a packet costs 1/rate, and at most
// `burst` packets' worth. It starts full.
class FilterLimit {
 public:
  // What one shard takes in; up to it a packet's cost in whole nanoseconds is within a thousandth of right.
  static constexpr int64_t kMaxRate = 1'000'000;
  static constexpr int64_t kMaxBurst = 1'000'000;  // a second's worth at that rate

  FilterLimit(int64_t rate, int64_t burst)
      : cost_ns_(kSecond / rate), most_ns_(cost_ns_ * burst), saved_ns_(most_ns_) {}

  bool Take(Nanos now_ns) {
    // Only the time up to a full bucket counts, so the sum stays small whatever the clock's zero is.
    saved_ns_ = now_ns - last_ns_ >= most_ns_ - saved_ns_ ? most_ns_ : saved_ns_ + now_ns - last_ns_;
    last_ns_ = now_ns;
    if (saved_ns_ < cost_ns_) return false;
    saved_ns_ -= cost_ns_;
    return true;
  }

 private:
  Nanos cost_ns_;
  Nanos most_ns_;
  Nanos saved_ns_;
  Nanos last_ns_ = 0;
};

// Matches a packet that is all of what is set. `limit` is asked last, and only about packets that are; beyond it the
// rule does not match, as in nftables, and the next one is looked at.
struct FilterRule {
  Hook hook = Hook::kLocalIn;
  std::optional<uint8_t> protocol;
  std::optional<IpPrefix> source;  // 0.0.0.0/0 is all of IPv4 and no IPv6
  std::optional<IpPrefix> destination;
  std::optional<PortRange> source_port;
  std::optional<PortRange> destination_port;
  std::string in_interface;  // empty: any
  std::optional<FilterLimit> limit;
  FilterVerdict verdict = FilterVerdict::kAccept;

  std::string text;      // how it was written, for people
  uint64_t packets = 0;  // that it decided on
  uint64_t bytes = 0;
};

class Filter {
 public:
  // A packet looks at each rule of its hook, at 1 to 3 ns: as many as this cost it at most what the kernel takes to
  // hand it over. Longer lists want sets, which would be another data structure.
  static constexpr size_t kMaxRules = 256;

  // Behind the hook's other rules. False when there are kMaxRules already.
  bool Add(FilterRule rule);
  // For what no rule matches; kAccept until it is set.
  void set_policy(Hook hook, FilterVerdict verdict) { policies_[static_cast<size_t>(hook)] = verdict; }

  // The verdict on a packet of `bytes` at the IP layer; counts it on the rule that matched. Does not allocate.
  FilterVerdict Match(Hook hook, const FilterKey& key, uint32_t bytes, Nanos now_ns);

  // By hook, in order, each rule with its counters and each policy that drops, a line each. Allocates.
  std::string ToString() const;
  const std::vector<FilterRule>& rules(Hook hook) const { return rules_[static_cast<size_t>(hook)]; }
  FilterVerdict policy(Hook hook) const { return policies_[static_cast<size_t>(hook)]; }

 private:
  std::array<std::vector<FilterRule>, kHooks> rules_;
  std::array<FilterVerdict, kHooks> policies_{};
  size_t count_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_FILTER_H_
