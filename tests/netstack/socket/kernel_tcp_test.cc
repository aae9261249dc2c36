// TCP over kernel sockets: data, ends, errors, cancellation, back-pressure.
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/netstack/socket/kernel_fixture.h"
#include "tests/support/random.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::Echo;
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

// Sends `text` and reads it back at the same time, as the echo needs for more than the buffers hold.
Task<void> RoundTrip(TcpStream& stream, const std::string& text) {
  AsyncScope scope(co_await CurrentContext());
  scope.Spawn(SendAll(stream, text));
  absl::StatusOr<std::string> back = co_await RecvText(stream, text.size());
  EXPECT_TRUE(back.ok()) << back.status();
  if (back.ok()) {
    EXPECT_TRUE(*back == text) << "the echo differs";
  }
  co_await scope.Join();
}

TEST_F(KernelTcpTest, EchoOverBothFamilies) {
  for (bool v6 : {false, true}) {
    Ends ends = Connect(v6);
    EXPECT_EQ(ends.client.local(), ends.server.peer());
    EXPECT_EQ(ends.client.peer(), ends.server.local());
    EXPECT_EQ(ends.client.peer().ip.is_v4(), !v6);
    auto body = [&]() -> Task<void> {
      AsyncScope scope(co_await CurrentContext());
      scope.Spawn(Echo(std::move(ends.server)));
      for (size_t bytes : {1u, 100u, 5000u, 3'000'000u}) co_await RoundTrip(ends.client, Pattern(bytes));
      EXPECT_TRUE(ends.client.ShutdownWrite().ok());
      EXPECT_EQ(*co_await RecvText(ends.client, 1), "");
      co_await scope.Join();
    };
    loop_.Run(body());
  }
}

TEST_F(KernelTcpTest, SendBuffersAndManySlices) {
  Ends ends = Connect();
  auto body = [&]() -> Task<void> {
    SendBuffer buffer = ends.client.NewSendBuffer(10'000);
    EXPECT_EQ(buffer.size(), 10'000u);
    const std::string text = Pattern(10'000);
    size_t at = 0;
    for (const iovec& slice : buffer.writable()) {
      std::memcpy(slice.iov_base, text.data() + at, slice.iov_len);
      at += slice.iov_len;
    }
    EXPECT_TRUE((co_await ends.client.Sendmsg(std::move(buffer))).ok());
    EXPECT_TRUE(*co_await RecvText(ends.server, 10'000) == text);
    // More slices than one sendmsg takes, some of them empty.
    std::vector<iovec> slices;
    for (size_t i = 0; i < 10'000; i += 100) {
      slices.push_back({const_cast<char*>(text.data()) + i, 100});
      slices.push_back({nullptr, 0});
    }
    EXPECT_TRUE((co_await ends.client.Sendmsg(slices)).ok());
    EXPECT_TRUE(*co_await RecvText(ends.server, 10'000) == text);
    EXPECT_TRUE((co_await ends.client.Sendmsg(SendBuffer())).ok());  // nothing
    // Several slices to fill.
    EXPECT_TRUE((co_await SendText(ends.server, "hello world")).ok());
    std::array<char, 5> hello;
    std::array<char, 100> rest;
    const std::array<iovec, 2> into = {iovec{hello.data(), 5}, iovec{rest.data(), 100}};
    EXPECT_EQ(*co_await ends.client.Recvmsg(into), 11u);
    EXPECT_EQ(std::string(hello.data(), 5) + std::string(rest.data(), 6), "hello world");
  };
  loop_.Run(body());
}

TEST_F(KernelTcpTest, HalfClose) {
  Ends ends = Connect();
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE((co_await SendText(ends.client, "request")).ok());
    EXPECT_TRUE(ends.client.ShutdownWrite().ok());
    EXPECT_TRUE(ends.client.ShutdownWrite().ok());  // twice is once
    EXPECT_EQ(*co_await RecvText(ends.server, 100), "request");
    EXPECT_TRUE((co_await ends.server.Recvmsg())->empty());  // the FIN again, at every call
    EXPECT_TRUE((co_await SendText(ends.server, "response")).ok());
    ends.server.Close();
    EXPECT_EQ(*co_await RecvText(ends.client, 100), "response");
    const absl::Status after = co_await SendText(ends.client, "more");
    EXPECT_EQ(after.code(), absl::StatusCode::kAborted) << after;
  };
  loop_.Run(body());
}

// ShutdownWrite while a send is under way: the FIN comes after all of it.
TEST_F(KernelTcpTest, ShutdownWaitsForTheSend) {
  Ends ends = Connect();
  auto body = [&]() -> Task<void> {
    const std::string text = Pattern(8'000'000);
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(SendAll(ends.client, text));
    EXPECT_TRUE(ends.client.ShutdownWrite().ok());
    absl::StatusOr<std::string> got = co_await RecvText(ends.server, text.size() + 1);
    EXPECT_TRUE(got.ok() && *got == text);
    co_await scope.Join();
  };
  loop_.Run(body());
}

TEST_F(KernelTcpTest, ResetEndsBothSides) {
  Ends ends = Connect();
  auto body = [&]() -> Task<void> {
    AsyncScope scope(co_await CurrentContext());
    absl::Status near, far;
    auto recv = [](TcpStream& stream, absl::Status& status) -> Task<void> {
      status = (co_await stream.Recvmsg()).status();
    };
    scope.Spawn(recv(ends.client, far));
    scope.Spawn(recv(ends.server, near));
    const Endpoint peer = ends.server.peer();
    ends.server.Reset();
    ends.server.Reset();
    co_await scope.Join();
    EXPECT_EQ(near.code(), absl::StatusCode::kAborted) << near;
    EXPECT_EQ(far.code(), absl::StatusCode::kAborted) << far;
    EXPECT_NE(far.message().find("ECONNRESET"), absl::string_view::npos);
    EXPECT_EQ(ends.server.peer(), peer);
    EXPECT_EQ((co_await SendText(ends.server, "x")).code(), absl::StatusCode::kAborted);
    EXPECT_EQ((co_await ends.server.Recvmsg()).status().code(), absl::StatusCode::kAborted);
    EXPECT_EQ((co_await ends.client.Recvmsg()).status().code(), absl::StatusCode::kAborted);  // and again
    EXPECT_EQ((co_await SendText(ends.client, "x")).code(), absl::StatusCode::kAborted);
  };
  loop_.Run(body());
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

TEST_F(KernelTcpTest, ResetWhileSending) {
  Ends ends = Connect();
  auto body = [&]() -> Task<void> {
    const std::string text = Pattern(30'000'000);
    absl::Status sent;
    auto send = [&]() -> Task<void> { sent = co_await SendText(ends.client, text); };
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(send());
    static_cast<void>(co_await Sleep(milliseconds(5)));
    EXPECT_EQ(scope.live(), 1u);
    ends.client.Reset();
    co_await scope.Join();
    EXPECT_EQ(sent.code(), absl::StatusCode::kAborted) << sent;
  };
  loop_.Run(body());
}

// RFC 9293 §3.6.1: closing with data unread is a reset, also when weir has it in its queue already.
TEST_F(KernelTcpTest, CloseWithUnreadDataResets) {
  Ends ends = Connect();
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE((co_await SendText(ends.client, "one")).ok());
    EXPECT_EQ(*co_await RecvText(ends.server, 3), "one");
    EXPECT_TRUE((co_await SendText(ends.client, "two")).ok());
    static_cast<void>(co_await Sleep(milliseconds(5)));  // until it is in the queue
    ends.server.Close();
    const absl::Status status = (co_await ends.client.Recvmsg()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
  };
  loop_.Run(body());
}

// What was sent is delivered though the stream is destroyed at once.
TEST_F(KernelTcpTest, CloseDeliversWhatWasSent) {
  Ends ends = Connect();
  auto body = [&]() -> Task<void> {
    const std::string text = Pattern(100'000);
    EXPECT_TRUE((co_await SendText(ends.client, text)).ok());
    ends.client.Close();
    EXPECT_TRUE(*co_await RecvText(ends.server, 200'000) == text);
  };
  loop_.Run(body());
}

TEST_F(KernelTcpTest, ConnectRefused) {
  Endpoint nobody;
  {
    TcpListener listener = Listen(testing::Loopback());
    nobody = listener.local();
  }
  loop_.RunFor(5 * kMillisecond);
  const absl::Status status = loop_.Run(TcpStream::Connect(*stack_, nobody)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "cannot connect to " + nobody.ToString() + ": Connection refused (ECONNREFUSED)");
}

TEST_F(KernelTcpTest, EveryCallCanBeCancelled) {
  Ends ends = Connect();
  auto body = [&]() -> Task<void> {
    absl::StatusOr<RecvBuffer> frames = co_await WithTimeout(ends.server.Recvmsg(), milliseconds(5));
    EXPECT_TRUE(absl::IsDeadlineExceeded(frames.status())) << frames.status();
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(RecvText(ends.server, 1), milliseconds(5))).status()));
    // Nothing is lost: what comes after a cancelled receive is the next one's.
    EXPECT_TRUE((co_await SendText(ends.client, "late")).ok());
    EXPECT_EQ(*co_await RecvText(ends.server, 4), "late");
    // More than the buffers of both sides take: the send waits, and is cancelled.
    const std::string text = Pattern(30'000'000);
    const absl::Status sent = co_await WithTimeout(SendText(ends.client, text), milliseconds(20));
    EXPECT_TRUE(absl::IsDeadlineExceeded(sent)) << sent;
    // Stopped twice, and once more when it is over.
    AsyncScope twice(co_await CurrentContext());
    absl::Status stopped;
    auto wait = [&]() -> Task<void> { stopped = (co_await ends.client.Recvmsg()).status(); };
    twice.Spawn(wait());
    twice.RequestStop();
    twice.RequestStop();
    co_await twice.Join();
    twice.RequestStop();
    EXPECT_TRUE(absl::IsCancelled(stopped)) << stopped;
    // Stopped from the start.
    AsyncScope scope(co_await CurrentContext());
    scope.RequestStop();
    absl::Status status;
    auto recv = [&]() -> Task<void> { status = (co_await ends.server.Recvmsg()).status(); };
    scope.Spawn(recv());
    co_await scope.Join();
    EXPECT_TRUE(absl::IsCancelled(status));
    TcpListener listener = Listen(testing::Loopback());
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(listener.Accept(), milliseconds(5))).status()));
    // 192.0.2.0/24 (RFC 5737) answers nobody; without a route the answer is an error at once.
    const Endpoint nowhere{IpAddress::V4(0xc0000201), 9};
    EXPECT_FALSE((co_await WithTimeout(TcpStream::Connect(*stack_, nowhere), milliseconds(20))).ok());
  };
  loop_.Run(body());
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

TEST_F(KernelTcpTest, AThousandConnections) {
  constexpr int kConnections = 1000;
  TcpListener listener = Listen(testing::Loopback());
  int served = 0, answered = 0;
  auto server = [&]() -> Task<void> {
    AsyncScope scope(co_await CurrentContext());
    for (int i = 0; i < kConnections; ++i) {
      absl::StatusOr<TcpStream> stream = co_await listener.Accept();
      EXPECT_TRUE(stream.ok()) << stream.status();
      if (!stream.ok()) break;
      ++served;
      scope.Spawn(Echo(*std::move(stream)));
    }
    co_await scope.Join();
  };
  auto client = [&](int i) -> Task<void> {
    absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(*stack_, listener.local());
    EXPECT_TRUE(stream.ok()) << stream.status();
    if (!stream.ok()) co_return;
    const std::string text = Pattern(3000, static_cast<uint32_t>(i));
    for (int round = 0; round < 3; ++round) {
      EXPECT_TRUE((co_await SendText(*stream, text)).ok());
      absl::StatusOr<std::string> back = co_await RecvText(*stream, text.size());
      EXPECT_TRUE(back.ok() && *back == text) << back.status();
    }
    ++answered;
  };
  auto body = [&]() -> Task<void> {
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(server());
    for (int i = 0; i < kConnections; ++i) scope.Spawn(client(i));
    co_await scope.Join();
  };
  loop_.Run(body());
  EXPECT_EQ(served, kConnections);
  EXPECT_EQ(answered, kConnections);
}

// Readers and writers that are cancelled, closed and reset at random moments; the fixture counts frames and sockets.
TEST_F(KernelTcpTest, RandomEnds) {
  testing::Random random;
  TcpListener listener = Listen(testing::Loopback());
  auto shovel = [&](TcpStream stream) -> Task<void> {
    const std::string text = Pattern(1 + random.Below(400'000));
    AsyncScope scope(co_await CurrentContext());
    auto send = [](TcpStream& s, const std::string& t) -> Task<void> { static_cast<void>(co_await SendText(s, t)); };
    auto recv = [](TcpStream& s) -> Task<void> {
      for (;;) {
        absl::StatusOr<RecvBuffer> got = co_await s.Recvmsg();
        if (!got.ok() || got->empty()) co_return;
        co_await Yield();
      }
    };
    scope.Spawn(send(stream, text));
    if (!random.OneIn(4)) scope.Spawn(recv(stream));
    static_cast<void>(co_await Sleep(std::chrono::microseconds(random.Below(3000))));
    if (random.OneIn(3)) static_cast<void>(stream.ShutdownWrite());
    if (random.OneIn(3)) stream.Reset();
    scope.RequestStop();
    co_await scope.Join();
  };
  auto pair = [&]() -> Task<void> {
    Ends ends = co_await Connected(listener);
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(shovel(std::move(ends.client)));
    scope.Spawn(shovel(std::move(ends.server)));
    co_await scope.Join();
  };
  for (int i = 0; i < 200; ++i) loop_.Run(pair());
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
    got += *co_await RecvText(ends.server, text.size() - got.size());
    EXPECT_TRUE(got == text);
    co_await scope.Join();
  };
  loop_.Run(body());
}

}  // namespace
}  // namespace weir
