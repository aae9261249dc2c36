// No heap allocation per request on kernel sockets once warm: no call of malloc.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "runtime/base/recycler.h"
#include "tests/netstack/socket/kernel_fixture.h"
#include "tests/support/malloc_count.h"

namespace weir {
namespace {

using testing::Echo;
using testing::KernelFixture;

class KernelAllocTest : public KernelFixture {
 protected:
  static Task<void> Ask(TcpStream& stream, int requests) {
    char request[512] = {}, response[512];
    for (int i = 0; i < requests; ++i) {
      const iovec out{request, sizeof request};
      absl::Status sent = co_await stream.Sendmsg(std::span(&out, 1));
      if (!sent.ok()) co_return;
      size_t have = 0;
      while (have < sizeof response) {
        const iovec in{response + have, sizeof response - have};
        absl::StatusOr<size_t> n = co_await stream.Recvmsg(std::span(&in, 1));
        if (!n.ok() || *n == 0) co_return;
        have += *n;
      }
    }
  }
  static Task<void> AskDatagrams(UdpSocket& client, UdpSocket& server, int requests) {
    char request[100] = {};
    for (int i = 0; i < requests; ++i) {
      const iovec out{request, sizeof request};
      static_cast<void>(co_await client.Sendmsg(std::span(&out, 1), server.local()));
      absl::StatusOr<Datagram> got = co_await server.Recvmsg();
      if (!got.ok()) co_return;
      static_cast<void>(co_await server.Sendmsg(std::move(got->data), got->peer));
      static_cast<void>(co_await client.Recvmsg());
    }
  }
  // Allocations that running `task` makes.
  uint64_t Count(Task<void> task) {
    const auto now = [] { return testing::MallocCount(); };
    AsyncScope scope(loop_.context());
    const std::function<bool()> done = [&] { return scope.live() == 0; };
    const uint64_t before = now();
    scope.Spawn(std::move(task));
    EXPECT_TRUE(loop_.RunUntil(done));
    return now() - before;
  }
};

TEST_F(KernelAllocTest, SteadyStateAllocatesNothing) {
  if (!testing::MallocCounted()) GTEST_SKIP() << "a sanitizer's build has a malloc of its own";
  auto one = []() -> Task<void> {
    const std::string text(100, 'x');
    EXPECT_EQ(text.size(), 100u);
    co_return;
  };
  Count(one());
  EXPECT_GE(Count(one()), 1u) << "the count counts nothing";
  Ends ends = Connect();
  AsyncScope echo(loop_.context());
  echo.Spawn(Echo(std::move(ends.server)));
  Count(Ask(ends.client, 100));
  const Nanos start = MonotonicNow();
  EXPECT_EQ(Count(Ask(ends.client, 20'000)), 0u);
  std::printf("TCP: %.1f us a request and response over the loopback, one thread for both ends\n",
              static_cast<double>(MonotonicNow() - start) / 20'000 / kMicrosecond);
  ends.client.Close();
  EXPECT_TRUE(loop_.RunUntil([&] { return echo.live() == 0; }));

  UdpSocket client = *UdpSocket::Bind(*stack_, testing::Loopback());
  UdpSocket server = *UdpSocket::Bind(*stack_, testing::Loopback());
  Count(AskDatagrams(client, server, 100));
  EXPECT_EQ(Count(AskDatagrams(client, server, 10'000)), 0u);
}

// Connections come and go without malloc, too.
TEST_F(KernelAllocTest, ConnectionsAreRecycled) {
  if (!testing::MallocCounted()) GTEST_SKIP() << "a sanitizer's build has a malloc of its own";
  TcpListener listener = Listen(testing::Loopback());
  auto connect = [&](int count) -> Task<void> {
    for (int i = 0; i < count; ++i) {
      Ends ends = co_await Connected(listener);
      co_await Ask(ends.client, 0);
    }
  };
  Count(connect(50));
  EXPECT_EQ(Count(connect(500)), 0u);
}

}  // namespace
}  // namespace weir
