// TcpSocketTest: a test of TCP sockets for both stacks (socket_world.h): over the kernel, whose loopback is both ends, and
// over weir's own, two hosts on a cable in virtual time.
#ifndef TESTS_NETSTACK_SOCKET_TCP_FIXTURE_H_
#define TESTS_NETSTACK_SOCKET_TCP_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "netstack/socket/tcp_listener.h"
#include "runtime/core/sleep.h"
#include "tests/netstack/socket/socket_world.h"

namespace weir::testing {

// The parameter: over the kernel.
class TcpSocketTest : public ::testing::TestWithParam<bool> {
 public:
  static std::string Name(const ::testing::TestParamInfo<bool>& info) { return info.param ? "Kernel" : "Inet"; }

 protected:
  TcpSocketTest() {
    if (kernel()) {
      world_ = std::make_unique<KernelWorld>();
    } else {
      world_ = std::make_unique<InetWorld>();
    }
  }
  static bool kernel() { return GetParam(); }
  Endpoint At(bool server, uint16_t port = 0) { return {world_->ip(server, /*v6=*/false), port}; }
  using Body = std::function<Task<void>(TcpStream& client, TcpStream& server)>;
  static Task<void> AcceptOne(TcpListener& listener, TcpStream& stream) {
    absl::StatusOr<TcpStream> accepted = co_await listener.Accept();
    EXPECT_TRUE(accepted.ok()) << accepted.status();
    if (accepted.ok()) stream = *std::move(accepted);
  }
  // Runs `body` with both ends of a connection, whose listener `prepare` has seen.
  void Run(const Body& body, const std::function<void(TcpListener&)>& prepare = [](TcpListener&) {}) {
    auto connect = [&]() -> Task<void> {
      absl::StatusOr<TcpListener> listener =
          TcpListener::Listen(world_->stack(/*server=*/true), At(true));
      EXPECT_TRUE(listener.ok()) << listener.status();
      if (!listener.ok()) co_return;
      prepare(*listener);
      TcpStream server;
      AsyncScope scope(co_await CurrentContext());
      scope.Spawn(AcceptOne(*listener, server));
      absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(world_->stack(false), listener->local());
      EXPECT_TRUE(client.ok()) << client.status();
      co_await scope.Join();
      if (client.ok()) co_await body(*client, server);
    };
    EXPECT_TRUE(world_->Run(connect()));
  }
  static void Refused(const absl::Status& status, absl::StatusCode code, absl::string_view name) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_NE(status.message().find(absl::StrCat("(", name, ")")), status.message().npos) << status;
  }

  std::unique_ptr<SocketWorld> world_;
};

}  // namespace weir::testing

#endif  // TESTS_NETSTACK_SOCKET_TCP_FIXTURE_H_
