// TcpConnectOptions::local over both stacks: bind(2) before connect(2), and what two programs can do with it.
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/netstack/socket/tcp_fixture.h"

namespace weir {
namespace {

using testing::RecvText;
using testing::SendText;

class TcpBindTest : public testing::TcpSocketTest {
 protected:
  TcpListener Listen(const Endpoint& at) {
    absl::StatusOr<TcpListener> listener = TcpListener::Listen(world_->stack(/*server=*/true), at);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return *std::move(listener);
  }
  // One that nobody has, on either host.
  uint16_t FreePort() { return Listen(At(true)).local().port; }
  Task<absl::StatusOr<TcpStream>> Connect(Endpoint peer, Endpoint local) {
    return TcpStream::Connect(world_->stack(false), peer, {.local = local});
  }
  // Both ends of a connection from `local`.
  struct Ends {
    TcpStream client, server;
  };
  Task<Ends> Connected(TcpListener& listener, Endpoint local) {
    Ends ends;
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(AcceptOne(listener, ends.server));
    absl::StatusOr<TcpStream> client = co_await Connect(listener.local(), local);
    EXPECT_TRUE(client.ok()) << client.status();
    if (client.ok()) ends.client = *std::move(client);
    co_await scope.Join();
    co_return ends;
  }
  // Whichever closes first is in TIME-WAIT then.
  static Task<void> CloseInTurn(TcpStream& first, TcpStream& second) {
    EXPECT_TRUE(first.ShutdownWrite().ok());
    EXPECT_EQ((co_await RecvText(second, 1))->size(), 0u);
    second.Close();
    EXPECT_EQ((co_await RecvText(first, 1))->size(), 0u);
    first.Close();
  }
  void RunTask(Task<void> task) { EXPECT_TRUE(world_->Run(std::move(task))); }
};

TEST_P(TcpBindTest, AddressAndPort) {
  RunTask([&]() -> Task<void> {
    const uint16_t port = FreePort();
    TcpListener one = Listen(At(true)), other = Listen(At(true));
    // The same port for two peers.
    Ends first = co_await Connected(one, {{}, port}), second = co_await Connected(other, At(false, port));
    EXPECT_EQ(first.client.local(), At(false, port));
    EXPECT_EQ(first.server.peer(), At(false, port));
    EXPECT_EQ(second.client.local(), At(false, port));
    // IP_BIND_ADDRESS_NO_PORT.
    Ends third = co_await Connected(one, At(false, 0));
    EXPECT_EQ(third.client.local().ip, At(false).ip);
    EXPECT_NE(third.client.local().port, 0);
    EXPECT_TRUE((co_await SendText(third.client, "text")).ok());
    EXPECT_EQ(*co_await RecvText(third.server, 4), "text");
  }());
}

TEST_P(TcpBindTest, Refused) {
  RunTask([&]() -> Task<void> {
    const uint16_t port = FreePort();
    TcpListener listener = Listen(At(true));
    Ends ends = co_await Connected(listener, {{}, port});
    constexpr auto kInUse = absl::StatusCode::kAlreadyExists;
    Refused((co_await Connect(listener.local(), {{}, port})).status(), kInUse, "EADDRINUSE");
    absl::StatusOr<TcpListener> own = TcpListener::Listen(world_->stack(false), At(false));
    EXPECT_TRUE(own.ok()) << own.status();
    Refused((co_await Connect(listener.local(), own->local())).status(), kInUse, "EADDRINUSE");
    const Endpoint nobodys{IpAddress::V4(0x0a090807), 0};
    Refused((co_await Connect(listener.local(), nobodys)).status(), absl::StatusCode::kNotFound, "EADDRNOTAVAIL");
    const Endpoint other_version{*IpAddress::Parse("::1"), 0};
    Refused((co_await Connect(listener.local(), other_version)).status(), absl::StatusCode::kInvalidArgument, "EINVAL");
  }());
}

// RFC 6191 §2: timestamps tell the new connection from the one in TIME-WAIT.
TEST_P(TcpBindTest, TheSamePortAgain) {
  RunTask([&]() -> Task<void> {
    const uint16_t port = FreePort();
    TcpListener listener = Listen(At(true));
    for (int i = 0; i < 3; ++i) {
      Ends ends = co_await Connected(listener, {{}, port});
      EXPECT_TRUE((co_await SendText(ends.client, "text")).ok());
      EXPECT_EQ(*co_await RecvText(ends.server, 4), "text");
      co_await CloseInTurn(ends.client, ends.server);
    }
  }());
}

// SO_REUSEADDR: connections of the listener that was there before, in TIME-WAIT or open, are not in the way of the
// next.
TEST_P(TcpBindTest, AListenerAgain) {
  RunTask([&]() -> Task<void> {
    TcpListener listener = Listen(At(true));
    const Endpoint at = listener.local();
    Ends over = co_await Connected(listener, {}), open = co_await Connected(listener, {});
    co_await CloseInTurn(over.server, over.client);
    listener = {};
    listener = Listen(at);
    Ends next = co_await Connected(listener, {});
    EXPECT_TRUE((co_await SendText(next.server, "new")).ok());
    EXPECT_EQ(*co_await RecvText(next.client, 3), "new");
    EXPECT_TRUE((co_await SendText(open.server, "old")).ok());
    EXPECT_EQ(*co_await RecvText(open.client, 3), "old");
  }());
}

// RFC 9293 §3.5, figure 7: two programs that connect to each other, on the cable at the same moment. Over the kernel,
// where one cannot be sure of that, a program that connects to itself: its SYN meets the socket that sent it.
TEST_P(TcpBindTest, SimultaneousOpen) {
  RunTask([&]() -> Task<void> {
    const uint16_t port = FreePort();
    if (kernel()) {
      absl::StatusOr<TcpStream> self = co_await Connect(At(false, port), At(false, port));
      EXPECT_TRUE(self.ok()) << self.status();
      if (!self.ok()) co_return;
      EXPECT_EQ(self->local(), self->peer());
      EXPECT_TRUE((co_await SendText(*self, "echo")).ok());
      EXPECT_EQ(*co_await RecvText(*self, 4), "echo");
      co_return;
    }
    TcpStream streams[2];
    const auto connect = [&](bool server) -> Task<void> {
      absl::StatusOr<TcpStream> stream =
          co_await TcpStream::Connect(world_->stack(server), At(!server, port), {.local = At(server, port)});
      EXPECT_TRUE(stream.ok()) << stream.status();
      if (stream.ok()) streams[server] = *std::move(stream);
    };
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(connect(false));
    scope.Spawn(connect(true));
    co_await scope.Join();
    EXPECT_EQ(streams[0].peer(), streams[1].local());
    EXPECT_TRUE((co_await SendText(streams[0], "from one")).ok());
    EXPECT_TRUE((co_await SendText(streams[1], "from two")).ok());
    EXPECT_EQ(*co_await RecvText(streams[1], 8), "from one");
    EXPECT_EQ(*co_await RecvText(streams[0], 8), "from two");
    co_await CloseInTurn(streams[0], streams[1]);
  }());
}

INSTANTIATE_TEST_SUITE_P(Stacks, TcpBindTest, ::testing::Bool(), testing::TcpSocketTest::Name);

}  // namespace
}  // namespace weir
