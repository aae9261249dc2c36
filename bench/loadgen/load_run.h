// A run as the coroutines of its connections see it, whatever protocol they speak.
#ifndef BENCH_LOADGEN_LOAD_RUN_H_
#define BENCH_LOADGEN_LOAD_RUN_H_

#include <functional>
#include <string>

#include "bench/loadgen/load.h"
#include "runtime/core/semaphore.h"

namespace weir::bench {

// How long after its time a run waits for connections to end. One that has a limit of its own ends earlier, and says what
// is missing.
inline constexpr Nanos kGrace = 2 * kSecond;

// Connections that are being opened at once. Linux keeps some 160 SYNs while a neighbour is asked for, weir fewer; what is
// beyond would come again a second later, all at once.
inline constexpr size_t kOpening = 64;

struct Run {
  const LoadOptions& options;
  LoadResult result;
  Histogram second_ns;  // of the present second, for the progress line
  uint64_t second_bytes = 0;  // the same, of streams
  iovec request{};
  Nanos start_ns = 0;    // of the measured time
  Nanos end_ns = 0;
  bool stopping = false;
  Semaphore opening{kOpening};

  void Fail(const absl::Status& status) {
    if (stopping) return;
    ++result.errors;
    if (result.first_error.empty()) result.first_error = std::string(status.message());
  }
  void Answered(Nanos due_ns, Nanos now_ns) {
    second_ns.Add(static_cast<uint64_t>(now_ns - due_ns));
    ++result.all_requests;
    result.all_bytes += 2 * options.size;
    if (now_ns < start_ns || now_ns >= end_ns) return;
    result.latency_ns.Add(static_cast<uint64_t>(now_ns - due_ns));
    ++result.requests;
    result.bytes += 2 * options.size;
  }
  void Moved(uint64_t bytes, Nanos now_ns) {
    second_bytes += bytes;
    result.all_bytes += bytes;
    if (now_ns >= start_ns && now_ns < end_ns) result.bytes += bytes;
  }
  void Lost(Nanos now_ns) { result.lost += now_ns >= start_ns && now_ns < end_ns; }
};

// When the requests of one connection are due, with --rate: at a constant interval, not when the server is ready for
// them.
struct Pace {
  Pace(const LoadOptions& options, int index) {
    if (options.rate <= 0) return;
    interval_ns = static_cast<Nanos>(1e9 * options.connections / options.rate);
    next_ns = MonotonicNow() + interval_ns * index / options.connections;
  }
  Nanos interval_ns = 0;  // 0: the next request is due when the answer has come
  Nanos next_ns = 0;
};

// Runs `connection` for each of LoadOptions::connections until the measured time is over; they end by then themselves.
// Progress goes to standard error once a second.
Task<LoadResult> DriveLoad(const LoadOptions& options, std::function<Task<void>(Run&, int index)> connection);

}  // namespace weir::bench

#endif  // BENCH_LOADGEN_LOAD_RUN_H_
