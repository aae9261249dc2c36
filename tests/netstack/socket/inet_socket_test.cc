// What only sockets on weir's own stack have, with coroutines at both ends, in virtual time: where bytes are copied to,
// peers that fall silent, and that every frame comes back. What both stacks promise is in stream_test.cc and
// stream_semantics_test.cc.
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "netstack/tcp/tcp_early_demux.h"
#include "runtime/core/async_event.h"
#include "runtime/core/sleep.h"
#include "tests/netstack/socket/inet_fixture.h"

namespace weir {
namespace {

using std::chrono::seconds;

class InetSocketTest : public testing::InetFixture {
 protected:
  struct Ends {
    TcpStream client;
    TcpStream server;
  };

  void TearDown() override {
    // What the tests closed says goodbye; TIME-WAIT passes in virtual time.
    RunUntil([this] { return client_.inet.tcp.connections() == 0 && server_.inet.tcp.connections() == 0; });
    RunUntil([] { return false; });
    EXPECT_EQ(client_.frames_out(), 0u);
    EXPECT_EQ(server_.frames_out(), 0u);
    EXPECT_EQ(client_.inet.tcp.connections(), 0u);
    EXPECT_EQ(server_.inet.tcp.connections(), 0u);
  }

  TcpListener Listen(uint16_t port = 7) { return *TcpListener::Listen(server_.stack, {.port = port}); }
  Task<absl::StatusOr<TcpStream>> Connect(uint16_t port = 7) {
    return TcpStream::Connect(client_.stack, {server_.ip(), port});
  }
  Task<void> Open(TcpListener& listener, Ends& ends) {
    absl::StatusOr<TcpStream> client = co_await Connect(listener.local().port);
    absl::StatusOr<TcpStream> server = co_await listener.Accept();
    EXPECT_TRUE(client.ok() && server.ok());
    ends = {*std::move(client), *std::move(server)};
  }
  Ends Opened(TcpListener& listener) {
    Ends ends;
    EXPECT_TRUE(Run(Open(listener, ends)));
    return ends;
  }
  static Task<void> Send(TcpStream& stream, std::string text, absl::Status* status = nullptr) {
    const iovec piece{text.data(), text.size()};
    absl::Status sent = co_await stream.Sendmsg({&piece, 1});
    if (status != nullptr) *status = sent;
  }
  // What is there, as text; the code's name for an error, "" for the FIN.
  static Task<void> Receive(TcpStream& stream, std::string* text) {
    absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
    if (!got.ok()) {
      *text = absl::StatusCodeToString(got.status().code());
      co_return;
    }
    text->resize(got->size());
    got->CopyTo(std::as_writable_bytes(std::span(*text)));
  }
  std::string Received(TcpStream& stream) {
    std::string text = "nothing";
    EXPECT_TRUE(Run(Receive(stream, &text)));
    return text;
  }
};

TEST_F(InetSocketTest, AReaderThatWaitsGetsTheBytesDirectly) {
  TcpListener listener = Listen();
  Ends ends = Opened(listener);
  char first[4] = {}, second[100] = {};
  absl::StatusOr<size_t> n = 0;
  auto read = [&]() -> Task<void> {
    const iovec into[] = {{first, sizeof first}, {second, sizeof second}};
    n = co_await ends.server.Recvmsg(into);
  };
  AsyncScope scope(context_);
  scope.Spawn(read());
  ASSERT_TRUE(Run(Send(ends.client, "direct copy")));
  ASSERT_TRUE(RunUntil([&] { return scope.live() == 0; }));
  EXPECT_EQ(*n, 11u);
  EXPECT_EQ(std::string(first, 4) + second, "direct copy");
  EXPECT_EQ(server_.inet.tcp.counters.direct_copied_bytes, 11u);
  EXPECT_EQ(server_.inet.ip.copied_bytes, 0u);
}

// One that waits for all of its memory gets each segment there directly.
TEST_F(InetSocketTest, WaitAllIsFilledDirectly) {
  TcpListener listener = Listen();
  Ends ends = Opened(listener);
  std::string text(10'000, '?');
  absl::StatusOr<size_t> n = 0;
  auto read = [&]() -> Task<void> {
    const iovec into[] = {{text.data(), 3333}, {text.data() + 3333, text.size() - 3333}};
    n = co_await ends.server.Recvmsg(into, {.wait_all = true});
  };
  AsyncScope scope(context_);
  scope.Spawn(read());
  const uint64_t resumes = scheduler_.resumes();
  for (char c = '0'; c <= '9'; ++c) {
    EXPECT_EQ(scope.live(), 1u);
    ASSERT_TRUE(Run(Send(ends.client, std::string(1000, c))));
    const Nanos until = scheduler_.now_ns() + kMillisecond;
    RunUntil([&] { return scope.live() == 0 || scheduler_.now_ns() > until; });
  }
  ASSERT_TRUE(RunUntil([&] { return scope.live() == 0; }));
  EXPECT_EQ(*n, 10'000u);
  for (size_t i = 0; i < text.size(); ++i) ASSERT_EQ(text[i], static_cast<char>('0' + i / 1000)) << i;
  EXPECT_EQ(server_.inet.tcp.counters.direct_copied_bytes, 10'000u);
  EXPECT_EQ(server_.inet.ip.copied_bytes, 0u);
  EXPECT_LE(scheduler_.resumes() - resumes, 12u) << "the reader was woken for a part";
}

// Nobody acknowledges: calls wait, can be stopped, and tell what they gave; an abort gives all frames back at once.
TEST_F(InetSocketTest, APeerThatNeverAcknowledges) {
  TcpListener listener = Listen();
  Ends ends = Opened(listener), others = Opened(listener);
  cut_ = true;
  const std::string text(10 << 20, 'x');
  const iovec all{const_cast<char*>(text.data()), text.size()};
  size_t taken = 0;
  absl::Status timed_out, reset, gave_up;
  auto send = [&]() -> Task<void> {
    SendBuffer frames = ends.client.NewSendBuffer(20'000);
    EXPECT_TRUE((co_await ends.client.Sendmsg(std::move(frames))).ok());  // there is room
    timed_out = co_await WithTimeout(ends.client.Sendmsg({&all, 1}, &taken), seconds(3));
  };
  ASSERT_TRUE(Run(send()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(timed_out)) << timed_out;
  EXPECT_LT(0u, taken);
  EXPECT_GT(text.size(), taken);
  EXPECT_LT((20'000u + taken) / 2048, client_.frames_out());
  AsyncScope scope(context_);
  scope.Spawn(Send(ends.client, text, &reset));
  const Nanos until = scheduler_.now_ns() + 2 * kSecond;
  RunUntil([&] { return scheduler_.now_ns() > until; });
  EXPECT_EQ(scope.live(), 1u);
  ends.client.Reset();
  ASSERT_TRUE(RunUntil([&] { return scope.live() == 0; }));
  EXPECT_TRUE(absl::IsAborted(reset)) << reset;
  Turn();
  EXPECT_EQ(client_.frames_out(), 0u);
  // Left alone, it ends when retransmission gives up (RFC 1122 §4.2.3.5).
  ASSERT_TRUE(Run(Send(others.client, text, &gave_up)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(gave_up)) << gave_up;
  EXPECT_EQ(client_.frames_out(), 0u);
  cut_ = false;
}

TEST_F(InetSocketTest, ConnectRefusedUnreachableAndTimedOut) {
  absl::Status refused, unreachable, timed_out;
  auto connect = [&](Endpoint peer, absl::Status* status) -> Task<void> {
    *status = (co_await TcpStream::Connect(client_.stack, peer)).status();
  };
  ASSERT_TRUE(Run(connect({server_.ip(), 9}, &refused)));
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  ASSERT_TRUE(Run(connect({IpAddress::V4(0x08080808), 9}, &unreachable)));
  EXPECT_TRUE(absl::IsUnavailable(unreachable)) << unreachable;
  ASSERT_TRUE(Run(connect({IpAddress::V4(0x0a000063), 9}, &timed_out)));  // no such host on the link
  EXPECT_TRUE(absl::IsDeadlineExceeded(timed_out)) << timed_out;
}

TEST_F(InetSocketTest, TimeoutsAndStops) {
  TcpListener listener = Listen();
  Ends ends = Opened(listener);
  absl::Status status;
  auto wait = [&]() -> Task<void> {
    status = (co_await WithTimeout(ends.client.Recvmsg(), seconds(5))).status();
  };
  const Nanos before = scheduler_.now_ns();
  ASSERT_TRUE(Run(wait()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_GE(scheduler_.now_ns() - before, 5 * kSecond);

  std::string text;
  absl::Status accepted, sent, connected;
  auto accept = [&]() -> Task<void> { accepted = (co_await listener.Accept()).status(); };
  auto connect = [&]() -> Task<void> {
    connected = (co_await TcpStream::Connect(client_.stack, {IpAddress::V4(0x0a000063), 9})).status();
  };
  AsyncScope scope(context_);
  scope.Spawn(Receive(ends.client, &text));
  scope.Spawn(accept());
  scope.Spawn(Send(ends.server, std::string(10 << 20, 'x'), &sent));  // far beyond both windows
  scope.Spawn(connect());
  scope.RequestStop();
  ASSERT_TRUE(RunUntil([&] { return scope.live() == 0; }));
  EXPECT_EQ(text, "CANCELLED");
  EXPECT_TRUE(absl::IsCancelled(accepted)) << accepted;
  EXPECT_TRUE(absl::IsCancelled(sent)) << sent;
  EXPECT_TRUE(absl::IsCancelled(connected)) << connected;
  ends.server.Reset();
}

TEST_F(InetSocketTest, SendBuffersAreFilledInPlace) {
  TcpListener listener = Listen();
  Ends ends = Opened(listener);
  SendBuffer page = ends.server.NewSendBuffer(5000);
  EXPECT_EQ(page.size(), 5000u);
  for (const iovec& piece : page.writable()) {
    EXPECT_LE(piece.iov_len, 1460u);
    std::memset(piece.iov_base, 'p', piece.iov_len);
  }
  page.Trim(4000);
  auto send = [&]() -> Task<void> { EXPECT_TRUE((co_await ends.server.Sendmsg(std::move(page))).ok()); };
  ASSERT_TRUE(Run(send()));
  std::string got;
  while (got.size() < 4000) got += Received(ends.client);
  EXPECT_EQ(got, std::string(4000, 'p'));
  EXPECT_EQ(server_.inet.ip.copied_bytes, 0u);
}

// So many that bursts are looked up before they are worked on (kTcpEarlyDemuxFrom): each gets its own bytes.
TEST_F(InetSocketTest, ManyConnections) {
  constexpr int kConnections = netstack::kTcpEarlyDemuxFrom + 100;
  TcpListener listener = *TcpListener::Listen(server_.stack, {.port = 7}, {.backlog = kConnections});
  AsyncScope server(context_), clients(context_);
  auto echo = [](TcpStream stream) -> Task<void> {
    for (;;) {
      absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
      if (!got.ok() || got->empty() || !(co_await stream.Sendmsg(*std::move(got))).ok()) co_return;
    }
  };
  auto serve = [&]() -> Task<void> {
    for (int i = 0; i < kConnections; ++i) {
      absl::StatusOr<TcpStream> stream = co_await listener.Accept();
      if (stream.ok()) server.Spawn(echo(*std::move(stream)));
    }
  };
  int connected = 0, answered = 0;
  AsyncEvent all;
  auto ask = [&](int i) -> Task<void> {
    absl::StatusOr<TcpStream> stream = co_await Connect();
    EXPECT_TRUE(stream.ok());
    if (++connected == kConnections) all.Set();
    EXPECT_TRUE((co_await all.Wait()).ok());
    for (int round = 0; round < 3; ++round) {
      std::string text;
      co_await Send(*stream, std::to_string(1000 * i + round));
      co_await Receive(*stream, &text);
      answered += text == std::to_string(1000 * i + round);
    }
  };
  server.Spawn(serve());
  for (int i = 0; i < kConnections; ++i) clients.Spawn(ask(i));
  EXPECT_TRUE(RunUntil([&] { return clients.live() == 0 && server.live() == 0; }));
  EXPECT_EQ(answered, 3 * kConnections);
}

// Datagrams that do not fit one packet, sent from memory, from a buffer of several frames and as they were received.
TEST_F(InetSocketTest, LargeDatagrams) {
  {
    UdpSocket server = *UdpSocket::Bind(server_.stack, {.port = 7});
    UdpSocket client = *UdpSocket::Bind(client_.stack, {});
    auto talk = [&]() -> Task<void> {
      for (const size_t n : {1473, 4000, 40000, 65507}) {
        std::string text(n, ' ');
        for (size_t i = 0; i < n; ++i) text[i] = static_cast<char>(i * 131 + (i >> 8) * 7);
        SendBuffer buffer = client.NewSendBuffer(n);
        EXPECT_EQ(buffer.size(), n);
        size_t at = 0;
        for (const iovec& slice : buffer.writable()) {
          std::memcpy(slice.iov_base, text.data() + at, slice.iov_len);
          at += slice.iov_len;
        }
        const iovec piece{const_cast<char*>(text.data()), text.size()};
        EXPECT_TRUE((co_await client.Sendmsg(std::move(buffer), {server_.ip(), 7})).ok());
        EXPECT_TRUE((co_await client.Sendmsg({&piece, 1}, {server_.ip(), 7})).ok());
        for (int i = 0; i < 2; ++i) {
          absl::StatusOr<Datagram> got = co_await server.Recvmsg();
          EXPECT_TRUE((co_await server.Sendmsg(std::move(got->data), got->peer)).ok());
          got = co_await client.Recvmsg();
          std::string back(got->data.size(), ' ');
          got->data.CopyTo(std::as_writable_bytes(std::span(back)));
          EXPECT_EQ(back, text);
        }
      }
      EXPECT_TRUE(client.NewSendBuffer(200000).empty());
    };
    ASSERT_TRUE(Run(talk()));
  }
  Turn();
  EXPECT_EQ(client_.frames_out() + server_.frames_out(), 0u);
}

}  // namespace
}  // namespace weir
