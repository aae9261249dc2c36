// WaitQueue: coroutines that wait in line, first in first out, for something another coroutine of the same shard gives.
// Under AsyncEvent, Semaphore, AsyncMutex and Channel.
//
// A QueuedWaiter lives in the awaiter, so in the waiting coroutine's frame. It leaves the line in one of two ways: the
// giver pops it, puts what it gives into it and calls Wake; or a stop takes it out, and it resumes with kCancelled.
// Whichever comes first counts: a waiter that was given something keeps it, whatever happens before it runs.
#ifndef RUNTIME_CORE_WAIT_QUEUE_H_
#define RUNTIME_CORE_WAIT_QUEUE_H_

#include <coroutine>

#include "runtime/base/check.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/core/waiter.h"

namespace weir::runtime {

class QueuedWaiter;

class WaitQueue {
 public:
  WaitQueue() = default;
  // What is waited for must not go while somebody waits for it.
  ~WaitQueue() { WEIR_CHECK(empty()); }

  bool empty() const { return waiters_.empty(); }
  QueuedWaiter& front() { return waiters_.front(); }
  // The oldest, out of the line; nullptr when nobody waits. The caller wakes it.
  QueuedWaiter* Pop() { return waiters_.PopFront(); }
  void Push(QueuedWaiter& waiter) { waiters_.PushBack(waiter); }

 private:
  List<QueuedWaiter, QueuedWaiter> waiters_;
};

class QueuedWaiter : public Waiter, public ListNode<QueuedWaiter> {
 public:
  bool cancelled() const { return cancelled_; }

 protected:
  // `on_cancelled`: called after a stop took the waiter out of the line, when those behind it may be better off.
  using CancelledFn = void (*)(QueuedWaiter& waiter);
  explicit QueuedWaiter(const char* waits_for, CancelledFn on_cancelled = nullptr)
      : Waiter(&OnStop), waits_for_(waits_for), on_cancelled_(on_cancelled) {}

  // Under a stop the call ends here, before it takes anything: true, and cancelled.
  template <typename Promise>
  bool StoppedBefore(std::coroutine_handle<Promise> self) {
    cancelled_ = self.promise().context()->stop.stop_requested();
    return cancelled_;
  }

  // Suspends `self` at the end of the line. Only after StoppedBefore said no.
  template <typename Promise>
  void WaitIn(WaitQueue& queue, std::coroutine_handle<Promise> self) {
    static_cast<void>(Suspend(self, waits_for_));
    queue.Push(*this);
  }

 private:
  static void OnStop(StopCallback& callback) {
    auto& self = static_cast<QueuedWaiter&>(callback);
    self.ListNode<QueuedWaiter>::Unlink();
    self.cancelled_ = true;
    self.Wake();
    if (self.on_cancelled_ != nullptr) self.on_cancelled_(self);
  }

  const char* const waits_for_;
  const CancelledFn on_cancelled_;
  bool cancelled_ = false;
};

}  // namespace weir::runtime

#endif  // RUNTIME_CORE_WAIT_QUEUE_H_
