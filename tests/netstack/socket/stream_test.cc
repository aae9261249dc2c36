// TcpStream and TcpListener over both stacks and both versions of IP: data, ends, errors, cancellation, back-pressure.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/core/sleep.h"
#include "tests/netstack/socket/socket_world.h"
#include "tests/support/random.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::Echo;
using testing::Pattern;
using testing::RecvText;
using testing::SendText;
using testing::SocketTest;

class StreamTest : public SocketTest {
 protected:
  static Task<void> SendAll(TcpStream& stream, const std::string& text) {
    absl::Status sent = co_await SendText(stream, text);
    EXPECT_TRUE(sent.ok()) << sent;
  }
  // Sends `text` and reads it back at the same time, as the echo needs for more than the buffers hold.
  static Task<void> RoundTrip(TcpStream& stream, const std::string& text) {
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(SendAll(stream, text));
    absl::StatusOr<std::string> back = co_await RecvText(stream, text.size());
    EXPECT_TRUE(back.ok()) << back.status();
    if (back.ok()) EXPECT_TRUE(*back == text) << "the echo differs";
    co_await scope.Join();
  }
  static Task<void> RecvStatus(TcpStream& stream, absl::Status& status) {
    status = (co_await stream.Recvmsg()).status();
  }
};

INSTANTIATE_TEST_SUITE_P(Stacks, StreamTest, ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         &SocketTest::Name);

TEST_P(StreamTest, EchoesAndEnds) {
  RunWith([this](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_EQ(client.local(), server.peer());
    EXPECT_EQ(client.peer(), server.local());
    EXPECT_EQ(client.peer().ip, world_->ip(/*server=*/true, v6()));
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(Echo(std::move(server)));
    for (size_t bytes : {1u, 100u, 5000u, 1'000'000u}) co_await RoundTrip(client, Pattern(bytes));
    EXPECT_TRUE(client.ShutdownWrite().ok());
    EXPECT_EQ(*co_await RecvText(client, 1), "");
    co_await scope.Join();
  });
}

TEST_P(StreamTest, HalfClose) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(client, "request")).ok());
    EXPECT_TRUE(client.ShutdownWrite().ok());
    EXPECT_TRUE(client.ShutdownWrite().ok());  // twice is once
    EXPECT_EQ((co_await SendText(client, "too late")).code(), absl::StatusCode::kAborted);
    EXPECT_EQ(*co_await RecvText(server, 100), "request");
    EXPECT_TRUE((co_await server.Recvmsg())->empty());  // the FIN again, at every call
    EXPECT_EQ(*co_await RecvText(server, 1), "");
    EXPECT_TRUE((co_await SendText(server, "response")).ok());
    server.Close();
    EXPECT_EQ(*co_await RecvText(client, 100), "response");
    const absl::Status after = co_await SendText(client, "more");
    EXPECT_EQ(after.code(), absl::StatusCode::kAborted) << after;
  });
}

// A program that keeps all it gets, and is sent three times as much as there are frames: it is its own connection that
// stands still. Another goes on, and so does the first with what is given back.
TEST_P(StreamTest, KeepingStallsOneConnectionAlone) {
  RunWith([this](TcpStream& client, TcpStream& server) -> Task<void> {
    const std::string text = Pattern(3 * world_->pool(true).memory().size());
    std::vector<RecvBuffer> kept;
    size_t received = 0, read = 0;
    auto keep = [&]() -> Task<void> {
      while (received < text.size()) {
        absl::StatusOr<RecvBuffer> got = co_await server.Recvmsg();
        EXPECT_TRUE(got.ok() && !got->empty()) << got.status();
        if (!got.ok() || got->empty()) co_return;
        received += got->size();
        kept.push_back(*std::move(got));
      }
    };
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(SendAll(client, text));
    scope.Spawn(keep());
    for (size_t before = 1; before != received;) {
      before = received;
      static_cast<void>(co_await Sleep(milliseconds(50)));
    }
    EXPECT_GT(received, 0u);
    EXPECT_EQ(scope.live(), 2u);
    const std::string other_text = Pattern(1'000'000, 2);
    Ends other = co_await Connected();
    AsyncScope echo(co_await CurrentContext());
    echo.Spawn(Echo(std::move(other.server)));
    echo.Spawn(SendAll(other.client, other_text));
    auto read_back = RecvText(other.client, other_text.size());
    absl::StatusOr<std::string> back = co_await WithTimeout(std::move(read_back), milliseconds(20'000));
    EXPECT_TRUE(back.ok() && *back == other_text) << back.status();
    if (!back.ok()) other.client.Reset();
    EXPECT_TRUE(other.client.ShutdownWrite().ok() || !back.ok());
    while (read < text.size()) {
      const size_t before = read;
      bool same = true;
      for (const RecvBuffer& buffer : kept) {
        for (const iovec& slice : buffer.buffers()) {
          same = same && std::memcmp(text.data() + read, slice.iov_base, slice.iov_len) == 0;
          read += slice.iov_len;
        }
      }
      EXPECT_TRUE(same) << "wrong bytes behind " << before;
      kept.clear();
      static_cast<void>(co_await Sleep(milliseconds(1)));
    }
    co_await echo.Join();
    co_await scope.Join();
  });
}

// What a program keeps may outlive the connection, and lets go of it when it is given back.
TEST_P(StreamTest, KeptBuffersOutliveTheirConnection) {
  std::vector<RecvBuffer> kept;
  auto body = [&](TcpStream& client, TcpStream& server) -> Task<void> {
    const std::string text = Pattern(20'000);
    EXPECT_TRUE((co_await SendText(client, text)).ok());
    for (size_t received = 0; received < text.size(); received += kept.back().size()) {
      absl::StatusOr<RecvBuffer> got = co_await server.Recvmsg();
      EXPECT_TRUE(got.ok());
      if (!got.ok()) co_return;
      kept.push_back(*std::move(got));
    }
  };
  RunWith(body);
  // The half of them while the stack lives, after the sockets are gone; the others after it.
  auto pause = []() -> Task<void> { static_cast<void>(co_await Sleep(milliseconds(20))); };
  EXPECT_TRUE(world_->Run(pause()));
  kept.resize((kept.size() + 1) / 2);
  uint32_t frames = 0;
  for (const RecvBuffer& buffer : kept) frames += static_cast<uint32_t>(buffer.buffers().size());
  EXPECT_EQ(world_->pool(true).charged(), frames);
  world_->LeaveOut(frames);
  world_.reset();
  EXPECT_GT(kept.front().size(), 0u);
}

// ShutdownWrite while a send is under way: the FIN comes after all of it.
TEST_P(StreamTest, ShutdownWaitsForTheSend) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    const std::string text = Pattern(8'000'000);
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(SendAll(client, text));
    EXPECT_TRUE(client.ShutdownWrite().ok());
    absl::StatusOr<std::string> got = co_await RecvText(server, text.size() + 1);
    EXPECT_TRUE(got.ok() && *got == text);
    co_await scope.Join();
  });
}

TEST_P(StreamTest, ResetEndsBothSides) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    AsyncScope scope(co_await CurrentContext());
    absl::Status near, far;
    scope.Spawn(RecvStatus(client, far));
    scope.Spawn(RecvStatus(server, near));
    const Endpoint peer = server.peer();
    server.Reset();
    server.Reset();
    co_await scope.Join();
    EXPECT_EQ(near.code(), absl::StatusCode::kAborted) << near;
    EXPECT_EQ(far.code(), absl::StatusCode::kAborted) << far;
    EXPECT_NE(far.message().find("ECONNRESET"), absl::string_view::npos);
    EXPECT_EQ(server.peer(), peer);
    EXPECT_EQ((co_await SendText(server, "x")).code(), absl::StatusCode::kAborted);
    EXPECT_EQ((co_await server.Recvmsg()).status().code(), absl::StatusCode::kAborted);
    EXPECT_EQ((co_await client.Recvmsg()).status().code(), absl::StatusCode::kAborted);  // and again
    EXPECT_EQ((co_await SendText(client, "x")).code(), absl::StatusCode::kAborted);
  });
}

TEST_P(StreamTest, ResetWhileSending) {
  RunWith([](TcpStream& client, TcpStream&) -> Task<void> {
    const std::string text = Pattern(30'000'000);
    absl::Status sent;
    auto send = [&]() -> Task<void> { sent = co_await SendText(client, text); };
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(send());
    static_cast<void>(co_await Sleep(milliseconds(5)));
    EXPECT_EQ(scope.live(), 1u);
    client.Reset();
    co_await scope.Join();
    EXPECT_EQ(sent.code(), absl::StatusCode::kAborted) << sent;
  });
}

// RFC 9293 §3.6.1: closing with data unread is a reset.
TEST_P(StreamTest, CloseWithUnreadDataResets) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(client, "one")).ok());
    EXPECT_EQ(*co_await RecvText(server, 3), "one");
    EXPECT_TRUE((co_await SendText(client, "two")).ok());
    static_cast<void>(co_await Sleep(milliseconds(5)));  // until it is in the queue
    server.Close();
    const absl::Status status = (co_await client.Recvmsg()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
  });
}

// What was sent is delivered though the stream is destroyed at once.
TEST_P(StreamTest, CloseDeliversWhatWasSent) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    const std::string text = Pattern(100'000);
    EXPECT_TRUE((co_await SendText(client, text)).ok());
    client.Close();
    EXPECT_TRUE(*co_await RecvText(server, 200'000) == text);
  });
}

TEST_P(StreamTest, ConnectRefused) {
  auto body = [&]() -> Task<void> {
    Endpoint nobody;
    {
      TcpListener listener = Listen();
      nobody = listener.local();
    }
    static_cast<void>(co_await Sleep(milliseconds(5)));  // the kernel closes in the background
    const absl::Status status = (co_await TcpStream::Connect(world_->stack(false), nobody)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_NE(status.message().find("Connection refused (ECONNREFUSED)"), absl::string_view::npos) << status;
    EXPECT_NE(status.message().find(nobody.ToString()), absl::string_view::npos) << status;
  };
  ASSERT_TRUE(world_->Run(body()));
}

TEST_P(StreamTest, EveryCallCanBeCancelled) {
  RunWith([this](TcpStream& client, TcpStream& server) -> Task<void> {
    absl::StatusOr<RecvBuffer> frames = co_await WithTimeout(server.Recvmsg(), milliseconds(5));
    EXPECT_TRUE(absl::IsDeadlineExceeded(frames.status())) << frames.status();
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(RecvText(server, 1), milliseconds(5))).status()));
    // Nothing is lost: what comes after a cancelled receive is the next one's.
    EXPECT_TRUE((co_await SendText(client, "late")).ok());
    EXPECT_EQ(*co_await RecvText(server, 4), "late");
    // More than the buffers of both sides take: the send waits, and is cancelled.
    const std::string text = Pattern(30'000'000);
    const absl::Status sent = co_await WithTimeout(SendText(client, text), milliseconds(20));
    EXPECT_TRUE(absl::IsDeadlineExceeded(sent)) << sent;
    // Stopped twice, and once more when it is over.
    AsyncScope twice(co_await CurrentContext());
    absl::Status stopped;
    twice.Spawn(RecvStatus(client, stopped));
    twice.RequestStop();
    twice.RequestStop();
    co_await twice.Join();
    twice.RequestStop();
    EXPECT_TRUE(absl::IsCancelled(stopped)) << stopped;
    // Stopped from the start.
    AsyncScope scope(co_await CurrentContext());
    scope.RequestStop();
    absl::Status status;
    scope.Spawn(RecvStatus(client, status));
    co_await scope.Join();
    EXPECT_TRUE(absl::IsCancelled(status));
    TcpListener listener = Listen();
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(listener.Accept(), milliseconds(5))).status()));
    // These answer nobody (RFC 5737, RFC 3849); without a route the answer is an error at once.
    const Endpoint nowhere{*IpAddress::Parse(v6() ? "2001:db8::9" : "192.0.2.1"), 9};
    EXPECT_FALSE((co_await WithTimeout(TcpStream::Connect(world_->stack(false), nowhere), milliseconds(20))).ok());
  });
}

TEST_P(StreamTest, ASlowReaderStopsTheSender) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    const std::string text = Pattern(20'000'000);
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(SendAll(client, text));
    std::string got = *co_await RecvText(server, 1);
    static_cast<void>(co_await Sleep(milliseconds(50)));
    EXPECT_EQ(scope.live(), 1u);
    absl::StatusOr<std::string> rest = co_await RecvText(server, text.size() - 1);
    EXPECT_TRUE(rest.ok()) << rest.status();
    got += *rest;
    EXPECT_TRUE(got == text);
    co_await scope.Join();
  });
}

TEST_P(StreamTest, ManyConnections) {
  constexpr int kConnections = 300;
  int served = 0, answered = 0;
  auto server = [&](TcpListener& listener) -> Task<void> {
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
  auto client = [&](Endpoint to, int i) -> Task<void> {
    absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(world_->stack(false), to);
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
    TcpListener listener = Listen();
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(server(listener));
    for (int i = 0; i < kConnections; ++i) scope.Spawn(client(listener.local(), i));
    co_await scope.Join();
  };
  EXPECT_TRUE(world_->Run(body()));
  EXPECT_EQ(served, kConnections);
  EXPECT_EQ(answered, kConnections);
}

// Readers and writers that are cancelled, closed and reset at random moments; the world counts frames and sockets.
TEST_P(StreamTest, RandomEnds) {
  testing::Random random;
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
  auto pairs = [&]() -> Task<void> {
    TcpListener listener = Listen();
    for (int i = 0; i < 100; ++i) {
      Ends ends = co_await Connected(listener);
      AsyncScope scope(co_await CurrentContext());
      scope.Spawn(shovel(std::move(ends.client)));
      scope.Spawn(shovel(std::move(ends.server)));
      co_await scope.Join();
    }
  };
  ASSERT_TRUE(world_->Run(pairs()));
}

TEST_P(StreamTest, ListenersAreExclusiveAndResetWhatNobodyAccepted) {
  auto body = [&]() -> Task<void> {
    absl::StatusOr<TcpStream> stream = absl::UnknownError("not connected");
    Endpoint at;
    {
      TcpListener listener = Listen();
      at = listener.local();
      EXPECT_TRUE(absl::IsAlreadyExists(TcpListener::Listen(world_->stack(true), at).status()));
      const Endpoint foreign{*IpAddress::Parse(v6() ? "2001:db8::9" : "192.0.2.1"), 0};
      EXPECT_TRUE(absl::IsNotFound(TcpListener::Listen(world_->stack(true), foreign).status()));
      stream = co_await TcpStream::Connect(world_->stack(false), at);
      EXPECT_TRUE(stream.ok()) << stream.status();
    }
    if (!stream.ok()) co_return;
    const absl::Status status = (co_await stream->Recvmsg()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    stream->Close();
    // The port is free when the listener is gone, and again and again.
    for (int i = 0; i < 20; ++i) {
      absl::StatusOr<TcpListener> again = TcpListener::Listen(world_->stack(true), at);
      EXPECT_TRUE(again.ok()) << again.status();
      if (!again.ok()) co_return;
      Ends ends = co_await Connected(*again);
    }
  };
  ASSERT_TRUE(world_->Run(body()));
}

}  // namespace
}  // namespace weir
