// AsyncEvent: a flag that coroutines of one shard wait for. Set wakes all that wait and lets every later Wait through
// at once, until Reset.
//
//   AsyncEvent configured;
//   absl::Status set = co_await configured.Wait();      // in any number of tasks
//   configured.Set();
//
// It must not be destroyed while somebody waits. Nothing allocates.
#ifndef RUNTIME_CORE_ASYNC_EVENT_H_
#define RUNTIME_CORE_ASYNC_EVENT_H_

#include <coroutine>

#include "absl/status/status.h"
#include "runtime/core/wait_queue.h"

namespace weir {

class AsyncEvent {
 public:
  class Awaiter : runtime::QueuedWaiter {
   public:
    explicit Awaiter(AsyncEvent& event) : QueuedWaiter("event"), event_(event) {}
    bool await_ready() const { return false; }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) {
      if (StoppedBefore(self) || event_.set_) return false;
      WaitIn(event_.waiters_, self);
      return true;
    }
    absl::Status await_resume() const {
      return cancelled() ? absl::CancelledError("AsyncEvent::Wait cancelled") : absl::OkStatus();
    }

   private:
    AsyncEvent& event_;
  };
  struct WaitOperation {
    AsyncEvent* event;
    Awaiter operator co_await() const { return Awaiter(*event); }
  };

  AsyncEvent() = default;
  AsyncEvent(const AsyncEvent&) = delete;
  AsyncEvent& operator=(const AsyncEvent&) = delete;

  // Queues everybody who waits now; a Reset before they run takes nothing from them.
  void Set() {
    set_ = true;
    while (runtime::QueuedWaiter* waiter = waiters_.Pop()) waiter->Wake();
  }
  void Reset() { set_ = false; }
  bool is_set() const { return set_; }

  // OK when the event is set: at once, or through the scheduler; kCancelled when the stop of the scope was requested.
  WaitOperation Wait() { return {this}; }

 private:
  bool set_ = false;
  runtime::WaitQueue waiters_;
};

}  // namespace weir

#endif  // RUNTIME_CORE_ASYNC_EVENT_H_
