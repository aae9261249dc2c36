// TcpFastOpenCache: what a client keeps of servers for TCP Fast Open (RFC 7413 §4.1.3): their cookies, their MSS, and whether
// SYNs with data get lost on the way. By both addresses, as cookies are for ours too. Linux: tcp_metrics.c.
#ifndef NETSTACK_TCP_TCP_FAST_OPEN_CACHE_H_
#define NETSTACK_TCP_TCP_FAST_OPEN_CACHE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "netstack/wire/tcp.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/siphash.h"
#include "runtime/base/time.h"

namespace weir::netstack {

class TcpFastOpenCache {
 public:
  struct Entry {
    IpAddress local, remote;
    std::array<std::byte, TcpOptions::kMaxCookie> cookie;
    uint8_t cookie_size = 0;  // 0: none
    uint8_t losses = 0;       // SYNs with data, in a row, that only got through without it
    uint16_t mss = 0;         // as the server's SYN said
    Nanos lost_ns = 0;        // the last of them
    uint64_t used = 0;        // when, in uses; 0: no entry
  };

  // 256 servers, which take 20 KiB; of those that fall together the one that was used longest ago makes room. None
  // when it is not `enabled`.
  static constexpr size_t kSets = 64, kWays = 4;
  TcpFastOpenCache(const runtime::SipKey& secret, bool enabled)
      : secret_(secret), entries_(enabled ? kSets * kWays : 0) {}

  // nullptr: nothing is known.
  Entry* Find(const IpAddress& local, const IpAddress& remote);
  // Made when there is none; nullptr when it is not enabled.
  Entry* Get(const IpAddress& local, const IpAddress& remote);

  // RFC 7413 §4.1.3.1: after more than one loss SYNs go without data, for a time that doubles with each.
  static bool Avoided(const Entry& entry, Nanos now_ns) {
    constexpr uint8_t kMostDoublings = 10;  // 17 hours
    const int doublings = entry.losses < kMostDoublings ? entry.losses : kMostDoublings;
    return entry.losses > 1 && now_ns - entry.lost_ns < 60 * kSecond << doublings;
  }

 private:
  Entry* Set(const IpAddress& local, const IpAddress& remote);

  runtime::SipKey secret_;
  std::vector<Entry> entries_;
  uint64_t uses_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_FAST_OPEN_CACHE_H_
