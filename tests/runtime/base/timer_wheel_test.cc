// The timer wheel against a sorted map: nothing fires early, nothing late, cancel and re-arm at any time.
#include "runtime/base/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "tests/support/random.h"

namespace weir::runtime {
namespace {

constexpr int kTickBits = 14;
constexpr Nanos kTick = Nanos{1} << kTickBits;

int64_t TickAtOrAfter(Nanos ns) { return (ns + kTick - 1) >> kTickBits; }

// Timers by number, and a model that says in which tick each of them is due.
class Model {
 public:
  explicit Model(Nanos now_ns) : now_(now_ns), wheel_(now_ns) {}

  struct Entry : Timer {
    Entry(Model& model, int id) : Timer(&OnFire), model(model), id(id) {}
    static void OnFire(Timer& timer, Nanos now_ns) {
      auto& self = static_cast<Entry&>(timer);
      self.model.Fired(self, now_ns);
    }
    Model& model;
    int id;
    Nanos rearm_delay = 0;  // arm again in the callback, once
  };

  void Arm(Entry& entry, Nanos deadline) {
    Forget(entry);
    due_.emplace(std::max(TickAtOrAfter(deadline), (now_ >> kTickBits) + 1), &entry);
    wheel_.Arm(entry, deadline);
  }
  void Cancel(Entry& entry) {
    Forget(entry);
    wheel_.Cancel(entry);
  }
  void Advance(Nanos now_ns) {
    now_ = now_ns;
    last_fired_ = 0;
    wheel_.Advance(now_ns);
    if (!due_.empty()) {
      EXPECT_GT(due_.begin()->first, now_ns >> kTickBits) << "a timer is late";
    }
    CheckBound();
  }
  void CheckBound() {
    ASSERT_EQ(wheel_.armed(), due_.size());
    if (due_.empty()) {
      EXPECT_EQ(wheel_.NextDeadline(), kNever);
    } else {
      EXPECT_LE(wheel_.NextDeadline(), due_.begin()->first << kTickBits);
    }
  }
  Nanos now() const { return now_; }
  TimerWheel& wheel() { return wheel_; }
  size_t armed() const { return due_.size(); }
  int fired() const { return fired_; }

 private:
  void Forget(Entry& entry) {
    std::erase_if(due_, [&](const auto& item) { return item.second == &entry; });
  }
  void Fired(Entry& entry, Nanos now_ns) {
    ++fired_;
    auto item = std::find_if(due_.begin(), due_.end(), [&](const auto& i) { return i.second == &entry; });
    ASSERT_NE(item, due_.end()) << "fired, but was not armed";
    EXPECT_LE(item->first, now_ns >> kTickBits) << "early";
    EXPECT_GE(item->first, last_fired_) << "out of order";
    EXPECT_LE(entry.deadline_ns(), now_ns) << "early";
    EXPECT_FALSE(entry.armed());
    last_fired_ = item->first;
    due_.erase(item);
    if (entry.rearm_delay > 0) Arm(entry, now_ns + std::exchange(entry.rearm_delay, 0));
  }

  Nanos now_;
  TimerWheel wheel_;
  std::multimap<int64_t, Entry*> due_;
  int64_t last_fired_ = 0;
  int fired_ = 0;
};

// A delay on any of the wheel's levels.
Nanos AnyDelay(testing::Random& random) {
  const uint64_t bits = 1 + random.Below(54);
  return static_cast<Nanos>(random.Below(uint64_t{1} << bits));
}

TEST(TimerWheel, RandomOperationsAgreeWithASortedMap) {
  testing::Random random;
  Model model(static_cast<Nanos>(random.Below(uint64_t{1} << 50)));
  std::vector<std::unique_ptr<Model::Entry>> timers;
  for (int i = 0; i < 200; ++i) timers.push_back(std::make_unique<Model::Entry>(model, i));
  for (int step = 0; step < 50'000 && !HasFailure(); ++step) {
    Model::Entry& timer = *timers[random.Below(timers.size())];
    switch (random.Below(8)) {
      case 0:
        model.Cancel(timer);
        break;
      case 1:
      case 2:
        // Also deadlines that have passed.
        model.Arm(timer, std::max<Nanos>(model.now() + AnyDelay(random) - 3 * kTick, 0));
        break;
      case 3:
        timer.rearm_delay = 1 + AnyDelay(random);
        break;
      case 4:
        if (model.armed() > 0) model.Advance(std::max(model.now(), model.wheel().NextDeadline()));
        break;
      default:
        model.Advance(model.now() + AnyDelay(random) / (1 + static_cast<Nanos>(random.Below(1000))));
    }
  }
  while (model.armed() > 0 && !HasFailure()) model.Advance(std::max(model.now(), model.wheel().NextDeadline()));
  EXPECT_GT(model.fired(), 1000);
  for (auto& timer : timers) model.Cancel(*timer);
}

TEST(TimerWheel, CascadesOverEveryLevel) {
  for (int level = 0; level < 8; ++level) {
    Model model(12'345);
    Model::Entry timer(model, level);
    const Nanos deadline = model.now() + (Nanos{3} << (kTickBits + 6 * level)) + 7 * kTick + 1;
    model.Arm(timer, deadline);
    model.Advance(deadline - 1);
    EXPECT_EQ(model.fired(), 0);
    model.Advance(deadline + kTick);
    EXPECT_EQ(model.fired(), 1) << "level " << level;
  }
}

// Following NextDeadline comes to the timer in few steps, however far it is.
TEST(TimerWheel, NextDeadlineLeadsToTheTimer) {
  Model model(kSecond);
  Model::Entry timer(model, 0);
  model.Arm(timer, model.now() + 100 * 24 * 3600 * kSecond);
  int steps = 0;
  while (model.fired() == 0 && ++steps < 100) model.Advance(model.wheel().NextDeadline());
  EXPECT_EQ(model.fired(), 1);
  EXPECT_LE(steps, 9);
}

TEST(TimerWheel, NeverIsFarAway) {
  Model model(kSecond);
  Model::Entry timer(model, 0);
  model.wheel().Arm(timer, kNever);
  model.wheel().Advance(kSecond + 365 * 24 * 3600 * kSecond);
  EXPECT_TRUE(timer.armed());
  model.wheel().Cancel(timer);
  model.wheel().Cancel(timer);  // twice does nothing
  EXPECT_EQ(model.wheel().armed(), 0u);
}

// A callback may cancel another timer of the same slot and destroy its own.
TEST(TimerWheel, CallbackCancelsANeighbour) {
  TimerWheel wheel(0);
  struct Pair : Timer {
    Pair(TimerWheel& wheel) : Timer(&OnFire), wheel(wheel) {}
    static void OnFire(Timer& timer, Nanos) {
      auto& self = static_cast<Pair&>(timer);
      ++self.fired;
      self.wheel.Cancel(*self.other);
    }
    TimerWheel& wheel;
    Pair* other = nullptr;
    int fired = 0;
  };
  Pair a(wheel), b(wheel);
  a.other = &b, b.other = &a;
  wheel.Arm(a, kMillisecond);
  wheel.Arm(b, kMillisecond);
  wheel.Advance(2 * kMillisecond);
  EXPECT_EQ(a.fired + b.fired, 1);
  EXPECT_EQ(wheel.armed(), 0u);
  EXPECT_EQ(wheel.NextDeadline(), kNever);
}

}  // namespace
}  // namespace weir::runtime
