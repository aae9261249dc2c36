#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/loadgen/load_run.h"
#include "runtime/core/sleep.h"
#include "runtime/core/when_all.h"

namespace weir::bench {
namespace {

// For what is still under way when the time is up.
constexpr auto kDrain = std::chrono::nanoseconds(kGrace / 2);

// Writes until the time is up; returns how much.
Task<absl::StatusOr<uint64_t>> Send(Run& run, TcpStream& stream) {
  uint64_t sent = 0;
  for (Nanos now_ns = MonotonicNow(); now_ns < run.end_ns; sent += run.options.size) {
    absl::Status status = co_await stream.Sendmsg({&run.request, 1});
    if (!status.ok()) co_return status;
    now_ns = MonotonicNow();
    run.Moved(run.options.size, now_ns);
  }
  co_return sent;
}

// Reads until the time is up, or with `to_end` until the server's end; returns how much.
Task<absl::StatusOr<uint64_t>> Receive(Run& run, TcpStream& stream, bool to_end) {
  uint64_t received = 0;
  for (Nanos now_ns = MonotonicNow(); to_end || now_ns < run.end_ns;) {
    absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
    if (!got.ok()) co_return got.status();
    now_ns = MonotonicNow();
    if (got->empty()) {
      if (now_ns < run.end_ns) co_return absl::AbortedError("the server closed the connection");
      break;
    }
    received += got->size();
    run.Moved(got->size(), now_ns);
  }
  co_return received;
}

Task<absl::Status> Up(Run& run, TcpStream stream) {
  const absl::StatusOr<uint64_t> sent = co_await Send(run, stream);
  if (!sent.ok()) co_return sent.status();
  co_return co_await stream.Close(kDrain);
}

// What is left unread makes a reset of the end.
Task<absl::Status> Down(Run& run, TcpStream stream) {
  const absl::StatusOr<uint64_t> received = co_await Receive(run, stream, /*to_end=*/false);
  co_return received.status();
}

Task<absl::StatusOr<uint64_t>> SendAndShutdown(Run& run, TcpStream& stream) {
  absl::StatusOr<uint64_t> sent = co_await Send(run, stream);
  if (!sent.ok()) co_return sent;
  absl::Status status = stream.ShutdownWrite();
  if (!status.ok()) co_return status;
  co_return sent;
}

Task<absl::Status> Both(Run& run, TcpStream stream) {
  const auto until_drained = std::chrono::nanoseconds(run.end_ns - MonotonicNow()) + kDrain;
  auto [sent, received] = co_await WhenAll(
      SendAndShutdown(run, stream), WithTimeout(Receive(run, stream, /*to_end=*/true), until_drained));
  if (!sent.ok()) co_return sent.status();
  if (!received.ok()) co_return received.status();
  if (*sent == *received) co_return absl::OkStatus();
  co_return absl::DataLossError(absl::StrCat(*received, " bytes came back of ", *sent));
}

Task<void> Connection(Shard& shard, Run& run) {
  absl::StatusOr<TcpStream> stream =
      co_await WithTimeout(shard.ConnectTcp(run.options.target), std::chrono::seconds(10));
  absl::Status status = stream.status();
  if (status.ok()) {
    switch (run.options.direction) {
      case Direction::kUp:
        status = co_await Up(run, *std::move(stream));
        break;
      case Direction::kDown:
        status = co_await Down(run, *std::move(stream));
        break;
      case Direction::kBoth:
        status = co_await Both(run, *std::move(stream));
        break;
    }
  }
  if (!status.ok()) run.Fail(status);
}

}  // namespace

Task<LoadResult> RunStream(Shard& shard, const LoadOptions& options) {
  LoadResult result = co_await DriveLoad(options, [&shard](Run& run, int) { return Connection(shard, run); });
  if (result.bytes == 0 && result.errors == 0) {
    ++result.errors;
    result.first_error = absl::StrCat("no byte moved to or from ", options.target.ToString());
  }
  co_return result;
}

}  // namespace weir::bench
