#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/loadgen/load_run.h"
#include "bench/loadgen/udp_window.h"
#include "runtime/core/sleep.h"

namespace weir::bench {
namespace {

static_assert(sizeof(UdpTag) == kUdpRequestTag);

// Linux's least retransmission timeout: what TCP would take for lost on a link this short.
constexpr Nanos kLostAfter = 200 * kMillisecond;

// Sends what is due and has room. `pace.next_ns` is ahead when nothing more is.
Task<absl::Status> SendDue(Run& run, UdpSocket& socket, UdpWindow& window, Pace& pace, Nanos now_ns) {
  while (window.has_room()) {
    Nanos due_ns = now_ns;
    if (pace.interval_ns > 0) {
      if (pace.next_ns > now_ns) break;
      due_ns = std::exchange(pace.next_ns, pace.next_ns + pace.interval_ns);
    }
    UdpTag tag = window.Open(due_ns, now_ns);
    const iovec request[] = {{&tag, sizeof tag}, {run.request.iov_base, run.options.size - sizeof tag}};
    absl::Status sent = co_await socket.Sendmsg(request, run.options.target);
    if (!sent.ok()) co_return sent;
  }
  co_return absl::OkStatus();
}

// One socket: keeps `pipeline` requests under way until the time is up.
Task<absl::Status> Serve(Run& run, UdpSocket& socket, int index) {
  Pace pace(run.options, index);
  UdpWindow window(run.options.pipeline);
  Nanos look_ns = MonotonicNow() + kLostAfter;
  for (Nanos now_ns = MonotonicNow(); now_ns < run.end_ns; now_ns = MonotonicNow()) {
    if (now_ns >= look_ns) {
      for (uint64_t lost = window.GiveUp(now_ns - kLostAfter); lost > 0; --lost) run.Lost(now_ns);
      look_ns = now_ns + kLostAfter / 4;
    }
    absl::Status sent = co_await SendDue(run, socket, window, pace, now_ns);
    if (!sent.ok()) co_return sent;
    Nanos wake_ns = std::min(look_ns, run.end_ns);
    if (pace.interval_ns > 0 && window.has_room()) wake_ns = std::min(wake_ns, pace.next_ns);
    absl::StatusOr<Datagram> got =
        co_await WithTimeout(socket.Recvmsg(), std::chrono::nanoseconds(std::max<Nanos>(0, wake_ns - now_ns)));
    if (absl::IsDeadlineExceeded(got.status())) continue;
    if (!got.ok()) co_return got.status();
    UdpTag tag;
    if (got->peer != run.options.target || got->data.size() != run.options.size) continue;
    got->data.CopyTo(std::as_writable_bytes(std::span(&tag, 1)));
    const Nanos due_ns = window.Answered(tag);
    if (due_ns >= 0) run.Answered(due_ns, MonotonicNow());
  }
  co_return absl::OkStatus();
}

Task<void> Socket(Shard& shard, Run& run, int index) {
  absl::StatusOr<UdpSocket> socket = shard.BindUdp({});
  absl::Status status = socket.ok() ? co_await Serve(run, *socket, index) : socket.status();
  if (!status.ok()) run.Fail(status);
}

}  // namespace

Task<LoadResult> RunUdpRequestResponse(Shard& shard, const LoadOptions& options) {
  LoadResult result = co_await DriveLoad(
      options, [&shard](Run& run, int index) { return Socket(shard, run, index); });
  if (result.requests == 0 && result.errors == 0) {
    ++result.errors;
    result.first_error = absl::StrCat("nothing was answered by ", options.target.ToString());
  }
  co_return result;
}

}  // namespace weir::bench
