// Unix datagram sockets: names, sizes, order, waiting for a slow receiver.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "netstack/socket/unix_datagram_socket.h"
#include "tests/netstack/socket/kernel_fixture.h"
#include "tests/support/random.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::KernelFixture;
using testing::Pattern;
using testing::TextOf;

class UnixDatagramTest : public KernelFixture {
 protected:
  UnixDatagramSocket Bind(const UnixAddress& at = {}) {
    absl::StatusOr<UnixDatagramSocket> socket = UnixDatagramSocket::Bind(*stack_, at);
    EXPECT_TRUE(socket.ok()) << socket.status();
    return *std::move(socket);
  }
};

Task<absl::Status> SendText(UnixDatagramSocket& socket, const std::string& text, const UnixAddress& to) {
  const iovec slice{const_cast<char*>(text.data()), text.size()};
  co_return co_await socket.Sendmsg(std::span(&slice, 1), to);
}

TEST_F(UnixDatagramTest, RandomSizesThereAndBack) {
  testing::Random random;
  UnixDatagramSocket client = Bind();
  UnixDatagramSocket server = Bind();
  EXPECT_TRUE(client.local().is_abstract()) << "chosen by the kernel";
  auto body = [&]() -> Task<void> {
    for (int i = 0; i < 60; ++i) {
      const size_t size = i == 0 ? 0 : i == 1 ? 120'000 : random.Below(i % 3 == 0 ? 100'000 : 3000);
      const std::string text = Pattern(size, static_cast<uint32_t>(i));
      EXPECT_TRUE((co_await SendText(client, text, server.local())).ok());
      absl::StatusOr<UnixDatagram> got = co_await server.Recvmsg();
      EXPECT_TRUE(got.ok() && TextOf(got->data) == text) << size;
      EXPECT_EQ(got->peer, client.local());
      EXPECT_TRUE((co_await server.Sendmsg(std::move(got->data), got->peer)).ok());
      absl::StatusOr<UnixDatagram> echo = co_await client.Recvmsg();
      EXPECT_TRUE(echo.ok() && TextOf(echo->data) == text) << size;
    }
    EXPECT_EQ(stack_->stats().datagrams_truncated, 0u);
    EXPECT_EQ((co_await SendText(client, std::string(1'000'000, 'x'), server.local())).code(),
              absl::StatusCode::kInvalidArgument);
  };
  loop_.Run(body());
}

// Nothing is lost when the reader is behind: the sender waits, and can be cancelled.
TEST_F(UnixDatagramTest, SlowReader) {
  constexpr int kDatagrams = 2000;
  UnixDatagramSocket client = Bind();
  UnixDatagramSocket server = Bind();
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(server.Recvmsg(), milliseconds(2))).status()));
    int sent = 0;
    const auto send = [](UnixDatagramSocket& from, const UnixAddress& to, int& count) -> Task<void> {
      for (; count < kDatagrams; ++count) {
        if (!(co_await SendText(from, std::to_string(count), to)).ok()) co_return;
      }
    };
    {
      AsyncScope scope(co_await CurrentContext());
      scope.Spawn(send(client, server.local(), sent));
      static_cast<void>(co_await Sleep(milliseconds(50)));
      EXPECT_LT(sent, kDatagrams) << "the sender does not wait";
      scope.RequestStop();
      co_await scope.Join();
    }
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(send(client, server.local(), sent));
    for (int i = 0; i < kDatagrams; ++i) {
      absl::StatusOr<UnixDatagram> got = co_await WithTimeout(server.Recvmsg(), std::chrono::seconds(10));
      EXPECT_TRUE(got.ok()) << i << ": " << got.status();
      if (!got.ok()) break;
      EXPECT_EQ(TextOf(got->data), std::to_string(i));
    }
    co_await scope.Join();
  };
  loop_.Run(body());
}

TEST_F(UnixDatagramTest, NamesAndErrors) {
  const std::string path = "/tmp/weir_unix_datagram_" + std::to_string(getpid());
  const UnixAddress address = *UnixAddress::Parse(path);
  auto body = [&]() -> Task<void> {
    UnixDatagramSocket client = Bind();
    EXPECT_EQ((co_await SendText(client, "x", address)).code(), absl::StatusCode::kNotFound);
    {
      UnixDatagramSocket server = Bind(address);
      EXPECT_EQ(UnixDatagramSocket::Bind(*stack_, address).status().code(), absl::StatusCode::kAlreadyExists);
      EXPECT_TRUE((co_await SendText(client, "x", address)).ok());
      EXPECT_EQ(TextOf((co_await server.Recvmsg())->data), "x");
    }
    EXPECT_NE(access(path.c_str(), F_OK), 0) << "its own file goes with the socket";
    const UnixAddress gone = Bind().local();
    static_cast<void>(co_await Sleep(milliseconds(5)));
    EXPECT_EQ((co_await SendText(client, "x", gone)).code(), absl::StatusCode::kUnavailable);
  };
  loop_.Run(body());
}

}  // namespace
}  // namespace weir
