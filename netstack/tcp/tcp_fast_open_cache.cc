#include "netstack/tcp/tcp_fast_open_cache.h"

namespace weir::netstack {

TcpFastOpenCache::Entry* TcpFastOpenCache::Set(const IpAddress& local, const IpAddress& remote) {
  const auto a = local.words(), b = remote.words();
  const uint64_t words[] = {a[0], a[1], b[0], b[1]};
  return &entries_[runtime::SipHash13(secret_, words) % kSets * kWays];
}

TcpFastOpenCache::Entry* TcpFastOpenCache::Find(const IpAddress& local, const IpAddress& remote) {
  if (entries_.empty()) return nullptr;
  Entry* set = Set(local, remote);
  for (Entry* entry = set; entry != set + kWays; ++entry) {
    if (entry->used == 0 || entry->local != local || entry->remote != remote) continue;
    entry->used = ++uses_;
    return entry;
  }
  return nullptr;
}

TcpFastOpenCache::Entry* TcpFastOpenCache::Get(const IpAddress& local, const IpAddress& remote) {
  if (entries_.empty()) return nullptr;
  if (Entry* known = Find(local, remote)) return known;
  Entry* set = Set(local, remote);
  Entry* oldest = set;
  for (Entry* entry = set; entry != set + kWays; ++entry) {
    if (entry->used < oldest->used) oldest = entry;
  }
  *oldest = {.local = local, .remote = remote, .cookie = {}, .used = ++uses_};
  return oldest;
}

}  // namespace weir::netstack
