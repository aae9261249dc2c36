// Programs that keep what they got: each stalls itself and nobody else, and all frames come back (DESIGN §4). In virtual
// time, so that two transfers can be compared.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/core/sleep.h"
#include "tests/netstack/socket/inet_fixture.h"

namespace weir {
namespace {

using std::chrono::milliseconds;

class HeldBuffers : public testing::InetFixture {
 protected:
  using InetFixture::InetFixture;

  struct Ends {
    TcpStream client;
    TcpStream server;
  };

  void TearDown() override {
    RunUntil([this] { return client_.inet.tcp.sockets == 0 && server_.inet.tcp.sockets == 0; });
    RunUntil([] { return false; });
    EXPECT_EQ(0u, client_.frames_out());
    EXPECT_EQ(0u, server_.frames_out());
    EXPECT_EQ(0u, client_.pool->charged());
    EXPECT_EQ(0u, server_.pool->charged());
  }

  Task<void> OpenInto(Ends& ends) {
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(client_.stack, {server_.ip(), 7});
    absl::StatusOr<TcpStream> server = co_await listener_.Accept();
    EXPECT_TRUE(client.ok() && server.ok());
    ends = {*std::move(client), *std::move(server)};
  }
  Ends Open() {
    Ends ends;
    EXPECT_TRUE(Run(OpenInto(ends)));
    return ends;
  }
  static Task<void> Send(TcpStream& stream, size_t bytes) {
    std::vector<char> block(std::min<size_t>(bytes, 64 << 10), 'x');
    for (size_t n; bytes > 0; bytes -= n) {
      n = std::min(bytes, block.size());
      const iovec from{block.data(), n};
      absl::Status sent = co_await stream.Sendmsg({&from, 1});
      if (!sent.ok()) co_return;
    }
  }
  static Task<void> Drain(TcpStream& stream, size_t bytes) {
    while (bytes > 0) {
      absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
      EXPECT_TRUE(got.ok() && !got->empty());
      if (!got.ok() || got->empty()) co_return;
      bytes -= got->size();
    }
  }
  // Keeps all that comes, until the connection ends.
  static Task<void> Keep(TcpStream& stream, std::vector<RecvBuffer>& kept) {
    for (;;) {
      absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
      if (!got.ok() || got->empty()) co_return;
      kept.push_back(*std::move(got));
    }
  }
  // How long a new connection takes for so many bytes, in virtual time.
  Nanos Transfer(size_t bytes) {
    Ends ends = Open();
    const Nanos start_ns = scheduler_.now_ns();
    AsyncScope scope(context_);
    scope.Spawn(Send(ends.client, bytes));
    scope.Spawn(Drain(ends.server, bytes));
    EXPECT_TRUE(RunUntil([&] { return scope.live() == 0; }));
    return scheduler_.now_ns() - start_ns;
  }

  TcpListener listener_ = *TcpListener::Listen(server_.stack, {.port = 7}, {.backlog = 64});
};

constexpr size_t kTransfer = 4 << 20;

// With a receive buffer for more than 10,000 full segments, in a pool that has as many for the others.
class ManyBuffers : public HeldBuffers {
 protected:
  ManyBuffers()
      : HeldBuffers(32768, {.receive_buffer = 16 << 20, .receive_buffer_max = 16 << 20, .moderate_rcvbuf = false}) {}
};

TEST_F(ManyBuffers, TenThousandStallTheirOwnConnection) {
  const Nanos alone_ns = Transfer(kTransfer);
  Ends slow = Open();
  std::vector<RecvBuffer> kept;
  AsyncScope scope(context_);
  constexpr size_t kAll = 20 << 20;
  scope.Spawn(Send(slow.client, kAll));
  scope.Spawn(Keep(slow.server, kept));
  ASSERT_TRUE(RunUntil([&] { return server_.pool->charged() >= 10'000; }));
  const Nanos beside_ns = Transfer(kTransfer);
  EXPECT_LE(beside_ns, alone_ns + alone_ns / 10);
  // It is stalled: its window is closed, and what it keeps is what its buffer takes.
  const size_t limit = (16 << 20) / 1448;
  EXPECT_GE(limit, server_.pool->charged());
  EXPECT_GT(1448u, slow.client.Info()->snd_wnd);
  EXPECT_EQ(2u, scope.live());
  const Nanos again_ns = Transfer(kTransfer);
  EXPECT_LE(again_ns, alone_ns + alone_ns / 10);
  // What is given back opens the window, and all of it comes.
  size_t received = 0;
  while (received < kAll) {
    for (const RecvBuffer& buffer : kept) received += buffer.size();
    kept.clear();
    if (received < kAll) ASSERT_TRUE(RunUntil([&] { return !kept.empty(); }));
  }
  EXPECT_EQ(kAll, received);
  slow.client.Close();
  EXPECT_TRUE(RunUntil([&] { return scope.live() == 0; }));
}

// The buffer that a connection keeps when it is closed, and those of one that is reset, come back when they are given.
TEST_F(HeldBuffers, OutliveTheirStream) {
  std::optional<RecvBuffer> kept[2];
  for (std::optional<RecvBuffer>& one : kept) {
    Ends ends = Open();
    auto body = [&]() -> Task<void> {
      co_await Send(ends.client, 100);
      absl::StatusOr<RecvBuffer> got = co_await ends.server.Recvmsg();
      EXPECT_TRUE(got.ok());
      one = *std::move(got);
    };
    ASSERT_TRUE(Run(body()));
    if (&one != kept) ends.server.Reset();
  }
  RunUntil([this] { return client_.inet.tcp.sockets == 0 && server_.inet.tcp.sockets == 0; });
  EXPECT_EQ(2u, server_.frames_out());
  for (std::optional<RecvBuffer>& one : kept) EXPECT_EQ(100u, one->size());
}

// Far more connections than half of the pool has frames for, each with a buffer that its program has read in part.
TEST_F(HeldBuffers, OneOfEachOfManyConnections) {
  const Nanos alone_ns = Transfer(kTransfer);
  constexpr size_t kConnections = 2500;  // of a pool of 4096
  std::vector<Ends> ends;
  std::vector<RecvBuffer> kept;
  ends.reserve(kConnections);
  for (size_t i = 0; i < kConnections; ++i) {
    ends.push_back(Open());
    auto body = [&]() -> Task<void> {
      co_await Send(ends.back().client, 100);
      absl::StatusOr<RecvBuffer> got = co_await ends.back().server.Recvmsg();
      EXPECT_TRUE(got.ok());
      got->Consume(50);
      kept.push_back(*std::move(got));
    };
    ASSERT_TRUE(Run(body()));
  }
  EXPECT_EQ(2048u, server_.pool->charged());
  EXPECT_EQ(100 * (kConnections - 2048), server_.inet.ip.copied_out_bytes);
  const Nanos beside_ns = Transfer(kTransfer);
  EXPECT_LE(beside_ns, alone_ns + alone_ns / 10);
}

// The same of data that nobody has read: it is moved out of the way.
TEST_F(HeldBuffers, UnreadOfManyConnections) {
  const Nanos alone_ns = Transfer(kTransfer);
  std::vector<Ends> ends;
  for (size_t i = 0; i < 60; ++i) {
    ends.push_back(Open());
    ASSERT_TRUE(Run(Send(ends.back().client, 128 << 10)));
  }
  // Sent is not arrived: until nothing moves.
  auto pause = []() -> Task<void> { static_cast<void>(co_await Sleep(milliseconds(100))); };
  ASSERT_TRUE(Run(pause()));
  EXPECT_LT(0u, server_.inet.ip.copied_out_bytes);
  const Nanos beside_ns = Transfer(kTransfer);
  EXPECT_LE(beside_ns, alone_ns + alone_ns / 10);
  for (Ends& one : ends) ASSERT_TRUE(Run(Drain(one.server, 128 << 10)));
}

// Datagrams count against their socket as long as they are kept.
TEST_F(HeldBuffers, Datagrams) {
  constexpr size_t kQueue = 64, kSent = 200;
  UdpSocket slow = *UdpSocket::Bind(server_.stack, {.port = 9}, {.receive_queue = kQueue});
  UdpSocket other = *UdpSocket::Bind(server_.stack, {.port = 10}, {.receive_queue = kQueue});
  UdpSocket client = *UdpSocket::Bind(client_.stack, {.port = 11});
  std::vector<Datagram> kept;
  size_t read = 0;
  auto keep = [&]() -> Task<void> {
    for (;;) {
      absl::StatusOr<Datagram> got = co_await slow.Recvmsg();
      if (!got.ok()) co_return;
      kept.push_back(*std::move(got));
    }
  };
  auto drain = [&]() -> Task<void> {
    while ((co_await other.Recvmsg()).ok()) ++read;
  };
  auto send = [&](size_t count) -> Task<void> {
    char text[100] = {};
    const iovec from{text, sizeof text};
    for (size_t i = 0; i < count; ++i) {
      for (uint16_t port : {9, 10}) EXPECT_TRUE((co_await client.Sendmsg({&from, 1}, {server_.ip(), port})).ok());
      static_cast<void>(co_await Sleep(milliseconds(1)));
    }
  };
  AsyncScope scope(context_);
  scope.Spawn(keep());
  scope.Spawn(drain());
  ASSERT_TRUE(Run(send(kSent)));
  EXPECT_EQ(kQueue, kept.size());
  EXPECT_EQ(kSent - kQueue, slow.dropped());
  EXPECT_EQ(kSent, read);
  kept.resize(kQueue / 2);
  ASSERT_TRUE(Run(send(kSent)));
  EXPECT_EQ(kQueue, kept.size());
  EXPECT_EQ(2 * kSent, read);
  // Those that are sent back are not kept any more.
  auto echo = [&]() -> Task<void> {
    for (Datagram& one : kept) EXPECT_TRUE((co_await slow.Sendmsg(std::move(one.data), one.peer)).ok());
  };
  ASSERT_TRUE(Run(echo()));
  kept.clear();
  ASSERT_TRUE(Run(send(10)));
  EXPECT_EQ(10u, kept.size());
  EXPECT_EQ(10u, server_.pool->charged());
  scope.RequestStop();
  ASSERT_TRUE(RunUntil([&] { return scope.live() == 0; }));
  { UdpSocket gone = std::move(slow); }
  EXPECT_EQ(100u, kept.back().data.size());
  kept.clear();
}

// A datagram in fragments keeps all its frames.
TEST_F(HeldBuffers, DatagramsOfManyFrames) {
  UdpSocket slow = *UdpSocket::Bind(server_.stack, {.port = 9}, {.receive_queue = 64});
  UdpSocket client = *UdpSocket::Bind(client_.stack, {.port = 11});
  std::vector<Datagram> kept;
  auto body = [&]() -> Task<void> {
    std::vector<char> text(20'000, 'x');
    const iovec from{text.data(), text.size()};
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE((co_await client.Sendmsg({&from, 1}, {server_.ip(), 9})).ok());
      absl::StatusOr<Datagram> got = co_await WithTimeout(slow.Recvmsg(), milliseconds(100));
      if (got.ok()) kept.push_back(*std::move(got));
    }
  };
  ASSERT_TRUE(Run(body()));
  EXPECT_EQ(4u, kept.size());  // of 14 frames each
  EXPECT_EQ(56u, server_.pool->charged());
  EXPECT_EQ(20'000u, kept.front().data.size());
  kept.clear();
}

}  // namespace
}  // namespace weir
