#include "runtime/core/channel.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/core/async_scope.h"
#include "runtime/core/sleep.h"
#include "tests/support/loop.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::VirtualLoop;
using Code = absl::StatusCode;

// Movable and nothing else: no default, no assignment.
struct Item {
  explicit Item(int n) : n(n) {}
  Item(Item&&) = default;
  Item& operator=(Item&&) = delete;
  const int n;
};

Task<void> Send(Channel<Item>& channel, int n, std::vector<Code>& results) {
  results.push_back((co_await channel.Send(Item(n))).code());
}
Task<void> Recv(Channel<Item>& channel, std::vector<int>& values, std::vector<Code>& errors) {
  absl::StatusOr<Item> item = co_await channel.Recv();
  if (item.ok()) {
    values.push_back(item->n);
  } else {
    errors.push_back(item.status().code());
  }
}

struct Channels {
  explicit Channels(size_t capacity) : channel(capacity) {}
  void Send(int n) { scope.Spawn(weir::Send(channel, n, sent)); }
  void Recv() { scope.Spawn(weir::Recv(channel, received, errors)); }

  VirtualLoop loop;
  Channel<Item> channel;
  AsyncScope scope{loop.context()};
  std::vector<Code> sent, errors;
  std::vector<int> received;
};

TEST(Channel, KeepsTheOrderAndWaitsWhenFull) {
  Channels t(2);
  for (int n = 1; n <= 5; ++n) t.Send(n);
  EXPECT_EQ(t.sent.size(), 2u);
  EXPECT_EQ(t.channel.size(), 2u);
  for (int i = 0; i < 5; ++i) t.Recv();
  EXPECT_EQ(t.received, (std::vector<int>{1, 2, 3, 4, 5}));
  t.loop.RunAll();
  EXPECT_EQ(t.sent, std::vector<Code>(5, Code::kOk));
  EXPECT_EQ(t.channel.size(), 0u);
}

TEST(Channel, HandsOverToAWaitingReceiver) {
  Channels t(1);
  t.Recv();
  t.Recv();
  for (int n = 1; n <= 3; ++n) t.Send(n);
  EXPECT_EQ(t.sent.size(), 3u);  // two handed over, one in the channel
  EXPECT_EQ(t.channel.size(), 1u);
  EXPECT_TRUE(t.received.empty());  // through the scheduler
  t.loop.RunAll();
  EXPECT_EQ(t.received, (std::vector<int>{1, 2}));
  t.Recv();
  EXPECT_EQ(t.received.back(), 3);
}

TEST(Channel, TryDoesNotWait) {
  Channels t(1);
  EXPECT_FALSE(t.channel.TryRecv().has_value());
  EXPECT_TRUE(t.channel.TrySend(Item(1)));
  Item second(2);
  EXPECT_FALSE(t.channel.TrySend(std::move(second)));
  EXPECT_EQ(second.n, 2);
  t.Send(3);  // waits
  EXPECT_EQ(t.channel.TryRecv()->n, 1);
  EXPECT_FALSE(t.channel.TrySend(std::move(second)));  // the waiting sender's value is in the freed slot
  EXPECT_EQ(t.channel.TryRecv()->n, 3);
  t.Recv();
  EXPECT_TRUE(t.channel.TrySend(std::move(second)));
  t.loop.RunAll();
  EXPECT_EQ(t.received, std::vector<int>{2});
}

TEST(Channel, CloseEndsSendersAndEmptiesFirst) {
  Channels t(1);
  t.Send(1);
  t.Send(2);  // waits
  t.channel.Close();
  t.channel.Close();
  EXPECT_TRUE(t.channel.closed());
  EXPECT_FALSE(t.channel.TrySend(Item(9)));
  t.Send(3);
  t.loop.RunAll();
  EXPECT_EQ(t.sent, (std::vector<Code>{Code::kOk, Code::kFailedPrecondition, Code::kFailedPrecondition}));
  t.Recv();
  EXPECT_EQ(t.received, std::vector<int>{1});
  t.Recv();
  EXPECT_EQ(t.errors, std::vector<Code>{Code::kOutOfRange});
}

TEST(Channel, CloseEndsWaitingReceivers) {
  Channels t(1);
  t.Recv();
  t.Recv();
  t.Send(1);
  t.channel.Close();
  t.loop.RunAll();
  EXPECT_EQ(t.received, std::vector<int>{1});  // handed over before the end
  EXPECT_EQ(t.errors, std::vector<Code>{Code::kOutOfRange});
}

TEST(Channel, CancelledReceiverLeavesTheLine) {
  Channels t(1);
  AsyncScope stopped(t.loop.context());
  stopped.Spawn(Recv(t.channel, t.received, t.errors));
  t.Recv();
  stopped.RequestStop();
  t.Send(1);
  t.loop.RunAll();
  EXPECT_EQ(t.received, std::vector<int>{1});
  EXPECT_EQ(t.errors, std::vector<Code>{Code::kCancelled});
  // Under a stop nothing is taken.
  t.Send(2);
  stopped.Spawn(Recv(t.channel, t.received, t.errors));
  EXPECT_EQ(t.errors.size(), 2u);
  EXPECT_EQ(t.channel.size(), 1u);
}

TEST(Channel, CancelledSenderLeavesTheLine) {
  Channels t(1);
  AsyncScope stopped(t.loop.context());
  t.Send(1);
  stopped.Spawn(Send(t.channel, 2, t.sent));
  t.Send(3);
  stopped.RequestStop();
  t.loop.RunAll();
  for (int i = 0; i < 2; ++i) t.Recv();
  t.loop.RunAll();
  EXPECT_EQ(t.received, (std::vector<int>{1, 3}));
  EXPECT_EQ(t.sent, (std::vector<Code>{Code::kOk, Code::kCancelled, Code::kOk}));
}

// What was handed over before the stop is not lost, in either direction.
TEST(Channel, AHandOverWinsOverALaterStop) {
  Channels t(1);
  t.Recv();
  t.Send(1);
  t.scope.RequestStop();
  t.loop.RunAll();
  EXPECT_EQ(t.received, std::vector<int>{1});

  Channels u(1);
  u.Send(1);
  u.Send(2);
  EXPECT_EQ(u.channel.TryRecv()->n, 1);
  u.scope.RequestStop();
  u.loop.RunAll();
  EXPECT_EQ(u.sent, (std::vector<Code>{Code::kOk, Code::kOk}));
  EXPECT_EQ(u.channel.TryRecv()->n, 2);
}

TEST(Channel, MoveOnlyValuesAreDestroyedOnce) {
  VirtualLoop loop;
  auto counted = std::make_shared<int>(0);
  {
    Channel<std::shared_ptr<int>> channel(3);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(channel.TrySend(std::shared_ptr<int>(counted)));
    EXPECT_EQ(counted.use_count(), 4);
    channel.TryRecv();
    EXPECT_EQ(counted.use_count(), 3);  // nothing stays behind in the slot
  }
  EXPECT_EQ(counted.use_count(), 1);
  Channel<std::unique_ptr<int>> owners(1);
  auto body = [&]() -> Task<int> {
    static_cast<void>(co_await owners.Send(std::make_unique<int>(7)));
    co_return **co_await owners.Recv();
  };
  EXPECT_EQ(loop.Run(body()), 7);
}

TEST(Channel, UnderATimeout) {
  VirtualLoop loop;
  Channel<int> channel(1);
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop.Run(WithTimeout(channel.Recv(), milliseconds(5))).status()));
  EXPECT_TRUE(loop.Run(WithTimeout(channel.Send(1), milliseconds(5))).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop.Run(WithTimeout(channel.Send(2), milliseconds(5)))));
  EXPECT_EQ(*loop.Run(WithTimeout(channel.Recv(), milliseconds(5))), 1);
}

}  // namespace
}  // namespace weir
