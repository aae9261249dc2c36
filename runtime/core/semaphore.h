// Semaphore: permits that coroutines of one shard take and give back, such as how many connections may be open or how
// many bytes be under way. Strictly first come, first served: a small request does not pass a large one that waits, so
// nobody starves.
//
//   Semaphore slots(16);
//   absl::Status got = co_await slots.Acquire();
//   if (!got.ok()) co_return got;                       // kCancelled: no permit was taken
//   ...  slots.Release();
//
// It must not be destroyed while somebody waits. Nothing allocates.
#ifndef RUNTIME_CORE_SEMAPHORE_H_
#define RUNTIME_CORE_SEMAPHORE_H_

#include <coroutine>
#include <cstddef>

#include "absl/status/status.h"
#include "runtime/core/wait_queue.h"

namespace weir {

class Semaphore {
 public:
  class Awaiter : runtime::QueuedWaiter {
   public:
    Awaiter(Semaphore& semaphore, size_t permits)
        : QueuedWaiter("semaphore", &OnCancelled), semaphore_(semaphore), permits_(permits) {}
    bool await_ready() const { return false; }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) {
      if (StoppedBefore(self) || semaphore_.TryAcquire(permits_)) return false;
      WaitIn(semaphore_.waiters_, self);
      return true;
    }
    absl::Status await_resume() const {
      return cancelled() ? absl::CancelledError("Semaphore::Acquire cancelled") : absl::OkStatus();
    }

   private:
    friend class Semaphore;
    // It may have been first in line, and too large for what there is: now it is the next one's turn.
    static void OnCancelled(QueuedWaiter& waiter) { static_cast<Awaiter&>(waiter).semaphore_.Serve(); }

    Semaphore& semaphore_;
    const size_t permits_;
  };
  struct AcquireOperation {
    Semaphore* semaphore;
    size_t permits;
    Awaiter operator co_await() const { return Awaiter(*semaphore, permits); }
  };

  explicit Semaphore(size_t permits) : available_(permits) {}
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // Takes `permits` at once, or waits in line for them and resumes through the scheduler. kCancelled, with no permit
  // taken, when the stop of the scope was requested. More than there will ever be waits until then.
  AcquireOperation Acquire(size_t permits = 1) { return {this, permits}; }

  // False when there are not enough, or when somebody waits in line.
  bool TryAcquire(size_t permits = 1) {
    if (!waiters_.empty() || available_ < permits) return false;
    available_ -= permits;
    return true;
  }

  // Gives permits, taken before or new ones, to those who wait longest.
  void Release(size_t permits = 1) {
    available_ += permits;
    Serve();
  }

  // Permits that nobody holds.
  size_t available() const { return available_; }

 private:
  void Serve() {
    while (!waiters_.empty()) {
      auto& first = static_cast<Awaiter&>(waiters_.front());
      if (first.permits_ > available_) return;
      available_ -= first.permits_;
      waiters_.Pop()->Wake();
    }
  }

  size_t available_;
  runtime::WaitQueue waiters_;
};

}  // namespace weir

#endif  // RUNTIME_CORE_SEMAPHORE_H_
