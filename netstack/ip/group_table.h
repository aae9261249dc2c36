// GroupTable: the multicast groups of one interface, of both IP versions (RFC 1112 §7): for each the filters of all its
// sockets merged into one (RFC 3376 §3.2, RFC 3810 §4.2), and what IGMP or MLD (multicast.h) have yet to say of it. The
// stack itself belongs to the all-hosts and all-nodes groups without an entry here.
#ifndef NETSTACK_IP_GROUP_TABLE_H_
#define NETSTACK_IP_GROUP_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "netstack/ip/multicast_filter.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"

namespace weir::netstack {

// Every host belongs to them (RFC 1112 §4, RFC 4291 §2.8).
inline constexpr IpAddress kAllHosts = IpAddress::V4(0xe0000001);
inline constexpr IpAddress kAllNodes = IpAddress::V6({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});

struct MulticastGroup {
  // A source of the merged filter, or one that was in it until lately.
  struct Source {
    IpAddress ip;
    bool listed = true;
    uint8_t to_send = 0;  // reports that are to tell of its change (RFC 3376 §5.1)
  };
  // What two sockets' full lists of 64 come to. A longer merged list is none at all: the group is then asked for with
  // all its sources, and the sockets' own filters choose.
  static constexpr size_t kMaxSources = 2 * MulticastFilter::kMaxSources6;
  // Of a query's sources, until they are answered; a query for more is answered as if it had asked for all.
  static constexpr size_t kMaxQueried = 16;

  // Whether anybody wants anything of it.
  bool joined() const { return users > 0 || !members.empty(); }

  IpAddress group;
  uint32_t users = 0;  // memberships without a socket and without a filter: addresses whose solicited-node group it is
  runtime::List<MulticastMembership, MulticastMembership> members;

  // The merged filter.
  bool exclude = false;
  std::vector<Source> sources;

  // What is to be said of it, kept by MulticastHost.
  uint8_t mode_to_send = 0;    // reports that are to tell of a change of `exclude`
  Nanos response_ns = kNever;  // when a query is answered; in the older versions every report or leave is sent then
  uint8_t queried_count = 0;   // 0: the query was for all sources
  std::array<IpAddress, kMaxQueried> queried;
  uint8_t unsolicited = 0;     // in the older versions: reports of having joined that are still to be sent
  bool last_reporter = false;  // and: nobody reported it after we did (RFC 2236 §3)

  // Whether it is an entry at all.
  bool in_use() const { return joined() || pending(); }
  bool pending() const;
  // Nothing is to be said any more.
  void ClearPending();
};

class GroupTable {
 public:
  // Fifty sockets with the 20 memberships that Linux allows each (net.ipv4.igmp_max_memberships) would be 1000; frames
  // are looked up here, and the steering program has room for as many.
  static constexpr size_t kMaxGroups = 128;

  // nullptr: not there.
  MulticastGroup* Find(const IpAddress& group);
  // nullptr: no room.
  MulticastGroup* FindOrAdd(const IpAddress& group);
  // Whether frames to it are wanted.
  bool Contains(const IpAddress& group) const;
  // Merges the filters anew after one changed. What differs is to be told `transmissions` times. False: nothing does.
  // Allocates; a program's call is what changes filters.
  static bool Merge(MulticastGroup& group, uint8_t transmissions);

  // Entries that are not in_use() among them.
  std::span<MulticastGroup> groups() { return {groups_.data(), count_}; }

 private:
  std::array<MulticastGroup, kMaxGroups> groups_{};
  size_t count_ = 0;  // entries behind it were never used
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_GROUP_TABLE_H_
