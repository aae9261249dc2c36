// GroupTable: the multicast groups of one interface (RFC 1112 §7, RFC 3810 §4). Each is there once, however many sockets
// joined it. The stack itself belongs to the all-hosts and all-nodes groups without an entry here.
#ifndef NETSTACK_IP_GROUP_TABLE_H_
#define NETSTACK_IP_GROUP_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/base/ip_address.h"

namespace weir::netstack {

struct MulticastGroup {
  IpAddress group;
  uint32_t users = 0;  // sockets, or addresses whose solicited-node group it is
};

class GroupTable {
 public:
  // Fifty sockets with the 20 memberships that Linux allows each (net.ipv4.igmp_max_memberships) would be 1000; frames
  // are looked up here, and the steering program has room for as many.
  static constexpr size_t kMaxGroups = 128;

  // True when `group` was new; *full: there is no room for it.
  bool Join(const IpAddress& group, bool* full);
  // True when its last user left.
  bool Leave(const IpAddress& group);
  bool Contains(const IpAddress& group) const;
  std::span<const MulticastGroup> groups() const { return {groups_.data(), count_}; }

 private:
  MulticastGroup* Find(const IpAddress& group);

  std::array<MulticastGroup, kMaxGroups> groups_{};
  size_t count_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_GROUP_TABLE_H_
