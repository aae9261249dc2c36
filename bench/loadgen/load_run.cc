#include "bench/loadgen/load_run.h"

#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>

#include "runtime/core/async_scope.h"
#include "runtime/core/sleep.h"

namespace weir::bench {
namespace {

Task<void> Progress(Run& run) {
  for (;;) {
    absl::Status slept = co_await Sleep(std::chrono::seconds(1));
    if (!slept.ok()) co_return;
    if (run.options.mode == LoadMode::kStream) {
      std::fprintf(stderr, "%9.1f MB/s  %lu errors\n", static_cast<double>(run.second_bytes) / 1e6, run.result.errors);
      run.second_bytes = 0;
      continue;
    }
    std::fprintf(stderr, "%9lu/s  p50 %7.1f us  p99 %7.1f us  %lu errors\n", run.second_ns.count(),
                 run.second_ns.Quantile(0.5) / 1e3, run.second_ns.Quantile(0.99) / 1e3, run.result.errors);
    run.second_ns = Histogram();
  }
}

}  // namespace

Task<LoadResult> DriveLoad(const LoadOptions& options, std::function<Task<void>(Run&, int index)> connection) {
  Run run{.options = options};
  std::vector<std::byte> request(options.size, std::byte{'w'});
  run.request = {request.data(), request.size()};
  run.start_ns = MonotonicNow() + options.warmup_ns;
  run.end_ns = run.start_ns + options.duration_ns;
  const TaskContext& context = co_await CurrentContext();
  AsyncScope connections(context);
  AsyncScope progress(context);
  for (int i = 0; i < options.connections; ++i) connections.Spawn(connection(run, i));
  progress.Spawn(Progress(run));
  // A server that stops answering: its requests are errors, and the run ends all the same.
  while (connections.live() > 0 && MonotonicNow() < run.end_ns + kGrace) {
    absl::Status slept = co_await Sleep(std::chrono::milliseconds(10));
    if (!slept.ok()) break;
  }
  if (connections.live() > 0 && MonotonicNow() >= run.end_ns + kGrace) {
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
