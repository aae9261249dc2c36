// Listening on kernel sockets: addresses, errors, the accept queue, and running out of descriptors.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/netstack/socket/kernel_fixture.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::KernelFixture;
using testing::Loopback;
using testing::RecvText;
using testing::SendText;

class KernelListenerTest : public KernelFixture {
 protected:
  Task<TcpStream> MustConnect(Endpoint to) {
    absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(*stack_, to);
    EXPECT_TRUE(stream.ok()) << stream.status();
    co_return *std::move(stream);
  }
};

TEST_F(KernelListenerTest, AnyAddressTakesBothFamilies) {
  TcpListener listener = Listen(Endpoint{});
  EXPECT_EQ(listener.local().ip, IpAddress());
  for (bool v6 : {false, true}) {
    auto body = [&]() -> Task<void> {
      TcpStream client = co_await MustConnect({Loopback(v6).ip, listener.local().port});
      absl::StatusOr<TcpStream> server = co_await listener.Accept();
      EXPECT_TRUE(server.ok());
      // An IPv4 peer shows as IPv4, not as IPv4-mapped IPv6.
      EXPECT_EQ(server->peer(), client.local());
      EXPECT_EQ(server->local().ip, Loopback(v6).ip);
      EXPECT_EQ(server->peer().ip.is_v4(), !v6);
    };
    loop_.Run(body());
  }
}

TEST_F(KernelListenerTest, SaysWhyItCannotListen) {
  TcpListener listener = Listen(Loopback());
  const absl::Status taken = TcpListener::Listen(*stack_, listener.local()).status();
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(taken.message(), "cannot listen on " + listener.local().ToString() +
                                 ": Address already in use (EADDRINUSE); another program has that port: 'ss -ltnp' "
                                 "shows it");
  const absl::Status foreign = TcpListener::Listen(*stack_, {IpAddress::V4(0xc0000201), 0}).status();
  EXPECT_EQ(foreign.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(foreign.message().find("no interface has that address"), absl::string_view::npos);
  EXPECT_EQ(TcpListener::Listen(*stack_, Loopback(), {.backlog = 0}).status().code(), absl::StatusCode::kInvalidArgument);
}

// Connections that nobody accepts: weir keeps a few, the kernel the others; closing resets them.
TEST_F(KernelListenerTest, TheQueueIsBounded) {
  TcpListener listener = Listen(Loopback(), {.backlog = 4});
  auto body = [&]() -> Task<void> {
    std::vector<TcpStream> clients;
    for (int i = 0; i < 4; ++i) clients.push_back(co_await MustConnect(listener.local()));
    EXPECT_TRUE((co_await listener.Accept()).ok());
    for (int i = 0; i < 8; ++i) {
      absl::StatusOr<TcpStream> more =
          co_await WithTimeout(TcpStream::Connect(*stack_, listener.local()), milliseconds(20));
      if (more.ok()) clients.push_back(*std::move(more));
    }
    EXPECT_EQ(stack_->stats().accept_dropped, 0u);
    // Each of them is served in the end.
    for (size_t i = 1; i + 4 < clients.size(); ++i) EXPECT_TRUE((co_await listener.Accept()).ok());
    listener = TcpListener();
    const absl::Status status = (co_await clients.back().Recvmsg()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
  };
  loop_.Run(body());
}

TEST_F(KernelListenerTest, WaitsOutAWantOfDescriptors) {
  TcpListener listener = Listen(Loopback());
  auto body = [&]() -> Task<void> {
    // Connected while there are descriptors; nobody asked for it yet, so it waits in the kernel.
    TcpStream client = co_await MustConnect(listener.local());
    rlimit old{};
    getrlimit(RLIMIT_NOFILE, &old);
    const int free_fd = fcntl(0, F_DUPFD, 0);
    close(free_fd);
    const rlimit none{static_cast<rlim_t>(free_fd), old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    const uint64_t syscalls = loop_.reactor().stats().syscalls;
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(listener.Accept(), milliseconds(300))).status()));
    EXPECT_GT(stack_->stats().accept_retries, 2u);
    EXPECT_LT(stack_->stats().accept_retries, 10u);
    EXPECT_LT(loop_.reactor().stats().syscalls, syscalls + 100) << "a busy loop";
    setrlimit(RLIMIT_NOFILE, &old);
    absl::StatusOr<TcpStream> server = co_await listener.Accept();
    EXPECT_TRUE(server.ok()) << server.status();
    EXPECT_TRUE((co_await SendText(client, "hi")).ok());
    EXPECT_EQ(*co_await RecvText(*server, 2), "hi");
  };
  loop_.Run(body());
}

class ReusePortTest : public KernelFixture {
 protected:
  ReusePortTest() : KernelFixture(4096, {.reuse_port = true}) {}
};

TEST_F(ReusePortTest, SeveralListenersOnOnePort) {
  TcpListener first = Listen(Loopback());
  TcpListener second = Listen(first.local());
  EXPECT_EQ(first.local(), second.local());
}

}  // namespace
}  // namespace weir
