// Scheduler: the ready queue of a shard, first in first out, and the shard's time and timers as coroutines see them.
// Waking a coroutine only queues it; RunReady is the one place where coroutines are resumed.
#ifndef RUNTIME_CORE_SCHEDULER_H_
#define RUNTIME_CORE_SCHEDULER_H_

#include <cstdint>

#include "runtime/base/intrusive_list.h"
#include "runtime/base/time.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/core/stop_token.h"

namespace weir {

class AsyncScope;

namespace runtime {

class Scheduler {
 public:
  explicit Scheduler(Nanos now_ns) : now_ns_(now_ns), timers_(now_ns) {}

  void Schedule(Resumable& coroutine) { ready_.PushBack(coroutine); }
  bool has_ready() const { return !ready_.empty(); }

  // Resumes ready coroutines, including those they wake, until none is left or `budget` were resumed; returns how
  // many. The budget bounds how long frames wait for the transmit flush that follows.
  size_t RunReady(size_t budget = kRunBudget) {
    size_t resumed = 0;
    while (resumed < budget) {
      Resumable* coroutine = ready_.PopFront();
      if (coroutine == nullptr) break;
      coroutine->handle.resume();
      ++resumed;
    }
    resumes_ += resumed;
    return resumed;
  }

  // The time of the current turn of the loop.
  Nanos now_ns() const { return now_ns_; }
  void set_now_ns(Nanos now_ns) { now_ns_ = now_ns; }
  TimerWheel& timers() { return timers_; }
  uint64_t resumes() const { return resumes_; }
  // The scopes that live on this shard, in the order of their construction.
  List<AsyncScope, AsyncScope>& scopes() { return scopes_; }

 private:
  // Four bursts of 64 frames, each of which can wake one reader.
  static constexpr size_t kRunBudget = 256;

  Nanos now_ns_;
  uint64_t resumes_ = 0;
  List<Resumable, Resumable> ready_;
  List<AsyncScope, AsyncScope> scopes_;
  TimerWheel timers_;
};

}  // namespace runtime

// What a task inherits from whoever awaits or spawns it.
struct TaskContext {
  runtime::Scheduler* scheduler = nullptr;
  StopToken stop;
};

}  // namespace weir

#endif  // RUNTIME_CORE_SCHEDULER_H_
