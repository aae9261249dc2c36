#include "runtime/io/mailbox.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "tests/support/loop.h"

namespace weir::runtime {
namespace {

using weir::testing::Loop;

TEST(Mailbox, RunsInOrder) {
  Loop loop;
  std::vector<int> seen;
  for (int i = 0; i < 5; ++i) loop.mailbox().PostFunction([&seen, i] { seen.push_back(i); });
  EXPECT_TRUE(seen.empty());
  EXPECT_EQ(loop.mailbox().Run(), 5u);
  EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_EQ(loop.mailbox().Run(), 0u);
  EXPECT_EQ(loop.mailbox().wakes(), 0u);  // it did not sleep
}

TEST(Mailbox, AMessageMayPostAgain) {
  Loop loop;
  int runs = 0;
  struct Again : Message {
    Again(Mailbox& mailbox, int& runs)
        : Message([](Message& m) {
            auto& self = static_cast<Again&>(m);
            if (++self.runs < 3) self.mailbox.Post(self);
          }),
          mailbox(mailbox),
          runs(runs) {}
    Mailbox& mailbox;
    int& runs;
  } again(loop.mailbox(), runs);
  loop.mailbox().Post(again);
  EXPECT_EQ(loop.mailbox().Run(), 1u);  // what it posted waits for the next turn
  EXPECT_TRUE(loop.RunUntil([&] { return runs == 3; }));
}

TEST(Mailbox, WakesASleepingShard) {
  Loop loop;
  for (int i = 0; i < 20; ++i) {
    bool ran = false;
    std::thread poster([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      loop.mailbox().PostFunction([&] { ran = true; });
    });
    while (!ran) {
      loop.reactor().Poll();
      if (loop.mailbox().Run() == 0) loop.reactor().Wait(kNever);
    }
    poster.join();
  }
  EXPECT_LE(loop.mailbox().wakes(), 20u);
  EXPECT_GT(loop.mailbox().wakes(), 0u);
}

TEST(Mailbox, ManyPostersLoseNothingAndKeepTheirOrder) {
  constexpr int kThreads = 4;
  constexpr int kEach = 20'000;
  Loop loop;
  std::array<int, kThreads> next{};
  int total = 0;
  struct Numbered : Message {
    Numbered(std::array<int, kThreads>& next, int& total, int thread, int number)
        : Message([](Message& m) {
            std::unique_ptr<Numbered> self(static_cast<Numbered*>(&m));
            EXPECT_EQ(self->next[static_cast<size_t>(self->thread)]++, self->number);
            ++self->total;
          }),
          next(next),
          total(total),
          thread(thread),
          number(number) {}
    std::array<int, kThreads>& next;
    int& total;
    int thread, number;
  };
  std::vector<std::thread> posters;
  for (int t = 0; t < kThreads; ++t) {
    posters.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        loop.mailbox().Post(*new Numbered(next, total, t, i));
        if (i % 1000 == 0) std::this_thread::yield();
      }
    });
  }
  // Sleeps whenever there is nothing, so that a lost wake-up would hang here.
  while (total < kThreads * kEach) {
    loop.reactor().Poll();
    if (loop.mailbox().Run() == 0) loop.reactor().Wait(kNever);
  }
  for (std::thread& poster : posters) poster.join();
  EXPECT_LT(loop.mailbox().wakes(), static_cast<uint64_t>(kThreads * kEach));
}

// One thread at a time posts one message and waits for it: each post meets the shard on its way to sleep.
TEST(Mailbox, PingPongLosesNoWakeUp) {
  Loop loop;
  std::atomic<int> answered{0};
  constexpr int kRounds = 5000;
  std::thread poster([&] {
    for (int i = 0; i < kRounds; ++i) {
      loop.mailbox().PostFunction([&] { answered.fetch_add(1); });
      while (answered.load() <= i) std::this_thread::yield();
    }
  });
  while (answered.load() < kRounds) {
    loop.reactor().Poll();
    if (loop.mailbox().Run() == 0) loop.reactor().Wait(kNever);
  }
  poster.join();
}

TEST(Mailbox, DestructorRunsWhatIsLeft) {
  bool ran = false;
  {
    Loop loop;
    loop.mailbox().PostFunction([&] { ran = true; });
  }
  EXPECT_TRUE(ran);
}

// Two shards that send a message to and fro and sleep in between: every post has to wake the other, from a loop by
// MSG_RING. A lost one would stop the exchange.
TEST(Mailbox, ShardsWakeEachOther) {
  constexpr int kRounds = 20'000;
  struct Ball : Message {
    Ball(Mailbox* a, Mailbox* b) : Message(&Hit), sides{a, b} {}
    static void Hit(Message& message) {
      auto& ball = static_cast<Ball&>(message);
      if (++ball.hits >= kRounds) ball.done = true;
      if (ball.hits <= kRounds) ball.sides[ball.hits % 2]->Post(ball);
    }
    std::array<Mailbox*, 2> sides;
    int hits = 0;
    std::atomic<bool> done = false;
  };
  Loop here;
  std::atomic<Mailbox*> other = nullptr;
  std::atomic<Ball*> ball = nullptr;
  std::atomic<uint64_t> syscalls = 0;
  std::atomic<bool> posted = false;
  std::thread peer([&] {
    Loop there;
    other = &there.mailbox();
    while (ball.load() == nullptr) std::this_thread::yield();
    const uint64_t before = there.reactor().stats().syscalls;
    EXPECT_TRUE(there.RunUntil([&] { return ball.load()->done.load(); }));
    syscalls = there.reactor().stats().syscalls - before;
    while (!posted.load()) there.RunFor(kMillisecond);  // a mailbox stays until nobody posts to it any more
  });
  while (other.load() == nullptr) std::this_thread::yield();
  Ball exchanged(&here.mailbox(), other.load());
  ball = &exchanged;
  other.load()->Post(exchanged);
  EXPECT_TRUE(here.RunUntil([&] { return exchanged.done.load(); }));
  here.RunFor(kMillisecond);  // what is still on its way
  posted = true;
  peer.join();
  here.RunFor(kMillisecond);
  EXPECT_GT(here.mailbox().wakes(), 0u);
  std::printf("%lu wakes of %d posts, %lu enters\n", here.mailbox().wakes(), kRounds / 2, syscalls.load());
}

}  // namespace
}  // namespace weir::runtime
