// Time as weir passes it around: nanoseconds of CLOCK_MONOTONIC in a signed 64-bit number, which lasts
// 292 years. Time is injected: protocol code gets `now_ns` as an argument and only the shard's loop calls
// MonotonicNow (DESIGN: "nothing in netstack reads a clock").
#ifndef RUNTIME_BASE_TIME_H_
#define RUNTIME_BASE_TIME_H_

#include <time.h>

#include <chrono>
#include <cstdint>
#include <limits>

namespace weir {

using Nanos = int64_t;

inline constexpr Nanos kMicrosecond = 1'000;
inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;
inline constexpr Nanos kNever = std::numeric_limits<Nanos>::max();

inline Nanos MonotonicNow() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * kSecond + ts.tv_nsec;
}

// `start + delay` that stays at kNever instead of overflowing.
inline constexpr Nanos SaturatingAdd(Nanos start, Nanos delay) {
  Nanos sum;
  return __builtin_add_overflow(start, delay, &sum) ? kNever : sum;
}

template <typename Rep, typename Period>
constexpr Nanos ToNanos(std::chrono::duration<Rep, Period> duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

}  // namespace weir

#endif  // RUNTIME_BASE_TIME_H_
