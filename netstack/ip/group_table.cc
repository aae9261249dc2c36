#include "netstack/ip/group_table.h"

namespace weir::netstack {

MulticastGroup* GroupTable::Find(const IpAddress& group) {
  for (size_t i = 0; i < count_; ++i) {
    if (groups_[i].group == group) return &groups_[i];
  }
  return nullptr;
}

bool GroupTable::Contains(const IpAddress& group) const { return const_cast<GroupTable*>(this)->Find(group) != nullptr; }

bool GroupTable::Join(const IpAddress& group, bool* full) {
  *full = false;
  if (MulticastGroup* entry = Find(group)) {
    ++entry->users;
    return false;
  }
  *full = count_ == kMaxGroups;
  if (*full) return false;
  groups_[count_++] = {group, 1};
  return true;
}

bool GroupTable::Leave(const IpAddress& group) {
  MulticastGroup* entry = Find(group);
  if (entry == nullptr || --entry->users > 0) return false;
  *entry = groups_[--count_];
  return true;
}

}  // namespace weir::netstack
