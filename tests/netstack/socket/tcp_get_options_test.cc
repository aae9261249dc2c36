// What is set on TCP streams and listeners is read back, over both stacks; and the options that have to do with the
// handshake.
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "tests/netstack/socket/tcp_fixture.h"

namespace weir {
namespace {

using testing::RecvText;
using testing::SendText;

class TcpGetOptionsTest : public testing::TcpSocketTest {};

// What is set is read back, as by getsockopt.
TEST_P(TcpGetOptionsTest, AreReadBack) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    for (bool on : {true, false}) {
      EXPECT_TRUE(client.SetNoDelay(on).ok());
      EXPECT_EQ(*client.NoDelay(), on);
      EXPECT_TRUE(client.SetCork(on).ok());
      EXPECT_EQ(*client.Cork(), on);
      EXPECT_TRUE(client.SetQuickAck(on).ok());
      EXPECT_EQ(*client.QuickAck(), on);
    }
    EXPECT_FALSE(client.KeepAlive()->has_value());
    EXPECT_TRUE(client.SetKeepAlive(TcpKeepAlive{.idle_s = 10, .interval_s = 2, .count = 3}).ok());
    const absl::StatusOr<std::optional<TcpKeepAlive>> keepalive = client.KeepAlive();
    EXPECT_TRUE(keepalive.ok() && keepalive->has_value());
    if (!keepalive.ok() || !keepalive->has_value()) co_return;
    EXPECT_EQ((*keepalive)->idle_s, 10);
    EXPECT_EQ((*keepalive)->interval_s, 2);
    EXPECT_EQ((*keepalive)->count, 3);
    EXPECT_TRUE(client.SetKeepAlive(std::nullopt).ok());
    EXPECT_FALSE(client.KeepAlive()->has_value());
    EXPECT_EQ(*client.UserTimeout(), 0u);
    EXPECT_TRUE(client.SetUserTimeout(5000).ok());
    EXPECT_EQ(*client.UserTimeout(), 5000u);
    EXPECT_FALSE(client.Linger()->has_value());
    EXPECT_TRUE(client.SetLinger(0).ok());
    EXPECT_EQ(*client.Linger(), 0);
    EXPECT_TRUE(client.SetLinger(std::nullopt).ok());
    EXPECT_EQ(*client.FinTimeout(), 60u);
    EXPECT_TRUE(client.SetFinTimeout(30).ok());
    EXPECT_EQ(*client.FinTimeout(), 30u);
    EXPECT_TRUE(client.SetFinTimeout(1000).ok());
    EXPECT_EQ(*client.FinTimeout(), 120u);
    EXPECT_EQ(*client.SynCount(), 6u);
    EXPECT_TRUE(client.SetSynCount(3).ok());
    EXPECT_EQ(*client.SynCount(), 3u);
    EXPECT_TRUE(client.SetCongestion("reno").ok());
    EXPECT_EQ(*client.Congestion(), "reno");
    EXPECT_NE(*server.Congestion(), "reno");
    EXPECT_TRUE((co_await SendText(client, "text")).ok());
    EXPECT_EQ(*co_await RecvText(server, 4), "text");
  });
}

TEST_P(TcpGetOptionsTest, BoundsAreReadBack) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    const uint32_t overhead = kernel() ? 2 : 1;
    EXPECT_TRUE(client.SetReceiveBuffer(100'000).ok());
    EXPECT_EQ(*client.ReceiveBuffer(), 100'000u * overhead);
    EXPECT_TRUE(client.SetSendBuffer(50'000).ok());
    EXPECT_EQ(*client.SendBuffer(), 50'000u * overhead);
    EXPECT_TRUE(client.SetSendBuffer(1).ok());
    EXPECT_LE(2304u, *client.SendBuffer());
    EXPECT_EQ(*client.MaxPacingRate(), 0u);
    EXPECT_TRUE(client.SetMaxPacingRate(10'000'000'000).ok());
    EXPECT_EQ(*client.MaxPacingRate(), 10'000'000'000u);
    EXPECT_TRUE(client.SetMaxPacingRate(0).ok());
    EXPECT_EQ(*client.MaxPacingRate(), 0u);
    EXPECT_EQ(*client.NotSentLowat(), 0u);
    EXPECT_TRUE(client.SetNotSentLowat(16384).ok());
    EXPECT_EQ(*client.NotSentLowat(), 16384u);
    EXPECT_TRUE(client.SetWindowClamp(100).ok());
    EXPECT_EQ(*client.WindowClamp(), 1152u);
    EXPECT_TRUE(client.SetWindowClamp(30'000).ok());
    EXPECT_EQ(*client.WindowClamp(), 30'000u);
    EXPECT_TRUE((co_await SendText(client, "text")).ok());
    EXPECT_EQ(*co_await RecvText(server, 4), "text");
  });
}

TEST_P(TcpGetOptionsTest, OfTheHeadersOfIpAreReadBack) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_EQ(*client.Tos(), 0);
    EXPECT_TRUE(client.SetTos(0xbb).ok());
    EXPECT_EQ(*client.Tos(), 0xb8);
    EXPECT_EQ(*client.Ttl(), 64);
    EXPECT_TRUE(client.SetTtl(7).ok());
    EXPECT_EQ(*client.Ttl(), 7);
    EXPECT_TRUE(client.SetTtl(0).ok());
    EXPECT_EQ(*client.Ttl(), 64);
    EXPECT_EQ(*client.MinTtl(), 0);
    EXPECT_TRUE(client.SetMinTtl(64).ok());  // which is what the server sends with
    EXPECT_EQ(*client.MinTtl(), 64);
    EXPECT_EQ(*client.MtuDiscover(), TcpMtuDiscover::kWant);
    for (const auto mode : {TcpMtuDiscover::kDont, TcpMtuDiscover::kDo, TcpMtuDiscover::kWant}) {
      EXPECT_TRUE(client.SetMtuDiscover(mode).ok());
      EXPECT_EQ(*client.MtuDiscover(), mode);
    }
    EXPECT_TRUE((co_await SendText(client, "text")).ok());
    EXPECT_EQ(*co_await RecvText(server, 4), "text");
  });
}

// tcp(7): too late for the SYN it is taken, and changes nothing.
TEST_P(TcpGetOptionsTest, MaxSegmentWhileConnected) {
  Run([](TcpStream& client, TcpStream&) -> Task<void> {
    const absl::StatusOr<uint32_t> before = client.MaxSegment();
    EXPECT_TRUE(before.ok()) << before.status();
    EXPECT_EQ(*before, client.Info()->snd_mss);
    EXPECT_TRUE(client.SetMaxSegment(500).ok());
    EXPECT_EQ(*client.MaxSegment(), *before);
    constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
    Refused(client.SetMaxSegment(87), kInvalid, "EINVAL");
    Refused(client.SetMaxSegment(32768), kInvalid, "EINVAL");
    Refused(client.SetSynCount(0), kInvalid, "EINVAL");
    Refused(client.SetSynCount(128), kInvalid, "EINVAL");
    Refused(client.SetWindowClamp(0), kInvalid, "EINVAL");
    co_return;
  });
}

// RFC 9293 §3.7.1, and what else the SYN has to know of. The 12 bytes are those of the timestamps.
TEST_P(TcpGetOptionsTest, OfTheSyn) {
  const auto body = [&]() -> Task<void> {
    absl::StatusOr<TcpListener> listener = TcpListener::Listen(world_->stack(true), At(true));
    EXPECT_TRUE(listener.ok()) << listener.status();
    if (!listener.ok()) co_return;
    const TcpConnectOptions options{.receive_buffer = 60'000,
                                    .user_timeout_ms = 7000,
                                    .syn_count = 2,
                                    .max_segment = 700,
                                    .window_clamp = 20'000,
                                    .tos = 0x28,
                                    .ttl = 9,
                                    .mtu_discover = TcpMtuDiscover::kDo,
                                    .min_ttl = 64};
    TcpStream server;
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(AcceptOne(*listener, server));
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(world_->stack(false), listener->local(), options);
    EXPECT_TRUE(client.ok()) << client.status();
    co_await scope.Join();
    if (!client.ok()) co_return;
    EXPECT_EQ(*client->MaxSegment(), 688u);
    EXPECT_EQ(*server.MaxSegment(), 688u);
    EXPECT_EQ(client->Info()->advmss, kernel() ? 688u : 700u);  // the kernel takes the timestamps off here too
    EXPECT_EQ(*client->ReceiveBuffer(), kernel() ? 120'000u : 60'000u);
    EXPECT_EQ(*client->UserTimeout(), 7000u);
    EXPECT_EQ(*client->SynCount(), 2u);
    EXPECT_EQ(*client->WindowClamp(), 20'000u);
    EXPECT_GE(20'000u, server.Info()->snd_wnd);
    EXPECT_EQ(*client->Tos(), 0x28);
    EXPECT_EQ(*client->Ttl(), 9);
    EXPECT_EQ(*client->MinTtl(), 64);
    EXPECT_EQ(*client->MtuDiscover(), TcpMtuDiscover::kDo);
    Refused((co_await TcpStream::Connect(world_->stack(false), listener->local(), {.max_segment = 1})).status(),
            absl::StatusCode::kInvalidArgument, "EINVAL");
  };
  EXPECT_TRUE(world_->Run(body()));
}

// What a listener has is read back from it, and from what it accepts.
TEST_P(TcpGetOptionsTest, OfAListener) {
  const auto prepare = [](TcpListener& listener) {
    EXPECT_EQ(*listener.MaxSegment(), 536u);
    EXPECT_TRUE(listener.SetMaxSegment(700).ok());
    EXPECT_EQ(*listener.MaxSegment(), 700u);
    EXPECT_EQ(*listener.Ttl(), 64);
    EXPECT_TRUE(listener.SetTtl(9).ok());
    EXPECT_TRUE(listener.SetTtl(0).ok());
    EXPECT_EQ(*listener.Ttl(), 64);
    EXPECT_TRUE(listener.SetTtl(9).ok());
    EXPECT_TRUE(listener.SetTos(0x2b).ok());
    EXPECT_EQ(*listener.Tos(), 0x28);
    EXPECT_TRUE(listener.SetMtuDiscover(TcpMtuDiscover::kDont).ok());
    EXPECT_EQ(*listener.MtuDiscover(), TcpMtuDiscover::kDont);
    EXPECT_FALSE(*listener.NoDelay());
    EXPECT_TRUE(listener.SetNoDelay(true).ok());
    EXPECT_TRUE(*listener.NoDelay());
    EXPECT_EQ(*listener.FinTimeout(), 60u);
    EXPECT_TRUE(listener.SetSynCount(4).ok());
    EXPECT_NE(*listener.Congestion(), "reno");
    EXPECT_TRUE(listener.SetCongestion("reno").ok());
    EXPECT_EQ(*listener.Congestion(), "reno");
    EXPECT_FALSE(listener.KeepAlive()->has_value());
    EXPECT_TRUE(listener.SetKeepAlive(TcpKeepAlive{.idle_s = 10}).ok());
    EXPECT_EQ((*listener.KeepAlive())->idle_s, 10);
    for (const auto& [seconds, rounded] : {std::pair(5, 7), {8, 15}, {0, 0}}) {
      EXPECT_TRUE(listener.SetDeferAccept(static_cast<uint32_t>(seconds)).ok());
      EXPECT_EQ(*listener.DeferAccept(), static_cast<uint32_t>(rounded));
    }
    Refused(listener.SetDeferAccept(1u << 31), absl::StatusCode::kInvalidArgument, "EINVAL");
  };
  Run(
      [](TcpStream& client, TcpStream& server) -> Task<void> {
        EXPECT_EQ(*client.MaxSegment(), 688u);
        EXPECT_EQ(*server.MaxSegment(), 688u);
        EXPECT_EQ(*server.Ttl(), 9);
        EXPECT_EQ(*server.Tos(), 0x28);
        EXPECT_EQ(*server.MtuDiscover(), TcpMtuDiscover::kDont);
        EXPECT_TRUE(*server.NoDelay());
        EXPECT_EQ(*server.SynCount(), 4u);
        EXPECT_EQ(*server.Congestion(), "reno");
        EXPECT_EQ((*server.KeepAlive())->idle_s, 10);
        co_return;
      },
      prepare);
}

// IPV6_TCLASS, IPV6_UNICAST_HOPS, IPV6_MTU_DISCOVER and IPV6_MINHOPCOUNT, under the names of IPv4.
TEST_P(TcpGetOptionsTest, OfIpv6) {
  const auto body = [&]() -> Task<void> {
    const Endpoint any{world_->ip(/*server=*/true, /*v6=*/true), 0};
    absl::StatusOr<TcpListener> listener = TcpListener::Listen(world_->stack(true), any);
    EXPECT_TRUE(listener.ok()) << listener.status();
    if (!listener.ok()) co_return;
    EXPECT_TRUE(listener->SetTos(0x28).ok());
    EXPECT_TRUE(listener->SetTtl(9).ok());
    TcpStream server;
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(AcceptOne(*listener, server));
    absl::StatusOr<TcpStream> client =
        co_await TcpStream::Connect(world_->stack(false), listener->local(), {.tos = 0xb8, .min_ttl = 9});
    EXPECT_TRUE(client.ok()) << client.status();
    co_await scope.Join();
    if (!client.ok()) co_return;
    EXPECT_EQ(*client->Tos(), 0xb8);
    EXPECT_EQ(*client->Ttl(), 64);
    EXPECT_EQ(*client->MinTtl(), 9);
    EXPECT_EQ(*server.Tos(), 0x28);
    EXPECT_EQ(*server.Ttl(), 9);
    EXPECT_TRUE(client->SetMtuDiscover(TcpMtuDiscover::kDont).ok());
    EXPECT_EQ(*client->MtuDiscover(), TcpMtuDiscover::kDont);
    EXPECT_TRUE((co_await SendText(server, "text")).ok());  // with a TTL of 9, which is just enough
    EXPECT_EQ(*co_await RecvText(*client, 4), "text");
    EXPECT_TRUE(client->SetMinTtl(10).ok());
    EXPECT_TRUE((co_await SendText(server, "text")).ok());
    const absl::StatusOr<std::string> got = co_await WithTimeout(RecvText(*client, 4), std::chrono::milliseconds(50));
    EXPECT_EQ(got.status().code(), absl::StatusCode::kDeadlineExceeded);
  };
  EXPECT_TRUE(world_->Run(body()));
}

// TCP_DEFER_ACCEPT: the client takes the connection for open, and the server is not told before there is something to
// read.
TEST_P(TcpGetOptionsTest, DeferAccept) {
  const auto body = [&]() -> Task<void> {
    absl::StatusOr<TcpListener> listener = TcpListener::Listen(world_->stack(true), At(true));
    EXPECT_TRUE(listener.ok()) << listener.status();
    if (!listener.ok()) co_return;
    EXPECT_TRUE(listener->SetDeferAccept(30).ok());
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(world_->stack(false), listener->local());
    EXPECT_TRUE(client.ok()) << client.status();
    if (!client.ok()) co_return;
    absl::StatusOr<TcpStream> server = co_await WithTimeout(listener->Accept(), std::chrono::milliseconds(100));
    EXPECT_EQ(server.status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_TRUE((co_await SendText(*client, "text")).ok());
    server = co_await listener->Accept();
    EXPECT_TRUE(server.ok()) << server.status();
    if (server.ok()) EXPECT_EQ(*co_await RecvText(*server, 4), "text");
  };
  EXPECT_TRUE(world_->Run(body()));
}

// SO_ERROR: told once, and nobody else is told then.
TEST_P(TcpGetOptionsTest, TakeError) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE(client.TakeError().ok());
    server.Reset();
    EXPECT_TRUE((co_await Sleep(std::chrono::milliseconds(50))).ok());
    Refused(client.TakeError(), absl::StatusCode::kAborted, "ECONNRESET");
    EXPECT_TRUE(client.TakeError().ok());
    EXPECT_EQ(*co_await RecvText(client, 1), "");
    Refused(co_await SendText(client, "text"), absl::StatusCode::kAborted, "EPIPE");
    Refused(server.TakeError(), absl::StatusCode::kAborted, "ECONNABORTED");
  });
}

// SO_MEMINFO.
TEST_P(TcpGetOptionsTest, MemInfo) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_EQ(server.MemInfo()->receive_allocated, 0u);
    EXPECT_TRUE((co_await SendText(client, std::string(5000, 'a'))).ok());
    EXPECT_TRUE((co_await Sleep(std::chrono::milliseconds(100))).ok());
    EXPECT_LE(5000u, server.MemInfo()->receive_allocated);
    EXPECT_EQ(client.MemInfo()->send_queued, 0u);
    EXPECT_EQ(server.MemInfo()->receive_buffer, *server.ReceiveBuffer());
    EXPECT_EQ(client.MemInfo()->send_buffer, *client.SendBuffer());
    EXPECT_EQ((co_await RecvText(server, 5000))->size(), 5000u);
    EXPECT_EQ(server.MemInfo()->receive_allocated, 0u);
    // Nobody reads; what the peer does not take any more is here.
    const std::string much(64 << 10, 'b');
    while ((co_await WithTimeout(SendText(client, much), std::chrono::milliseconds(100))).ok()) {
    }
    EXPECT_LE(64u << 10, client.MemInfo()->send_queued);
  });
}

INSTANTIATE_TEST_SUITE_P(Stacks, TcpGetOptionsTest, ::testing::Bool(), testing::TcpSocketTest::Name);

}  // namespace
}  // namespace weir
