// Waiter: the common part of every awaitable that can be cancelled: the suspended coroutine, its place in the ready
// queue, and how a stop finds it. Embedded in the awaiter, so it costs no allocation.
//
// The owner of the event calls Wake() once when it has happened; the stop token calls the cancel function given to
// Suspend, which takes the waiter out of wherever it waits (now, or when the kernel has let go of it) and then also
// calls Wake().
#ifndef RUNTIME_CORE_WAITER_H_
#define RUNTIME_CORE_WAITER_H_

#include <coroutine>

#include "runtime/core/scheduler.h"
#include "runtime/core/stop_token.h"
#include "runtime/core/task.h"

namespace weir::runtime {

class Waiter : public StopCallback {
 public:
  explicit Waiter(StopCallback::Function on_stop) : StopCallback(on_stop) {}

  // Takes `self` as the coroutine to resume. False when the stop was already requested: then nothing is registered
  // and the awaiter must not suspend. `waits_for`: a string literal for DumpTasks, such as "tcp recv".
  template <typename Promise>
  bool Suspend(std::coroutine_handle<Promise> self, const char* waits_for) {
    if (!Prepare(self)) return false;
    Listen(self, waits_for);
    return true;
  }
  // The same in two steps, for what mostly completes at once: Prepare before it is begun, and Listen when it turned out
  // that it has to be waited for.
  template <typename Promise>
  bool Prepare(std::coroutine_handle<Promise> self) {
    handle = self;
    promise_ = &self.promise();
    return !promise_->context()->stop.stop_requested();
  }
  template <typename Promise>
  void Listen(std::coroutine_handle<Promise> self, const char* waits_for) {
    PromiseBase& promise = self.promise();
    promise.NoteWait(waits_for);
    if (!promise.HoldWaiter(*this)) Register(promise.context()->stop);
  }
  // A stop is not heard of any more.
  void StopListening() {
    promise_->DropWaiter();
    Unregister();
  }

  // Asks memory for what Wake() will touch.
  void PrefetchWake() const {
    if (linked()) PrefetchLinks();
    Prefetch(handle.address());
  }

  // Queues the coroutine. The waiter may be destroyed once it is resumed, not before.
  void Wake() {
    StopListening();
    Prefetch(handle.address());
    scheduler().Schedule(*this);
  }

  Scheduler& scheduler() { return *promise_->context()->scheduler; }

 private:
  // Others are resumed first, long enough for the memory: with a thousand connections a coroutine that wakes has left
  // the caches. Its state is at the front of its frame; 320 bytes are what a server's loop over a stream takes.
  static void Prefetch(const void* frame) {
    for (int line = 0; line < 5; ++line) __builtin_prefetch(static_cast<const char*>(frame) + 64 * line, /*rw=*/1);
  }

  PromiseBase* promise_ = nullptr;
};

}  // namespace weir::runtime

#endif  // RUNTIME_CORE_WAITER_H_
