// PathMtuCache: destinations whose path is narrower than the link to it (RFC 1191, RFC 8201). A router says so in an
// ICMP error; only one about a packet of a live socket is believed (icmp_error.h), and none ever raises an entry. After
// ten minutes it is forgotten and the larger packets are tried again (RFC 1191 §6.3, RFC 8201 §4). Linux: fnhe_pmtu and
// mtu_expires of the routing cache; rt6_update_exception.
#ifndef NETSTACK_IP_PATH_MTU_H_
#define NETSTACK_IP_PATH_MTU_H_

#include <array>
#include <cstdint>
#include <vector>

#include "runtime/base/intrusive_list.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/siphash.h"
#include "runtime/base/time.h"
#include "runtime/base/timer_wheel.h"

namespace weir::netstack {

struct PathMtuAge;  // list tag: oldest first

struct PathMtuEntry : runtime::Timer, runtime::ListNode<PathMtuAge> {
  PathMtuEntry() : Timer(&OnTimer) {}
  static void OnTimer(runtime::Timer& timer, Nanos now_ns);

  class PathMtuCache* owner = nullptr;
  PathMtuEntry* hash_next = nullptr;
  IpAddress destination;
  uint32_t mtu = 0;
  // IPv4: the path is narrower than we believe anybody; its routers shall cut our packets (no DF; rt_mtu_locked).
  bool locked = false;
};

class PathMtuCache {
 public:
  // Narrow paths are the exception: as many as there may be neighbours. The oldest makes room.
  static constexpr size_t kEntries = 1024;
  static constexpr Nanos kExpiry = 600 * kSecond;  // mtu_expires
  // net.ipv4.route.min_pmtu: below it a claim is more likely an attack on us than a link.
  static constexpr uint32_t kMin4 = 552;
  static constexpr uint32_t kMin6 = 1280;  // RFC 8200 §5
  // Of the longest datagram on the narrowest path: 65,535 bytes of IPv4, its header among them, 528 in each fragment.
  // IPv6, with 1232 in each, makes fewer.
  static constexpr uint32_t kMaxFragments = (65535 - 20 + ((kMin4 - 20) & ~7u) - 1) / ((kMin4 - 20) & ~7u);

  PathMtuCache(runtime::TimerWheel& timers, const runtime::SipKey& secret);
  PathMtuCache(const PathMtuCache&) = delete;
  ~PathMtuCache();

  // nullptr: nothing is known.
  const PathMtuEntry* Find(const IpAddress& destination) const {
    return entries_.size() == free_count_ ? nullptr : Lookup(destination);
  }

  // A router cannot pass on `packet` bytes to `destination`; it says that `mtu` fits, or 0 when it is too old to say
  // (RFC 1191 §5). `current` is what goes there now. True when that was lowered.
  bool Lower(const IpAddress& destination, uint32_t mtu, uint32_t packet, uint32_t current, Nanos now_ns);

  // Changes whenever any path does: connections look then whether it was theirs.
  uint32_t generation() const { return generation_; }

 private:
  friend struct PathMtuEntry;

  size_t Bucket(const IpAddress& destination) const;
  PathMtuEntry* Lookup(const IpAddress& destination) const;
  void Remove(PathMtuEntry& entry);

  runtime::TimerWheel& timers_;
  const runtime::SipKey secret_;
  std::vector<PathMtuEntry> entries_;
  std::array<PathMtuEntry*, kEntries> buckets_{};
  runtime::List<PathMtuEntry, PathMtuAge> by_age_;
  runtime::List<PathMtuEntry, PathMtuAge> free_;
  size_t free_count_ = kEntries;
  uint32_t generation_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_PATH_MTU_H_
