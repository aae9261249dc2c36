#include <chrono>
#include <utility>

#include "bench/loadgen/load_run.h"
#include "runtime/base/fixed_ring.h"
#include "runtime/core/sleep.h"

namespace weir::bench {
namespace {

// One connection: keeps `pipeline` requests under way until the time is up. One coroutine and no call of another one,
// since with a thousand connections each further piece of memory costs the client more than the request itself.
Task<absl::Status> Serve(Run& run, TcpStream stream, int index) {
  Pace pace(run.options, index);
  runtime::FixedRing<Nanos> due(run.options.pipeline);  // when each of the requests under way was due
  size_t received = 0;
  for (Nanos now_ns = MonotonicNow(); now_ns < run.end_ns;) {
    while (static_cast<int>(due.size()) < run.options.pipeline) {
      // When the last answer came, so that what the client itself takes to send the next request counts as latency.
      Nanos due_ns = now_ns;
      if (pace.interval_ns > 0) {
        Nanos early_ns = pace.next_ns - MonotonicNow();
        if (early_ns > 0 && !due.empty()) break;  // an answer is waited for meanwhile
        // Sleep counts from when this turn began.
        for (; early_ns > 0; early_ns = pace.next_ns - MonotonicNow()) {
          absl::Status slept = co_await Sleep(std::chrono::nanoseconds(early_ns));
          if (!slept.ok()) co_return slept;
        }
        due_ns = std::exchange(pace.next_ns, pace.next_ns + pace.interval_ns);
      }
      absl::Status sent = co_await stream.Sendmsg({&run.request, 1});
      if (!sent.ok()) co_return sent;
      due.Push(due_ns);
    }
    absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
    if (!got.ok()) co_return got.status();
    if (got->empty()) co_return absl::AbortedError("the server closed the connection");
    received += got->size();
    for (now_ns = MonotonicNow(); received >= run.options.size; received -= run.options.size) {
      if (due.empty()) co_return absl::DataLossError("the server sent more than was asked for");
      run.Answered(due.Pop(), now_ns);
    }
  }
  co_return absl::OkStatus();
}

Task<void> Connection(Shard& shard, Run& run, int index) {
  if (!(co_await run.opening.Acquire()).ok()) co_return;
  absl::StatusOr<TcpStream> stream =
      co_await WithTimeout(shard.ConnectTcp(run.options.target), std::chrono::seconds(10));
  run.opening.Release();
  absl::Status status = stream.ok() ? stream->SetNoDelay(true) : stream.status();
  if (status.ok()) status = co_await Serve(run, *std::move(stream), index);
  if (!status.ok()) run.Fail(status);
}

}  // namespace

Task<LoadResult> RunRequestResponse(Shard& shard, const LoadOptions& options) {
  return DriveLoad(options, [&shard](Run& run, int index) { return Connection(shard, run, index); });
}

}  // namespace weir::bench
