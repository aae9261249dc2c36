// Sockets over a cable with jumbo frames, and frames of 2048 bytes: what comes is in several of them.
#include <gtest/gtest.h>

#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "tests/netstack/socket/inet_fixture.h"
#include "tests/support/random.h"

namespace weir {
namespace {

class JumboSocketTest : public testing::InetFixture {
 protected:
  JumboSocketTest() : InetFixture(/*mtu=*/9000) {}
  void TearDown() override {
    RunUntil([] { return false; });
    EXPECT_EQ(client_.frames_out(), 0u);
    EXPECT_EQ(server_.frames_out(), 0u);
  }
};

std::string RandomText(testing::Random& random, size_t n) {
  std::string text(n, 0);
  for (char& c : text) c = static_cast<char>(random.Below(256));
  return text;
}

template <typename Buffer>
std::string TextOf(const Buffer& buffer) {
  std::string text(buffer.size(), 0);
  buffer.CopyTo(std::as_writable_bytes(std::span(text)));
  return text;
}

TEST_F(JumboSocketTest, UdpEcho) {
  testing::Random random;
  UdpSocket server = *UdpSocket::Bind(server_.stack, {.port = 7});
  UdpSocket client = *UdpSocket::Bind(client_.stack, {});
  auto body = [&]() -> Task<void> {
    for (size_t n : {0u, 1u, 1750u, 1751u, 1892u, 1893u, 3542u, 3543u, 8971u, 8972u, 8973u, 20000u, 65507u}) {
      const std::string sent = RandomText(random, n);
      const iovec piece{const_cast<char*>(sent.data()), sent.size()};
      EXPECT_TRUE((co_await client.Sendmsg(std::span(&piece, 1), {server_.ip(), 7})).ok());
      absl::StatusOr<Datagram> got = co_await server.Recvmsg();
      EXPECT_EQ(TextOf(got->data), sent) << n;
      if (n > 1750 && n <= 8972) EXPECT_EQ(got->data.buffers().size(), (n + 42 + 1791) / 1792) << n;
      // Back as it lies in its frames.
      EXPECT_TRUE((co_await server.Sendmsg(std::move(got->data), got->peer)).ok());
      absl::StatusOr<Datagram> back = co_await client.Recvmsg();
      EXPECT_EQ(TextOf(back->data), sent) << n;
    }
  };
  ASSERT_TRUE(Run(body()));
}

// Segments are as large as a frame, not as the link; small writes do not wait for more than that.
TEST_F(JumboSocketTest, TcpBothWays) {
  testing::Random random;
  TcpListener listener = *TcpListener::Listen(server_.stack, {.port = 7});
  const std::string sent = RandomText(random, 3'000'000);
  auto serve = [&]() -> Task<void> {
    absl::StatusOr<TcpStream> stream = co_await listener.Accept();
    for (;;) {
      absl::StatusOr<RecvBuffer> got = co_await stream->Recvmsg();
      if (!got.ok() || got->empty()) break;
      EXPECT_TRUE((co_await stream->Sendmsg(*std::move(got))).ok());
    }
  };
  auto send = [&](TcpStream& stream) -> Task<void> {
    const iovec piece{const_cast<char*>(sent.data()), sent.size()};
    EXPECT_TRUE((co_await stream.Sendmsg(std::span(&piece, 1))).ok());
    EXPECT_TRUE(stream.ShutdownWrite().ok());
  };
  auto body = [&]() -> Task<void> {
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(serve());
    absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(client_.stack, {server_.ip(), 7});
    scope.Spawn(send(*stream));
    std::string echoed;
    while (echoed.size() < sent.size()) {
      absl::StatusOr<RecvBuffer> got = co_await stream->Recvmsg();
      if (!got.ok() || got->empty()) break;
      echoed += TextOf(*got);
    }
    EXPECT_TRUE(echoed == sent);
    EXPECT_EQ(stream->Info()->snd_mss, 2048u - 128);
    co_await scope.Join();
  };
  ASSERT_TRUE(Run(body()));
}

}  // namespace
}  // namespace weir
