// No heap allocation per packet, per request or per connection on weir's own stack once warm (DESIGN.md §4): malloc itself
// is counted, over a million requests.
#include <gtest/gtest.h>

#include "tests/netstack/socket/inet_fixture.h"
#include "tests/support/malloc_count.h"

namespace weir {
namespace {

Task<void> Echo(TcpListener& listener, int connections) {
  for (int i = 0; i < connections; ++i) {
    absl::StatusOr<TcpStream> stream = co_await listener.Accept();
    if (!stream.ok()) co_return;
    for (;;) {
      absl::StatusOr<RecvBuffer> msg = co_await stream->Recvmsg();
      if (!msg.ok() || msg->empty()) break;
      if (!(co_await stream->Sendmsg(*std::move(msg))).ok()) break;
    }
  }
}

Task<void> EchoDatagrams(UdpSocket& socket) {
  for (;;) {
    absl::StatusOr<Datagram> got = co_await socket.Recvmsg();
    if (!got.ok()) co_return;
    static_cast<void>(co_await socket.Sendmsg(std::move(got->data), got->peer));
  }
}

class InetAllocTest : public testing::InetFixture {
 protected:
  void SetUp() override {
    if (!testing::MallocCounted()) GTEST_SKIP() << "a sanitizer's build has a malloc of its own";
    const uint64_t before = testing::MallocCount();
    delete new int(1);
    ASSERT_GT(testing::MallocCount(), before) << "the count counts nothing";
  }

  Task<void> Ask(TcpStream& stream, int requests) {
    char request[64] = {}, response[64];
    for (int i = 0; i < requests; ++i) {
      const iovec out{request, sizeof request}, in{response, sizeof response};
      if (!(co_await stream.Sendmsg({&out, 1})).ok()) co_return;
      const absl::StatusOr<size_t> n = co_await stream.Recvmsg({&in, 1});
      if (!n.ok() || *n != sizeof response) co_return;
      ++answered_;
    }
  }
  Task<void> Connect(int connections, int requests) {
    for (int i = 0; i < connections; ++i) {
      absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(client_.stack, {server_.ip(), 7});
      if (!stream.ok()) co_return;
      co_await Ask(*stream, requests);
    }
  }
  Task<void> AskDatagrams(UdpSocket& socket, int requests) {
    char request[64] = {};
    for (int i = 0; i < requests; ++i) {
      const iovec out{request, sizeof request};
      static_cast<void>(co_await socket.Sendmsg({&out, 1}, {server_.ip(), 7}));
      if ((co_await socket.Recvmsg()).ok()) ++answered_;
    }
  }

  int answered_ = 0;
};

TEST_F(InetAllocTest, AMillionRequestsAllocateNothing) {
  TcpListener listener = *TcpListener::Listen(server_.stack, {.port = 7});
  AsyncScope server(context_);
  server.Spawn(Echo(listener, 1));
  absl::StatusOr<TcpStream> stream = absl::UnknownError("not connected");
  auto connect = [&]() -> Task<void> { stream = co_await TcpStream::Connect(client_.stack, {server_.ip(), 7}); };
  ASSERT_TRUE(Run(connect()));
  ASSERT_TRUE(stream.ok()) << stream.status();
  ASSERT_TRUE(Run(Ask(*stream, 1000)));  // warm

  AsyncScope client(context_);
  uint64_t before = 0, after = 0;
  auto measured = [&]() -> Task<void> {
    before = testing::MallocCount();
    co_await Ask(*stream, 1'000'000);
    after = testing::MallocCount();
  };
  client.Spawn(measured());
  const std::function<bool()> done = [&] { return client.live() == 0; };
  ASSERT_TRUE(RunUntil(done));
  EXPECT_EQ(answered_, 1'001'000);
  EXPECT_EQ(after - before, 0u);
  EXPECT_EQ(server_.inet.ip.copied_bytes, 0u) << "the echo copied";
  stream->Close();
  EXPECT_TRUE(RunUntil([&] { return server.live() == 0; }));
}

TEST_F(InetAllocTest, ConnectionsAllocateNothing) {
  TcpListener listener = *TcpListener::Listen(server_.stack, {.port = 7});
  AsyncScope server(context_);
  server.Spawn(Echo(listener, 1100));
  // Enough for every connection that is in TIME-WAIT at the same time later on.
  ASSERT_TRUE(Run(Connect(1000, 1)));
  RunUntil([&] { return client_.inet.tcp.connections() == 0 && server_.inet.tcp.connections() == 0; });
  AsyncScope client(context_);
  uint64_t before = 0, after = 0;
  auto measured = [&]() -> Task<void> {
    before = testing::MallocCount();
    co_await Connect(100, 1);
    after = testing::MallocCount();
  };
  client.Spawn(measured());
  const std::function<bool()> done = [&] { return client.live() == 0 && server.live() == 0; };
  ASSERT_TRUE(RunUntil(done));
  EXPECT_EQ(answered_, 1100);
  EXPECT_EQ(after - before, 0u);
}

TEST_F(InetAllocTest, DatagramsAllocateNothing) {
  UdpSocket server_socket = *UdpSocket::Bind(server_.stack, {.port = 7});
  UdpSocket client_socket = *UdpSocket::Bind(client_.stack, {});
  AsyncScope server(context_);
  server.Spawn(EchoDatagrams(server_socket));
  ASSERT_TRUE(Run(AskDatagrams(client_socket, 1000)));
  AsyncScope client(context_);
  uint64_t before = 0, after = 0;
  auto measured = [&]() -> Task<void> {
    before = testing::MallocCount();
    co_await AskDatagrams(client_socket, 100'000);
    after = testing::MallocCount();
  };
  client.Spawn(measured());
  const std::function<bool()> done = [&] { return client.live() == 0; };
  ASSERT_TRUE(RunUntil(done));
  EXPECT_EQ(answered_, 101'000);
  EXPECT_EQ(after - before, 0u);
  server.RequestStop();
  EXPECT_TRUE(RunUntil([&] { return server.live() == 0; }));
}

}  // namespace
}  // namespace weir
