// UDP over kernel sockets.
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <string>

#include "tests/netstack/socket/kernel_fixture.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::KernelFixture;
using testing::Loopback;
using testing::Pattern;
using testing::TextOf;

class KernelUdpTest : public KernelFixture {
 protected:
  UdpSocket Bind(const Endpoint& at) {
    absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(*stack_, at);
    EXPECT_TRUE(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  static Task<absl::Status> Send(UdpSocket& socket, const std::string& text, Endpoint to) {
    const iovec slice{const_cast<char*>(text.data()), text.size()};
    co_return co_await socket.Sendmsg(std::span(&slice, 1), to);
  }
};

// On "any", each datagram tells which address it was sent to; IPv4 shows as IPv4.
TEST_F(KernelUdpTest, AnyAddress) {
  UdpSocket server = Bind(Endpoint{});
  for (const char* address : {"127.0.0.1", "127.0.0.9", "::1"}) {
    const Endpoint to{*IpAddress::Parse(address), server.local().port};
    UdpSocket client = Bind(Loopback(!to.ip.is_v4()));
    auto body = [&]() -> Task<void> {
      EXPECT_TRUE((co_await Send(client, "who", to)).ok());
      absl::StatusOr<Datagram> got = co_await server.Recvmsg();
      EXPECT_EQ(got->local, to);
      EXPECT_EQ(got->peer, client.local());
      EXPECT_TRUE((co_await Send(server, "you", got->peer)).ok());
      EXPECT_EQ(TextOf((co_await client.Recvmsg())->data), "you");
    };
    loop_.Run(body());
  }
  UdpSocket v4 = Bind({IpAddress::V4(0), 0});
  UdpSocket client = Bind(Loopback());
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE((co_await Send(client, "x", {Loopback().ip, v4.local().port})).ok());
    EXPECT_EQ((co_await v4.Recvmsg())->local, (Endpoint{Loopback().ip, v4.local().port}));
    EXPECT_FALSE((co_await Send(v4, "x", {Loopback(true).ip, 9})).ok());  // an IPv4 socket
  };
  loop_.Run(body());
}

TEST_F(KernelUdpTest, SendBufferOfSeveralFramesIsOneDatagram) {
  UdpSocket client = Bind(Loopback());
  UdpSocket server = Bind(Loopback());
  auto body = [&]() -> Task<void> {
    SendBuffer buffer = SendBuffer::Allocate(*pool_, 1500, 500);
    for (const iovec& slice : buffer.writable()) std::memset(slice.iov_base, 'a', slice.iov_len);
    EXPECT_TRUE((co_await client.Sendmsg(std::move(buffer), server.local())).ok());
    EXPECT_EQ(TextOf((co_await server.Recvmsg())->data), std::string(1500, 'a'));
    EXPECT_EQ(client.NewSendBuffer(100).size(), 100u);
  };
  loop_.Run(body());
}

TEST_F(KernelUdpTest, SizesThatDoNotFit) {
  UdpSocket client = Bind(Loopback());
  UdpSocket server = Bind(Loopback());
  auto body = [&]() -> Task<void> {
    const absl::Status large = co_await Send(client, std::string(70'000, 'x'), server.local());
    EXPECT_EQ(large.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(large.message().find("EMSGSIZE"), absl::string_view::npos);
    // The first that is longer than a frame says that its end is missing; it is counted.
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(server.Recvmsg(), milliseconds(1))).status()));
    EXPECT_TRUE((co_await Send(client, std::string(5000, 'x'), server.local())).ok());
    absl::StatusOr<Datagram> cut = co_await server.Recvmsg();
    EXPECT_TRUE(cut->truncated());
    EXPECT_EQ(cut->length(), 5000u);
    EXPECT_LT(1472u, cut->data.size());
    EXPECT_GT(2048u, cut->data.size());
    EXPECT_EQ(TextOf(cut->data), std::string(cut->data.size(), 'x'));
    EXPECT_TRUE((co_await Send(client, "next", server.local())).ok());
    absl::StatusOr<Datagram> next = co_await server.Recvmsg();
    EXPECT_EQ(TextOf(next->data), "next");
    EXPECT_FALSE(next->truncated());
    EXPECT_EQ(stack_->stats().datagrams_truncated, 1u);
  };
  loop_.Run(body());
}

// After the first one all sizes arrive whole, and small ones in a row bring the multishot receive back.
TEST_F(KernelUdpTest, LargeDatagrams) {
  UdpSocket client = Bind(Loopback());
  UdpSocket server = Bind(Loopback());
  const auto learn = [](UdpSocket& from, UdpSocket& to) -> Task<void> {
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(to.Recvmsg(), milliseconds(1))).status()));
    EXPECT_TRUE((co_await Send(from, std::string(5000, 'x'), to.local())).ok());
    EXPECT_TRUE((co_await to.Recvmsg())->truncated());
  };
  auto body = [&]() -> Task<void> {
    co_await learn(client, server);
    co_await learn(server, client);
    const uint64_t truncated = stack_->stats().datagrams_truncated;
    EXPECT_EQ(truncated, 2u);
    for (size_t size : {0u, 1u, 1900u, 2048u, 9000u, 65'507u, 2u}) {
      const std::string text = testing::Pattern(size, static_cast<uint32_t>(size));
      EXPECT_TRUE((co_await Send(client, text, server.local())).ok());
      absl::StatusOr<Datagram> got = co_await WithTimeout(server.Recvmsg(), std::chrono::seconds(5));
      EXPECT_TRUE(got.ok()) << size << ": " << got.status();
      if (!got.ok()) continue;
      EXPECT_TRUE(TextOf(got->data) == text) << size;
      EXPECT_EQ(got->peer, client.local());
      EXPECT_EQ(got->local, server.local());
      EXPECT_TRUE((co_await server.Sendmsg(std::move(got->data), got->peer)).ok());  // as it lies
      absl::StatusOr<Datagram> echo = co_await WithTimeout(client.Recvmsg(), std::chrono::seconds(5));
      EXPECT_TRUE(echo.ok() && TextOf(echo->data) == text) << size;
    }
    uint64_t sqes = 0;
    for (int i = 0; i < 4000; ++i) {
      if (i == 2000) sqes = loop_.reactor().stats().sqes;
      EXPECT_TRUE((co_await Send(client, "small", server.local())).ok());
      EXPECT_TRUE((co_await server.Recvmsg()).ok());
    }
    EXPECT_EQ(loop_.reactor().stats().sqes - sqes, 2000u) << "one for each send, none for a receive";
    EXPECT_EQ(stack_->stats().datagrams_truncated, truncated);
  };
  loop_.Run(body());
}

TEST_F(KernelUdpTest, CancelledAndSlowReaders) {
  UdpSocket client = Bind(Loopback());
  UdpSocket server = Bind(Loopback());
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(server.Recvmsg(), milliseconds(5))).status()));
    // Far more than the bound while nobody reads: the kernel drops the rest, weir holds what it said.
    const uint32_t before = pool_->outstanding();
    for (int i = 0; i < 2000; ++i) EXPECT_TRUE((co_await Send(client, std::to_string(i), server.local())).ok());
    static_cast<void>(co_await Sleep(milliseconds(5)));
    EXPECT_GT(stack_->stats().recv_paused, 0u);
    EXPECT_LE(pool_->outstanding(), before + 256 + 64);
    for (int i = 0; i < 300; ++i) EXPECT_EQ(TextOf((co_await server.Recvmsg())->data), std::to_string(i));
  };
  loop_.Run(body());
}

TEST_F(KernelUdpTest, SaysWhyItCannotBind) {
  UdpSocket socket = Bind(Loopback());
  const absl::Status taken = UdpSocket::Bind(*stack_, socket.local()).status();
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(taken.message(), "cannot bind UDP " + socket.local().ToString() +
                                 ": Address already in use (EADDRINUSE); another program has that port: 'ss -lunp' "
                                 "shows it");
}

}  // namespace
}  // namespace weir
