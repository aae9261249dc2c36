// What a load generator run does and what it measured.
#ifndef BENCH_LOADGEN_LOAD_H_
#define BENCH_LOADGEN_LOAD_H_

#include <cstdint>
#include <string>

#include "bench/loadgen/histogram.h"
#include "netstack/host/shard.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"
#include "runtime/core/task.h"

namespace weir::bench {

enum class LoadMode { kRequestResponse, kUdpRequestResponse, kConnectRequestResponse, kStream };

// Which way a stream goes, as the client sees it.
enum class Direction { kUp, kDown, kBoth };

struct LoadOptions {
  LoadMode mode = LoadMode::kRequestResponse;
  Direction direction = Direction::kUp;
  Endpoint target;
  int connections = 1;
  size_t size = 64;  // bytes of a request, and of its response; of a write to a stream
  int pipeline = 1;  // requests of a connection that are under way at once
  Nanos warmup_ns = 0;
  Nanos duration_ns = 0;
  // Requests per second over all connections; 0: each follows the response to the one before (closed loop). With a rate
  // the latency counts from when a request was due, so a slow server cannot slow its own measurement down.
  double rate = 0;
};

struct LoadResult {
  Histogram latency_ns;
  uint64_t requests = 0;  // answered within the measured time; a stream has none
  uint64_t all_requests = 0;  // those of the warm-up, too
  uint64_t all_bytes = 0;
  uint64_t bytes = 0;     // both ways
  uint64_t lost = 0;      // datagrams without an answer in time; other protocols lose none
  uint64_t errors = 0;
  std::string first_error;
  double seconds = 0;
};

// Request and response over kept TCP connections to a server that sends back what it receives.
Task<LoadResult> RunRequestResponse(Shard& shard, const LoadOptions& options);

// What tells one UDP request from another, and so the least size of one; and the most that IPv4 carries (RFC 768).
inline constexpr size_t kUdpRequestTag = 8;
inline constexpr size_t kUdpLargest = 65535 - 20 - 8;

// The same over UDP, a socket for each connection. A datagram that is not answered in time is counted as lost and its
// place taken by the next; it is no error unless nothing at all is answered.
Task<LoadResult> RunUdpRequestResponse(Shard& shard, const LoadOptions& options);

// The same over a new TCP connection for each request. The latency of one is from before the connect until the ends of
// both sides have come; as many are under way as `connections` says.
Task<LoadResult> RunConnectRequestResponse(Shard& shard, const LoadOptions& options);

// As many bytes as go, over kept TCP connections: up to a server that reads (discard, RFC 863), down from one that
// writes (chargen, RFC 864), or both at once to and from one that sends back what it receives. Up counts what our stack
// took, and it is an error when the server does not acknowledge all of that in the end.
Task<LoadResult> RunStream(Shard& shard, const LoadOptions& options);

}  // namespace weir::bench

#endif  // BENCH_LOADGEN_LOAD_H_
