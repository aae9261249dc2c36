// Sleep, Yield and WithTimeout.
//
//   absl::Status slept = co_await Sleep(std::chrono::milliseconds(5));
//   absl::StatusOr<RecvBuffer> msg = co_await WithTimeout(stream.Recvmsg(), std::chrono::seconds(30));
#ifndef RUNTIME_CORE_SLEEP_H_
#define RUNTIME_CORE_SLEEP_H_

#include <chrono>
#include <coroutine>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/time.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/core/task.h"
#include "runtime/core/waiter.h"

namespace weir {
namespace runtime {

class SleepAwaiter : Waiter, Timer {
 public:
  explicit SleepAwaiter(Nanos delay_ns) : Waiter(&OnStop), Timer(&OnTimer), delay_ns_(delay_ns) {}

  bool await_ready() const { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    if (!Suspend(self, "sleep")) {
      cancelled_ = true;
      return false;
    }
    scheduler().timers().Arm(*this, SaturatingAdd(scheduler().now_ns(), delay_ns_));
    return true;
  }
  absl::Status await_resume() {
    return cancelled_ ? absl::CancelledError("Sleep cancelled") : absl::OkStatus();
  }

 private:
  static void OnTimer(Timer& timer, Nanos) { static_cast<SleepAwaiter&>(timer).Wake(); }
  static void OnStop(StopCallback& callback) {
    auto& self = static_cast<SleepAwaiter&>(callback);
    self.scheduler().timers().Cancel(self);
    self.cancelled_ = true;
    self.Wake();
  }

  Nanos delay_ns_;
  bool cancelled_ = false;
};

// Awaiters hold a place in lists and cannot move; what a function returns is a description that makes its awaiter
// where it is awaited.
struct SleepOperation {
  Nanos delay_ns;
  SleepAwaiter operator co_await() const { return SleepAwaiter(delay_ns); }
};

struct YieldAwaiter : Resumable {
  bool await_ready() const { return false; }
  template <typename Promise>
  void await_suspend(std::coroutine_handle<Promise> self) {
    handle = self;
    self.promise().NoteWait("its turn");
    self.promise().context()->scheduler->Schedule(*this);
  }
  void await_resume() {}
};

struct YieldOperation {
  YieldAwaiter operator co_await() const { return {}; }
};

// Replaces the context of the awaiting coroutine, for what it awaits from then on; does not suspend.
struct SetContext {
  const TaskContext* context;
  bool await_ready() { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    self.promise().set_context(context);
    return false;
  }
  void await_resume() {}
};

// Stops its source when the time is up.
class Deadline : Timer {
 public:
  Deadline(const TaskContext& parent, Nanos delay_ns)
      : Timer(&OnTimer), source_(parent.stop), context_{parent.scheduler, source_.token()} {
    parent.scheduler->timers().Arm(*this,
                                   SaturatingAdd(parent.scheduler->now_ns(), delay_ns));
  }
  ~Deadline() { context_.scheduler->timers().Cancel(*this); }

  const TaskContext& context() const { return context_; }
  bool expired() const { return expired_; }

 private:
  static void OnTimer(Timer& timer, Nanos) {
    auto& self = static_cast<Deadline&>(timer);
    self.expired_ = true;
    self.source_.RequestStop();
  }

  LinkedStopSource source_;
  TaskContext context_;
  bool expired_ = false;
};

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// The type that `co_await` of an A gives.
template <typename A>
struct AwaitResultOf {
  using Type = decltype(std::declval<A>().await_resume());
};
template <typename A>
  requires requires { std::declval<A>().operator co_await(); }
struct AwaitResultOf<A> {
  using Type = decltype(std::declval<A>().operator co_await().await_resume());
};

}  // namespace runtime

// Resumes after `delay`, never earlier: OK, or kCancelled as soon as the stop is requested.
template <typename Rep, typename Period>
runtime::SleepOperation Sleep(std::chrono::duration<Rep, Period> delay) {
  return runtime::SleepOperation{ToNanos(delay)};
}

// Goes to the end of the ready queue.
inline runtime::YieldOperation Yield() { return {}; }

// Awaits `awaitable` (a Task or any other that gives absl::Status or absl::StatusOr) and requests its stop when
// `timeout` passes first. It then still waits for the awaitable's end, so nothing it uses is freed early, and turns
// its kCancelled into kDeadlineExceeded; a result that came in time, or all the same, is returned as it is.
template <typename Awaitable, typename Rep, typename Period>
Task<typename runtime::AwaitResultOf<Awaitable>::Type> WithTimeout(Awaitable awaitable,
                                                  std::chrono::duration<Rep, Period> timeout) {
  const TaskContext& outer = co_await CurrentContext();
  runtime::Deadline deadline(outer, ToNanos(timeout));
  co_await runtime::SetContext{&deadline.context()};
  auto result = co_await std::move(awaitable);
  co_await runtime::SetContext{&outer};
  if (deadline.expired() && runtime::StatusOf(result).code() == absl::StatusCode::kCancelled) {
    co_return absl::DeadlineExceededError("timed out");
  }
  co_return result;
}

}  // namespace weir

#endif  // RUNTIME_CORE_SLEEP_H_
