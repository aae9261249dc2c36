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
  std::vector<std::byte> request;
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

// One connection: keeps `pipeline` requests under way until the time is up.
class Client {
 public:
  Client(Run& run, int index) : run_(run), due_(run.options.pipeline) {
    if (run.options.rate > 0) {
      interval_ns_ = static_cast<Nanos>(1e9 * run.options.connections / run.options.rate);
      next_due_ns_ = MonotonicNow() + interval_ns_ * index / run.options.connections;
    }
  }

  Task<absl::Status> Serve(TcpStream& stream) {
    for (Nanos now_ns = MonotonicNow(); now_ns < run_.end_ns;) {
      absl::Status sent = co_await FillPipeline(stream, now_ns);
      if (!sent.ok()) co_return sent;
      absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
      if (!got.ok()) co_return got.status();
      if (got->empty()) co_return absl::AbortedError("the server closed the connection");
      received_ += got->size();
      for (now_ns = MonotonicNow(); received_ >= run_.options.size; received_ -= run_.options.size) {
        if (due_.empty()) co_return absl::DataLossError("the server sent more than was asked for");
        run_.Answered(due_.Pop(), now_ns);
      }
    }
    co_return absl::OkStatus();
  }

 private:
  // `now_ns`: when the last answer came. The next request is due then, so that what the client itself takes to send it
  // counts as latency.
  Task<absl::Status> FillPipeline(TcpStream& stream, Nanos now_ns) {
    const iovec request{run_.request.data(), run_.request.size()};
    while (static_cast<int>(due_.size()) < run_.options.pipeline) {
      Nanos due_ns = now_ns;
      if (interval_ns_ > 0) {
        due_ns = MonotonicNow();
        if (next_due_ns_ > due_ns) {
          if (!due_.empty()) break;  // an answer is waited for meanwhile
          absl::Status slept = co_await Sleep(std::chrono::nanoseconds(next_due_ns_ - due_ns));
          if (!slept.ok()) co_return slept;
        }
        due_ns = std::exchange(next_due_ns_, next_due_ns_ + interval_ns_);
      }
      absl::Status sent = co_await stream.Sendmsg({&request, 1});
      if (!sent.ok()) co_return sent;
      due_.Push(due_ns);
    }
    co_return absl::OkStatus();
  }

  Run& run_;
  runtime::FixedRing<Nanos> due_;  // of the requests under way
  Nanos interval_ns_ = 0;
  Nanos next_due_ns_ = 0;
  size_t received_ = 0;
};

Task<void> Connection(Shard& shard, Run& run, int index) {
  absl::StatusOr<TcpStream> stream =
      co_await WithTimeout(shard.ConnectTcp(run.options.target), std::chrono::seconds(10));
  if (!stream.ok()) {
    run.Fail(stream.status());
    co_return;
  }
  Client client(run, index);
  absl::Status status = co_await client.Serve(*stream);
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
  run.request.resize(options.size, std::byte{'w'});
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
