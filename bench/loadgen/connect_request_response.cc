#include <chrono>
#include <utility>

#include "bench/loadgen/load_run.h"
#include "runtime/core/sleep.h"

namespace weir::bench {
namespace {

// One connection from its connect to the ends of both sides.
Task<absl::Status> Exchange(Shard& shard, Run& run) {
  absl::StatusOr<TcpStream> stream =
      co_await WithTimeout(shard.ConnectTcp(run.options.target), std::chrono::seconds(10));
  if (!stream.ok()) co_return stream.status();
  absl::Status status = stream->SetNoDelay(true);
  if (status.ok()) status = co_await stream->Sendmsg({&run.request, 1});
  for (size_t received = 0; status.ok() && received < run.options.size;) {
    absl::StatusOr<RecvBuffer> got = co_await stream->Recvmsg();
    if (!got.ok()) co_return got.status();
    if (got->empty()) co_return absl::AbortedError("the server closed the connection before it had answered");
    received += got->size();
    if (received > run.options.size) co_return absl::DataLossError("the server sent more than was asked for");
  }
  if (status.ok()) status = stream->ShutdownWrite();
  if (!status.ok()) co_return status;
  absl::StatusOr<RecvBuffer> end = co_await stream->Recvmsg();
  if (!end.ok()) co_return end.status();
  co_return end->empty() ? absl::OkStatus() : absl::DataLossError("the server sent more than was asked for");
}

// One of those that are under way: one connection after the other until the time is up.
Task<void> Connections(Shard& shard, Run& run, int index) {
  Pace pace(run.options, index);
  for (Nanos due_ns = MonotonicNow(); due_ns < run.end_ns; due_ns = MonotonicNow()) {
    if (pace.interval_ns > 0) {
      // Sleep counts from when this turn began.
      for (; pace.next_ns > due_ns; due_ns = MonotonicNow()) {
        absl::Status slept = co_await Sleep(std::chrono::nanoseconds(pace.next_ns - due_ns));
        if (!slept.ok()) co_return;
      }
      due_ns = std::exchange(pace.next_ns, pace.next_ns + pace.interval_ns);
    }
    const absl::Status status = co_await Exchange(shard, run);
    if (!status.ok()) {
      run.Fail(status);
      co_return;
    }
    run.Answered(due_ns, MonotonicNow());
  }
}

}  // namespace

Task<LoadResult> RunConnectRequestResponse(Shard& shard, const LoadOptions& options) {
  return DriveLoad(options, [&shard](Run& run, int index) { return Connections(shard, run, index); });
}

}  // namespace weir::bench
