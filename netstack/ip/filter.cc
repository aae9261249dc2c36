#include "netstack/ip/filter.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace weir::netstack {
namespace {

bool Matches(const FilterRule& rule, const FilterKey& key) {
  if (rule.protocol.has_value() && *rule.protocol != key.protocol) return false;
  if (rule.destination_port.has_value() && !(key.has_ports && rule.destination_port->Contains(key.destination_port))) {
    return false;
  }
  if (rule.source_port.has_value() && !(key.has_ports && rule.source_port->Contains(key.source_port))) return false;
  if (rule.source.has_value() && !rule.source->Contains(key.source)) return false;
  if (rule.destination.has_value() && !rule.destination->Contains(key.destination)) return false;
  return rule.in_interface.empty() || rule.in_interface == key.in_interface;
}

}  // namespace

bool Filter::Add(FilterRule rule) {
  if (count_ == kMaxRules) return false;
  ++count_;
  rules_[static_cast<size_t>(rule.hook)].push_back(std::move(rule));
  return true;
}

FilterVerdict Filter::Match(Hook hook, const FilterKey& key, uint32_t bytes, Nanos now_ns) {
  for (FilterRule& rule : rules_[static_cast<size_t>(hook)]) {
    if (!Matches(rule, key) || (rule.limit.has_value() && !rule.limit->Take(now_ns))) continue;
    ++rule.packets;
    rule.bytes += bytes;
    return rule.verdict;
  }
  return policy(hook);
}

std::string Filter::ToString() const {
  std::string text;
  for (size_t hook = 0; hook < kHooks; ++hook) {
    for (const FilterRule& rule : rules_[hook]) {
      absl::StrAppend(&text, rule.text, "  packets ", rule.packets, " bytes ", rule.bytes, "\n");
    }
    if (policies_[hook] == FilterVerdict::kDrop) absl::StrAppend(&text, "policy ", kHookNames[hook], " drop\n");
  }
  return text;
}

}  // namespace weir::netstack
