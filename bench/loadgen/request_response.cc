#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>

#include "bench/loadgen/load.h"
#include "runtime/base/fixed_ring.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/sleep.h"

namespace weir::bench {
namespace {

struct Run {
  const LoadOptions& options;
  LoadResult result;
  Histogram second_ns;  // of the present second, for the progress line
  iovec request{};
  Nanos start_ns = 0;    // of the measured time
  Nanos end_ns = 0;
  bool stopping = false;

  void Fail(const absl::Status& status) {
    if (stopping) return;
    ++result.errors;
    if (result.first_error.empty()) result.first_error = std::string(status.message());
  }
  void Answered(Nanos due_ns, Nanos now_ns) {
    second_ns.Add(static_cast<uint64_t>(now_ns - due_ns));
    if (now_ns < start_ns || now_ns >= end_ns) return;
    result.latency_ns.Add(static_cast<uint64_t>(now_ns - due_ns));
    ++result.requests;
    result.bytes += 2 * options.size;
  }
};

// When the requests of one connection are due, with --rate: at a constant interval, not when the server is ready for them.
struct Pace {
  Pace(const LoadOptions& options, int index) {
    if (options.rate <= 0) return;
    interval_ns = static_cast<Nanos>(1e9 * options.connections / options.rate);
    next_ns = MonotonicNow() + interval_ns * index / options.connections;
  }
  Nanos interval_ns = 0;  // 0: the next request is due when the answer has come
  Nanos next_ns = 0;
};

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
        due_ns = MonotonicNow();
        if (pace.next_ns > due_ns) {
          if (!due.empty()) break;  // an answer is waited for meanwhile
          absl::Status slept = co_await Sleep(std::chrono::nanoseconds(pace.next_ns - due_ns));
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
  absl::StatusOr<TcpStream> stream =
      co_await WithTimeout(shard.ConnectTcp(run.options.target), std::chrono::seconds(10));
  absl::Status status = stream.ok() ? co_await Serve(run, *std::move(stream), index) : stream.status();
  if (!status.ok()) run.Fail(status);
}

Task<void> Progress(Run& run) {
  for (;;) {
    absl::Status slept = co_await Sleep(std::chrono::seconds(1));
    if (!slept.ok()) co_return;
    std::fprintf(stderr, "%9lu/s  p50 %7.1f us  p99 %7.1f us  %lu errors\n", run.second_ns.count(),
                 run.second_ns.Quantile(0.5) / 1e3, run.second_ns.Quantile(0.99) / 1e3, run.result.errors);
    run.second_ns = Histogram();
  }
}

}  // namespace

Task<LoadResult> RunRequestResponse(Shard& shard, const LoadOptions& options) {
  Run run{.options = options};
  std::vector<std::byte> request(options.size, std::byte{'w'});
  run.request = {request.data(), request.size()};
  run.start_ns = MonotonicNow() + options.warmup_ns;
  run.end_ns = run.start_ns + options.duration_ns;
  const TaskContext& context = co_await CurrentContext();
  AsyncScope connections(context);
  AsyncScope progress(context);
  for (int i = 0; i < options.connections; ++i) connections.Spawn(Connection(shard, run, i));
  progress.Spawn(Progress(run));
  // A server that stops answering: its requests are errors, and the run ends all the same.
  const Nanos grace_ns = kSecond;
  while (connections.live() > 0 && MonotonicNow() < run.end_ns + grace_ns) {
    absl::Status slept = co_await Sleep(std::chrono::milliseconds(10));
    if (!slept.ok()) break;
  }
  if (connections.live() > 0 && MonotonicNow() >= run.end_ns + grace_ns) {
    run.result.errors += connections.live();
    run.result.first_error = "the server stopped answering";
  }
  run.stopping = true;
  connections.RequestStop();
  progress.RequestStop();
  co_await connections.Join();
  co_await progress.Join();
  run.result.seconds = static_cast<double>(options.duration_ns) / 1e9;
  co_return std::move(run.result);
}

}  // namespace weir::bench
