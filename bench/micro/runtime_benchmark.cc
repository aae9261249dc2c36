// The runtime's hot paths, one operation an iteration: resuming, spawning, timers, calls between shards. Every benchmark
// also reports what came from malloc (`mallocs` per iteration), which has to be 0 once warm.
#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/base/recycler.h"
#include "runtime/base/time.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/channel.h"
#include "runtime/core/scheduler.h"
#include "runtime/core/sleep.h"
#include "runtime/core/task.h"
#include "runtime/io/mailbox.h"
#include "runtime/io/reactor.h"

namespace weir {
namespace {

// Blocks that the recycler had to take from malloc, per iteration.
class MallocsPerIteration {
 public:
  explicit MallocsPerIteration(benchmark::State& state)
      : state_(state), before_(runtime::Recycler::ThisThread().misses()) {}
  ~MallocsPerIteration() {
    const auto mallocs = static_cast<double>(runtime::Recycler::ThisThread().misses() - before_);
    state_.counters["mallocs"] = benchmark::Counter(mallocs, benchmark::Counter::kAvgIterations);
  }

 private:
  benchmark::State& state_;
  uint64_t before_;
};

Task<void> YieldForever() {
  const StopToken stop = (co_await CurrentContext()).stop;
  while (!stop.stop_requested()) co_await Yield();
}

// A ready coroutine: taken off the queue, resumed, queued again.
void ResumeReady(benchmark::State& state) {
  runtime::Scheduler scheduler(0);
  AsyncScope scope(TaskContext{&scheduler, {}});
  for (int i = 0; i < state.range(0); ++i) scope.Spawn(YieldForever());
  MallocsPerIteration mallocs(state);
  for ([[maybe_unused]] auto _ : state) scheduler.RunReady(1);
  scope.RequestStop();
  while (scope.live() > 0) scheduler.RunReady();
}
BENCHMARK(ResumeReady)->Arg(1)->Arg(1000);

Task<void> Nothing() { co_return; }

void SpawnAndFinish(benchmark::State& state) {
  runtime::Scheduler scheduler(0);
  AsyncScope scope(TaskContext{&scheduler, {}});
  scope.Spawn(Nothing());
  MallocsPerIteration mallocs(state);
  for ([[maybe_unused]] auto _ : state) scope.Spawn(Nothing());
}
BENCHMARK(SpawnAndFinish);

Task<int> Answer(int n) { co_return n; }

Task<void> AwaitTasks(benchmark::State& state) {
  MallocsPerIteration mallocs(state);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(co_await Answer(1));
}

// A call of a coroutine by a coroutine: creation, symmetric transfer there and back, destruction.
void AwaitTask(benchmark::State& state) {
  runtime::Scheduler scheduler(0);
  AsyncScope scope(TaskContext{&scheduler, {}});
  scope.Spawn(AwaitTasks(state));
}
BENCHMARK(AwaitTask);

// Timeouts as connections use them: armed tens of seconds ahead, cancelled soon.
void TimerArmCancel(benchmark::State& state) {
  Nanos now_ns = kSecond;
  runtime::TimerWheel wheel(now_ns);
  runtime::Timer timer([](runtime::Timer&, Nanos) {});
  for ([[maybe_unused]] auto _ : state) {
    wheel.Arm(timer, now_ns + 30 * kSecond);
    wheel.Cancel(timer);
    now_ns += 100;
  }
}
BENCHMARK(TimerArmCancel);

// The same among many others, each armed anew in turn, and time moving on.
void TimerRearmAmongMany(benchmark::State& state) {
  Nanos now_ns = kSecond;
  std::vector<std::unique_ptr<runtime::Timer>> timers;  // outlives the wheel, in which they stay armed
  runtime::TimerWheel wheel(now_ns);
  for (int i = 0; i < state.range(0); ++i) {
    timers.push_back(std::make_unique<runtime::Timer>([](runtime::Timer&, Nanos) {}));
  }
  size_t next = 0;
  for ([[maybe_unused]] auto _ : state) {
    wheel.Arm(*timers[next], now_ns + 200 * kMillisecond + static_cast<Nanos>(next) * kMicrosecond);
    if (++next == timers.size()) next = 0;
    now_ns += 100;
    wheel.Advance(now_ns);
  }
}
BENCHMARK(TimerRearmAmongMany)->Arg(10000);

Task<absl::Status> Soon() { co_return absl::OkStatus(); }

Task<void> AwaitWithTimeouts(benchmark::State& state) {
  MallocsPerIteration mallocs(state);
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(co_await WithTimeout(Soon(), std::chrono::seconds(30)));
  }
}

Task<void> PassOn(Channel<int>& from, Channel<int>& to) {
  for (;;) {
    absl::StatusOr<int> value = co_await from.Recv();
    if (!value.ok() || !(co_await to.Send(*value)).ok()) co_return;
  }
}

// A value handed over to a coroutine that waits for it, and its resume: half of a round trip between two.
void ChannelHandOver(benchmark::State& state) {
  runtime::Scheduler scheduler(kSecond);
  Channel<int> there(1), back(1);
  AsyncScope scope(TaskContext{&scheduler, {}});
  scope.Spawn(PassOn(there, back));
  scope.Spawn(PassOn(back, there));
  scope.Spawn([](Channel<int>& channel) -> Task<void> { (void)co_await channel.Send(1); }(there));
  MallocsPerIteration mallocs(state);
  for ([[maybe_unused]] auto _ : state) scheduler.RunReady(1);
  scope.RequestStop();
  while (scope.live() > 0) scheduler.RunReady();
}
BENCHMARK(ChannelHandOver);

Task<void> Produce(Channel<int>& channel) {
  for (int value = 0; (co_await channel.Send(value)).ok(); ++value) {
  }
}
Task<void> Consume(Channel<int>& channel, uint64_t& taken) {
  while ((co_await channel.Recv()).ok()) ++taken;
}

// A value through a channel with room, where producer and consumer take turns of many values.
void ChannelBuffered(benchmark::State& state) {
  runtime::Scheduler scheduler(kSecond);
  Channel<int> channel(64);
  uint64_t taken = 0;
  AsyncScope scope(TaskContext{&scheduler, {}});
  scope.Spawn(Consume(channel, taken));
  scope.Spawn(Produce(channel));
  MallocsPerIteration mallocs(state);
  uint64_t seen = taken;
  for ([[maybe_unused]] auto _ : state) {
    while (taken == seen) scheduler.RunReady(1);
    ++seen;
  }
  scope.RequestStop();
  while (scope.live() > 0) scheduler.RunReady();
}
BENCHMARK(ChannelBuffered);

// What a timeout adds to a call that returns at once.
void AwaitWithTimeout(benchmark::State& state) {
  runtime::Scheduler scheduler(kSecond);
  AsyncScope scope(TaskContext{&scheduler, {}});
  scope.Spawn(AwaitWithTimeouts(state));
}
BENCHMARK(AwaitWithTimeout);

// A thread with a reactor and a mailbox, as a shard has them.
class Peer {
 public:
  Peer() : thread_([this] { Run(); }) {
    while (mailbox_.load() == nullptr) std::this_thread::yield();
  }
  ~Peer() {
    mailbox_.load()->PostFunction([this] { stop_ = true; });
    thread_.join();
  }
  runtime::Mailbox& mailbox() { return *mailbox_.load(); }

 private:
  void Run() {
    runtime::Scheduler scheduler(MonotonicNow());
    auto reactor = *runtime::Reactor::Create(scheduler);
    auto mailbox = *runtime::Mailbox::Create(*reactor);
    mailbox_ = mailbox.get();
    while (!stop_) {
      reactor->Poll();
      mailbox->Run();
    }
  }

  std::atomic<runtime::Mailbox*> mailbox_ = nullptr;
  bool stop_ = false;
  std::thread thread_;
};

struct PingPong : runtime::Message {
  PingPong(runtime::Mailbox& home, runtime::Mailbox& away)
      : Message([](runtime::Message& m) {
          auto& self = static_cast<PingPong&>(m);
          if (std::exchange(self.answered, !self.answered)) {
            self.at_home = true;  // on the asking thread
          } else {
            self.home.Post(self);  // on the other
          }
        }),
        home(home), away(away) {}
  runtime::Mailbox& home;
  runtime::Mailbox& away;
  bool answered = false;
  bool at_home = true;
};

// A message to a shard that does not sleep, and its answer.
void CrossShardRoundTrip(benchmark::State& state) {
  runtime::Scheduler scheduler(MonotonicNow());
  auto reactor = *runtime::Reactor::Create(scheduler);
  auto mailbox = *runtime::Mailbox::Create(*reactor);
  Peer peer;
  PingPong message(*mailbox, peer.mailbox());
  for ([[maybe_unused]] auto _ : state) {
    message.at_home = false;
    message.away.Post(message);
    while (!message.at_home) mailbox->Run();
  }
}
BENCHMARK(CrossShardRoundTrip)->UseRealTime();

}  // namespace
}  // namespace weir

BENCHMARK_MAIN();
