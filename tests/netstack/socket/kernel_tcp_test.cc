// What only TCP over kernel sockets has: SIGPIPE, pauses of the receive, and the ring of buffers. What both stacks
// promise is in stream_test.cc and stream_semantics_test.cc.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/netstack/socket/kernel_fixture.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::KernelFixture;
using testing::Pattern;
using testing::RecvText;
using testing::SendText;
using testing::TextOf;

class KernelTcpTest : public KernelFixture {};

Task<void> SendAll(TcpStream& stream, const std::string& text) {
  absl::Status sent = co_await SendText(stream, text);
  EXPECT_TRUE(sent.ok()) << sent;
}

// A peer that is gone is an error of the call, whichever way the bytes go; SIGPIPE would end the process.
TEST_F(KernelTcpTest, SendingToAClosedPeerRaisesNoSigpipe) {
  static volatile sig_atomic_t raised = 0;
  const auto before = signal(SIGPIPE, [](int) { raised = 1; });
  const std::string text = Pattern(100'000);
  auto body = [&](Ends& ends, size_t bytes, bool frames) -> Task<void> {
    ends.server.Close();
    absl::Status sent;
    while (sent.ok()) {
      const iovec slice{const_cast<char*>(text.data()), bytes};
      sent = frames ? co_await ends.client.Sendmsg(ends.client.NewSendBuffer(bytes))
                    : co_await ends.client.Sendmsg(std::span(&slice, 1));
    }
    EXPECT_EQ(sent.code(), absl::StatusCode::kAborted) << sent;
  };
  for (const size_t bytes : {size_t{10}, text.size()}) {
    for (const bool frames : {false, true}) {
      Ends ends = Connect();
      loop_.Run(body(ends, bytes, frames));
    }
  }
  signal(SIGPIPE, before);
  EXPECT_EQ(raised, 0);
}

TEST_F(KernelTcpTest, ASlowReaderStopsTheSender) {
  Ends ends = Connect();
  constexpr size_t kBytes = 40'000'000;
  auto body = [&]() -> Task<void> {
    const std::string text = Pattern(kBytes);
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(SendAll(ends.client, text));
    std::string got = *co_await RecvText(ends.server, 1);
    static_cast<void>(co_await Sleep(milliseconds(50)));
    // The reader has taken one byte; what weir holds for it is bounded, whatever the sender has.
    EXPECT_EQ(scope.live(), 1u);
    EXPECT_GT(stack_->stats().recv_paused, 0u);
    // The ring, what the bound lets through, and what the kernel had under way when it was stopped.
    const uint32_t ring = stack_->buffers().entries();
    EXPECT_LE(pool_->outstanding(), ring + 64 + 256);
    absl::StatusOr<std::string> rest = co_await RecvText(ends.server, kBytes - 1);
    EXPECT_TRUE(rest.ok()) << rest.status();
    got += *rest;
    EXPECT_TRUE(got == text);
    co_await scope.Join();
  };
  loop_.Run(body());
}

// Many small segments while nobody reads do not hold a frame each.
TEST_F(KernelTcpTest, SmallSegmentsShareFrames) {
  Ends ends = Connect();
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE((co_await SendText(ends.client, "x")).ok());
    EXPECT_EQ(*co_await RecvText(ends.server, 1), "x");
    const uint32_t before = pool_->outstanding();
    std::string text;
    for (int i = 0; i < 500; ++i) {
      const std::string word = std::to_string(i) + " ";
      text += word;
      EXPECT_TRUE((co_await SendText(ends.client, word)).ok());
    }
    static_cast<void>(co_await Sleep(milliseconds(5)));
    EXPECT_LE(pool_->outstanding(), before + 2);
    EXPECT_EQ(*co_await RecvText(ends.server, text.size()), text);
  };
  loop_.Run(body());
}

// Another stack on the same reactor, with a pool of its own.
TEST_F(KernelTcpTest, TwoStacksOnOneReactor) {
  Ends ends = Connect();
  auto pool = *runtime::FramePool::Create({.frame_size = 2048, .frames = 64});
  auto second = netstack::KernelStack::Create(loop_.reactor(), *pool, loop_.scheduler());
  ASSERT_TRUE(second.ok()) << second.status();
  TcpListener listener = *TcpListener::Listen(**second, testing::Loopback());
  auto body = [&]() -> Task<void> {
    Ends other = co_await Connected(listener);
    EXPECT_TRUE((co_await SendText(other.client, "second")).ok());
    EXPECT_TRUE((co_await SendText(ends.client, "first")).ok());
    EXPECT_EQ(*co_await RecvText(other.server, 6), "second");
    EXPECT_EQ(*co_await RecvText(ends.server, 5), "first");
  };
  loop_.Run(body());
  listener = TcpListener();
  second->reset();
  EXPECT_EQ(pool->outstanding(), 0u);
}

// A pool so small that slow readers hold all of it: receives end for want of buffers, and go on when frames are back.
class SmallPoolTest : public KernelFixture {
 protected:
  SmallPoolTest() : KernelFixture(/*frames=*/32) {}
};

TEST_F(SmallPoolTest, GoesOnWhenFramesAreBack) {
  Ends ends = Connect();
  auto body = [&]() -> Task<void> {
    const std::string text = Pattern(2'000'000);
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(SendAll(ends.client, text));
    std::string got;
    while (got.size() < text.size()) {
      // All frames there are, held for a while.
      std::vector<RecvBuffer> held;
      for (;;) {
        absl::StatusOr<RecvBuffer> msg = co_await WithTimeout(ends.server.Recvmsg(), milliseconds(3));
        if (!msg.ok()) break;
        got += TextOf(*msg);
        held.push_back(*std::move(msg));
        if (got.size() == text.size()) break;
      }
      if (got.size() > 100'000) break;
    }
    EXPECT_GT(stack_->stats().out_of_buffers, 0u);
    EXPECT_GT(stack_->stats().recv_stalled, 0u);
    got += *co_await RecvText(ends.server, text.size() - got.size());
    EXPECT_TRUE(got == text);
    co_await scope.Join();
  };
  loop_.Run(body());
}

}  // namespace
}  // namespace weir
