// RateLimit: a token bucket, for what peers could make the stack do too often.
#ifndef NETSTACK_IP_RATE_LIMIT_H_
#define NETSTACK_IP_RATE_LIMIT_H_

#include <cstdint>

#include "runtime/base/time.h"

namespace weir::netstack {

// `rate` per second with bursts of `burst` (RFC 1812 §4.3.2.8).
struct RateLimit {
  int64_t rate;
  int64_t burst;
  int64_t tokens = burst;
  Nanos last_ns = 0;

  bool Take(Nanos now_ns) {
    const Nanos interval = kSecond / rate;
    const int64_t fresh = (now_ns - last_ns) / interval;
    if (fresh > 0) {
      tokens = tokens + fresh < burst ? tokens + fresh : burst;
      last_ns += fresh * interval;
    }
    if (tokens == 0) return false;
    --tokens;
    return true;
  }
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_RATE_LIMIT_H_
