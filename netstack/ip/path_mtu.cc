#include "netstack/ip/path_mtu.h"

#include <algorithm>
#include <utility>

namespace weir::netstack {
namespace {

// RFC 1191 §7.1: the MTUs that links have.
constexpr uint32_t kPlateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68};

uint32_t NextPlateau(uint32_t packet) {
  const auto* plateau = std::ranges::find_if(kPlateaus, [&](uint32_t mtu) { return mtu < packet; });
  return plateau != std::end(kPlateaus) ? *plateau : 68;
}

}  // namespace

PathMtuCache::PathMtuCache(runtime::TimerWheel& timers, const runtime::SipKey& secret)
    : timers_(timers), secret_(secret), entries_(kEntries) {
  for (PathMtuEntry& entry : entries_) {
    entry.owner = this;
    free_.PushBack(entry);
  }
}

PathMtuCache::~PathMtuCache() {
  while (!by_age_.empty()) Remove(by_age_.front());
  while (free_.PopFront() != nullptr) {
  }
}

void PathMtuEntry::OnTimer(runtime::Timer& timer, Nanos) {
  auto& entry = static_cast<PathMtuEntry&>(timer);
  entry.owner->Remove(entry);
}

size_t PathMtuCache::Bucket(const IpAddress& destination) const {
  return runtime::SipHash(secret_, destination.words()) % kEntries;
}

PathMtuEntry* PathMtuCache::Lookup(const IpAddress& destination) const {
  PathMtuEntry* entry = buckets_[Bucket(destination)];
  while (entry != nullptr && entry->destination != destination) entry = entry->hash_next;
  return entry;
}

void PathMtuCache::Remove(PathMtuEntry& entry) {
  timers_.Cancel(entry);
  PathMtuEntry** link = &buckets_[Bucket(entry.destination)];
  while (*link != &entry) link = &(*link)->hash_next;
  *link = entry.hash_next;
  static_cast<runtime::ListNode<PathMtuAge>&>(entry).Unlink();
  free_.PushBack(entry);
  ++free_count_;
  ++generation_;
}

bool PathMtuCache::Lower(const IpAddress& destination, uint32_t mtu, uint32_t packet, uint32_t current, Nanos now_ns) {
  const bool v4 = destination.is_v4();
  // RFC 8201 §4: an IPv6 path is never that narrow.
  if (!v4 && mtu < kMin6) return false;
  if (v4 && mtu == 0) mtu = NextPlateau(packet);
  // What was sent and did not fit is larger than what fits; a claim that is not is no router's (RFC 5927 §7.2).
  if (mtu >= packet) return false;
  const bool locked = v4 && mtu < kMin4;
  mtu = std::max(mtu, v4 ? kMin4 : kMin6);
  PathMtuEntry* entry = Lookup(destination);
  const bool locks = locked && mtu == current && (entry == nullptr || !entry->locked);
  if (mtu >= current && !locks) return false;
  if (entry == nullptr) {
    if (free_.empty()) Remove(by_age_.front());
    entry = free_.PopFront();
    --free_count_;
    entry->destination = destination;
    entry->locked = false;
    entry->hash_next = std::exchange(buckets_[Bucket(destination)], entry);
  } else {
    static_cast<runtime::ListNode<PathMtuAge>&>(*entry).Unlink();
  }
  by_age_.PushBack(*entry);
  entry->mtu = mtu;
  entry->locked |= locked;
  timers_.Arm(*entry, now_ns + kExpiry);
  ++generation_;
  return true;
}

}  // namespace weir::netstack
