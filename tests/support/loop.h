// Loops for tests that need no Host: a scheduler with its timers, in virtual time or over a reactor in real time, on one
// thread.
//
//   VirtualLoop loop;
//   EXPECT_EQ(loop.Run(Answer()), 42);              // time jumps to the next timer when nothing is ready
//
//   Loop loop;                                      // with a reactor; the shard's order of steps
//   loop.Run(Echo(loop.reactor()));
//   EXPECT_TRUE(loop.RunUntil([&] { return done; }));
//
// With WEIR_TEST_OLD_KERNEL=1 in the environment a Loop uses nothing that Linux 6.1 does not have: tests whose names end
// in _old are the others once more, with it.
#ifndef TESTS_SUPPORT_LOOP_H_
#define TESTS_SUPPORT_LOOP_H_

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/time.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/scheduler.h"
#include "runtime/core/stop_token.h"
#include "runtime/core/task.h"
#include "runtime/io/mailbox.h"
#include "runtime/io/reactor.h"

namespace weir::testing {

// Awaits `task` and keeps its result, which may have no default.
template <typename T>
Task<void> StoreResult(Task<T> task, std::optional<T>& result) {
  result.emplace(co_await std::move(task));
}

class VirtualLoop {
 public:
  // `start_ns`: not 0, so that a mistaken zero shows.
  explicit VirtualLoop(Nanos start_ns = kSecond) : scheduler_(start_ns) {}

  runtime::Scheduler& scheduler() { return scheduler_; }
  TaskContext context() { return {&scheduler_, stop_.token()}; }
  StopSource& stop() { return stop_; }
  Nanos now_ns() const { return scheduler_.now_ns(); }

  // Runs until `done`; false when nothing is left to run or to wait for.
  bool RunUntil(const std::function<bool()>& done) {
    for (;;) {
      scheduler_.RunReady();
      if (done()) return true;
      if (scheduler_.has_ready()) continue;
      const Nanos next = scheduler_.timers().NextDeadline();
      if (next == kNever) return false;
      scheduler_.set_now_ns(std::max(next, scheduler_.now_ns()));
      scheduler_.timers().Advance(scheduler_.now_ns());
    }
  }
  void RunAll() {
    RunUntil([] { return false; });
  }

  template <typename T>
  T Run(Task<T> task) {
    std::optional<T> result;
    Run(StoreResult(std::move(task), result));
    return *std::move(result);
  }
  void Run(Task<void> task) {
    AsyncScope root(context());
    root.Spawn(std::move(task));
    WEIR_CHECK(RunUntil([&] { return root.live() == 0; }));
  }

 private:
  runtime::Scheduler scheduler_;
  StopSource stop_;
};

class Loop {
 public:
  // Far above what any test takes, also under sanitizers.
  static constexpr Nanos kLimit = 30 * kSecond;

  explicit Loop(const runtime::Reactor::Options& options = {.features = Features()}) : scheduler_(MonotonicNow()) {
    auto reactor = runtime::Reactor::Create(scheduler_, options);
    if (!reactor.ok()) std::fprintf(stderr, "%s\n", reactor.status().ToString().c_str());
    WEIR_CHECK(reactor.ok());
    reactor_ = *std::move(reactor);
    auto mailbox = runtime::Mailbox::Create(*reactor_);
    WEIR_CHECK(mailbox.ok());
    mailbox_ = *std::move(mailbox);
  }

  runtime::Scheduler& scheduler() { return scheduler_; }
  runtime::Reactor& reactor() { return *reactor_; }
  runtime::Mailbox& mailbox() { return *mailbox_; }
  TaskContext context() { return {&scheduler_, stop_.token()}; }
  StopSource& stop() { return stop_; }

  // One turn; sleeps until `deadline_ns` at most when nothing happened in it.
  void Turn(Nanos deadline_ns) {
    scheduler_.set_now_ns(MonotonicNow());
    size_t events = scheduler_.RunReady();
    scheduler_.timers().Advance(scheduler_.now_ns());
    events += reactor_->Poll();
    events += mailbox_->Run();
    if (events > 0 || scheduler_.has_ready()) return;
    reactor_->Wait(std::min(deadline_ns, scheduler_.timers().NextDeadline()));
  }

  // False when `limit_ns` passed first.
  bool RunUntil(const std::function<bool()>& done, Nanos limit_ns = kLimit) {
    const Nanos deadline = MonotonicNow() + limit_ns;
    runtime::Reactor::LoopScope looping(*reactor_);
    while (!done()) {
      if (MonotonicNow() > deadline) return false;
      Turn(deadline);
    }
    return true;
  }
  void RunFor(Nanos duration_ns) {
    RunUntil([] { return false; }, duration_ns);
  }

  template <typename T>
  T Run(Task<T> task) {
    std::optional<T> result;
    Run(StoreResult(std::move(task), result));
    return *std::move(result);
  }
  // The process ends when the task does not finish within kLimit: it cannot be destroyed half way.
  void Run(Task<void> task) {
    AsyncScope root(context());
    root.Spawn(std::move(task));
    WEIR_CHECK(RunUntil([&] { return root.live() == 0; }));
  }

 private:
  static runtime::UringFeatures Features() {
    return std::getenv("WEIR_TEST_OLD_KERNEL") != nullptr ? runtime::UringFeatures{}
                                                          : runtime::UringFeatures::OfThisKernel();
  }

  runtime::Scheduler scheduler_;
  StopSource stop_;
  std::unique_ptr<runtime::Reactor> reactor_;
  std::unique_ptr<runtime::Mailbox> mailbox_;
};

}  // namespace weir::testing

#endif  // TESTS_SUPPORT_LOOP_H_
