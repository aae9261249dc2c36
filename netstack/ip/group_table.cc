#include "netstack/ip/group_table.h"

#include <algorithm>

namespace weir::netstack {
namespace {

bool Has(std::span<const IpAddress> list, const IpAddress& ip) { return std::ranges::find(list, ip) != list.end(); }

// RFC 3376 §3.2: with any EXCLUDE filter what all of these exclude and no other includes, else what any includes.
// Returns whether the list is one of exclusions.
bool MergeFilters(MulticastGroup& group, std::vector<IpAddress>& list) {
  const MulticastFilter* exclude = nullptr;
  group.members.ForEach([&](MulticastMembership& m) {
    if (m.filter.exclude) exclude = &m.filter;
  });
  if (group.users > 0) return true;
  if (exclude == nullptr) {
    group.members.ForEach([&](MulticastMembership& m) {
      for (const IpAddress& ip : m.filter.sources) {
        if (!Has(list, ip)) list.push_back(ip);
      }
    });
    return false;
  }
  list = exclude->sources;
  group.members.ForEach([&](MulticastMembership& m) {
    std::erase_if(list, [&](const IpAddress& ip) { return Has(m.filter.sources, ip) != m.filter.exclude; });
  });
  return true;
}

}  // namespace

bool MulticastGroup::pending() const {
  return mode_to_send > 0 || response_ns != kNever ||
         std::ranges::any_of(sources, [](const Source& s) { return s.to_send > 0; });
}

void MulticastGroup::ClearPending() {
  mode_to_send = queried_count = unsolicited = 0;
  response_ns = kNever;
  std::erase_if(sources, [](const Source& s) { return !s.listed; });
  for (Source& source : sources) source.to_send = 0;
}

MulticastGroup* GroupTable::Find(const IpAddress& group) {
  for (MulticastGroup& entry : groups()) {
    if (entry.group == group && entry.in_use()) return &entry;
  }
  return nullptr;
}

MulticastGroup* GroupTable::FindOrAdd(const IpAddress& group) {
  if (MulticastGroup* found = Find(group)) return found;
  // One that was left has no claim to its place, whatever its last reports would have said.
  MulticastGroup* free = nullptr;
  for (MulticastGroup& entry : groups()) {
    if (entry.joined()) continue;
    if (free == nullptr || free->in_use()) free = &entry;
  }
  if ((free == nullptr || free->in_use()) && count_ < kMaxGroups) free = &groups_[count_++];
  if (free == nullptr) return nullptr;
  free->group = group;
  free->exclude = free->last_reporter = false;
  free->sources.clear();
  free->ClearPending();
  return free;
}

bool GroupTable::Contains(const IpAddress& group) const {
  return std::ranges::any_of(std::span(groups_.data(), count_), [&](const MulticastGroup& entry) {
    return entry.group == group && entry.joined();
  });
}

bool GroupTable::Merge(MulticastGroup& group, uint8_t transmissions) {
  std::vector<IpAddress> list;
  bool exclude = MergeFilters(group, list);
  if (list.size() > MulticastGroup::kMaxSources) {
    exclude = true;
    list.clear();
  }
  std::vector<MulticastGroup::Source>& sources = group.sources;
  if (exclude != group.exclude) {
    // RFC 3376 §5.1: the whole list is told with the new mode, and what was to be said of single sources is no more.
    group.exclude = exclude;
    group.mode_to_send = transmissions;
    sources.clear();
    for (const IpAddress& ip : list) sources.push_back({.ip = ip});
    return true;
  }
  bool changed = false;
  for (MulticastGroup::Source& source : sources) {
    if (Has(list, source.ip) == source.listed) continue;
    source.listed = !source.listed;
    source.to_send = transmissions;
    changed = true;
  }
  for (const IpAddress& ip : list) {
    if (std::ranges::find(sources, ip, &MulticastGroup::Source::ip) != sources.end()) continue;
    // A program that changes its mind all the time: what it wants matters more than what it does not.
    if (sources.size() >= 2 * MulticastGroup::kMaxSources) {
      std::erase_if(sources, [](const MulticastGroup::Source& s) { return !s.listed; });
    }
    sources.push_back({.ip = ip, .listed = true, .to_send = transmissions});
    changed = true;
  }
  if (transmissions == 0) std::erase_if(sources, [](const MulticastGroup::Source& s) { return !s.listed; });
  return changed;
}

}  // namespace weir::netstack
