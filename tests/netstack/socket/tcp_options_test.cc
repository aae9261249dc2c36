// Options of TCP streams and TCP_INFO, over the kernel's stack and weir's own: both promise the same (tcp_stream.h).
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>

#include "tests/netstack/socket/tcp_fixture.h"

namespace weir {
namespace {

using testing::RecvText;
using testing::SendText;

class TcpOptionsTest : public testing::TcpSocketTest {};

TEST_P(TcpOptionsTest, AreTaken) {
  Run([](TcpStream& client, TcpStream&) -> Task<void> {
    for (bool on : {true, false}) {
      EXPECT_TRUE(client.SetNoDelay(on).ok());
      EXPECT_TRUE(client.SetCork(on).ok());
      EXPECT_TRUE(client.SetQuickAck(on).ok());
    }
    EXPECT_TRUE(client.SetKeepAlive(TcpKeepAlive{.idle_s = 10, .interval_s = 2, .count = 3}).ok());
    EXPECT_TRUE(client.SetKeepAlive(std::nullopt).ok());
    EXPECT_TRUE(client.SetUserTimeout(5000).ok());
    EXPECT_TRUE(client.SetLinger(0).ok());
    EXPECT_TRUE(client.SetLinger(std::nullopt).ok());
    EXPECT_TRUE(client.SetReceiveBuffer(100'000).ok());
    EXPECT_TRUE(client.SetSendBuffer(100'000).ok());
    EXPECT_TRUE(client.SetMaxPacingRate(1'000'000'000).ok());
    EXPECT_TRUE(client.SetMaxPacingRate(0).ok());
    EXPECT_TRUE(client.SetFinTimeout(30).ok());
    EXPECT_TRUE(client.SetFinTimeout(0).ok());
    EXPECT_TRUE(client.SetNotSentLowat(16384).ok());
    EXPECT_TRUE(client.SetNotSentLowat(0).ok());
    EXPECT_TRUE(client.SetCongestion("reno").ok());  // which every user may have
    co_return;
  });
}

TEST_P(TcpOptionsTest, BadValuesAreRefused) {
  Run([](TcpStream& client, TcpStream&) -> Task<void> {
    constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
    Refused(client.SetKeepAlive(TcpKeepAlive{.idle_s = 0}), kInvalid, "EINVAL");
    Refused(client.SetKeepAlive(TcpKeepAlive{.interval_s = 32768}), kInvalid, "EINVAL");
    Refused(client.SetKeepAlive(TcpKeepAlive{.count = 128}), kInvalid, "EINVAL");
    Refused(client.SetUserTimeout(1u << 31), kInvalid, "EINVAL");
    Refused(client.SetLinger(1), kInvalid, "EINVAL");
    Refused(client.SetFinTimeout(1u << 31), kInvalid, "EINVAL");
    Refused(client.SetCongestion("no_such"), absl::StatusCode::kNotFound, "ENOENT");
    co_return;
  });
}

TEST_P(TcpOptionsTest, InfoTellsOfTheConnection) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(client, std::string(5000, 'a'))).ok());
    EXPECT_EQ((co_await RecvText(server, 5000))->size(), 5000u);
    EXPECT_TRUE((co_await SendText(server, std::string(70, 'b'))).ok());  // and with it the last acknowledgment
    EXPECT_EQ((co_await RecvText(client, 70))->size(), 70u);
    const absl::StatusOr<TcpInfo> info = client.Info();
    EXPECT_TRUE(info.ok()) << info.status();
    if (!info.ok()) co_return;
    EXPECT_EQ(info->state, TcpState::kEstablished);
    EXPECT_TRUE(info->timestamps);
    EXPECT_TRUE(info->sack);
    EXPECT_TRUE(info->window_scaling);
    EXPECT_EQ(info->bytes_sent, 5000u);
    EXPECT_EQ(info->bytes_received, 70u);
    // The kernel counts the SYN.
    EXPECT_LE(5000u, info->bytes_acked);
    EXPECT_GE(5001u, info->bytes_acked);
    EXPECT_EQ(info->unacked, 0u);
    EXPECT_EQ(info->bytes_retrans, 0u);
    EXPECT_LE(3u, info->segs_out);
    EXPECT_LE(2u, info->segs_in);
    EXPECT_LE(10u, info->snd_cwnd);
    EXPECT_LE(536u, info->snd_mss);
    EXPECT_LT(0, info->rtt_ns);
    EXPECT_LT(0, info->min_rtt_ns);
    EXPECT_LE(200 * kMillisecond, info->rto_ns);
  });
}

// SO_LINGER 0: the peer sees a reset where it would else see the end.
TEST_P(TcpOptionsTest, LingerZeroResets) {
  for (bool reset : {false, true}) {
    Run([reset](TcpStream& client, TcpStream& server) -> Task<void> {
      if (reset) EXPECT_TRUE(client.SetLinger(0).ok());
      client.Close();
      const absl::StatusOr<std::string> got = co_await RecvText(server, 1);
      if (reset) {
        Refused(got.status(), absl::StatusCode::kAborted, "ECONNRESET");
      } else {
        EXPECT_TRUE(got.ok()) << got.status();
      }
    });
  }
}

// What is set on a listener is set on what it accepts (tcp_create_openreq_child).
TEST_P(TcpOptionsTest, AreInherited) {
  const auto prepare = [](TcpListener& listener) {
    EXPECT_TRUE(listener.SetLinger(0).ok());
    EXPECT_TRUE(listener.SetNoDelay(true).ok());
    EXPECT_TRUE(listener.SetKeepAlive(TcpKeepAlive{.idle_s = 10, .interval_s = 2, .count = 3}).ok());
    EXPECT_TRUE(listener.SetReceiveBuffer(100'000).ok());
    EXPECT_TRUE(listener.SetUserTimeout(5000).ok());
    EXPECT_TRUE(listener.SetCongestion("reno").ok());
    constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
    Refused(listener.SetUserTimeout(1u << 31), kInvalid, "EINVAL");
    Refused(listener.SetKeepAlive(TcpKeepAlive{.count = 128}), kInvalid, "EINVAL");
    Refused(listener.SetCongestion("no_such"), absl::StatusCode::kNotFound, "ENOENT");
  };
  Run(
      [](TcpStream& client, TcpStream& server) -> Task<void> {
        const uint32_t before = server.Info()->segs_out;
        for (int i = 0; i < 10; ++i) {
          EXPECT_TRUE((co_await SendText(server, "0123456789")).ok());
          EXPECT_TRUE((co_await Sleep(std::chrono::milliseconds(1))).ok());
        }
        EXPECT_EQ((co_await RecvText(client, 100))->size(), 100u);
        EXPECT_LE(10u, server.Info()->segs_out - before);
        server.Close();
        Refused((co_await RecvText(client, 1)).status(), absl::StatusCode::kAborted, "ECONNRESET");
      },
      prepare);
}

// SIOCINQ and SIOCOUTQ.
TEST_P(TcpOptionsTest, InfoTellsOfWhatIsQueued) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(client, std::string(5000, 'a'))).ok());
    EXPECT_TRUE((co_await Sleep(std::chrono::milliseconds(100))).ok());
    EXPECT_EQ(server.Info()->unread_bytes, 5000u);
    EXPECT_EQ(client.Info()->unacked_bytes, 0u);
    EXPECT_EQ((co_await RecvText(server, 5000))->size(), 5000u);
    EXPECT_EQ(server.Info()->unread_bytes, 0u);
    // Nobody reads; in the end neither side takes any more.
    const std::string much(64 << 10, 'b');
    while ((co_await WithTimeout(SendText(client, much), std::chrono::milliseconds(100))).ok()) {
    }
    EXPECT_LT(0u, client.Info()->unacked_bytes);
    EXPECT_LT(0u, server.Info()->unread_bytes);
  });
}

// RFC 9293 §3.7.4: pieces that follow a small one arrive together, unless SetNoDelay. What is in flight is answered late,
// as the reader sends nothing.
TEST_P(TcpOptionsTest, SmallWritesGather) {
  const bool kernel = GetParam();
  for (bool nodelay : {false, true}) {
    uint64_t segments = 0;
    Run([&](TcpStream& client, TcpStream& server) -> Task<void> {
      EXPECT_TRUE(client.SetNoDelay(nodelay).ok());
      EXPECT_TRUE(server.SetQuickAck(false).ok());
      const uint32_t before = client.Info()->segs_out;
      for (int i = 0; i < 10; ++i) {
        EXPECT_TRUE((co_await SendText(client, "0123456789")).ok());
        // In real time a busy machine may sleep so long that each write is acknowledged before the next.
        if (nodelay || !kernel) EXPECT_TRUE((co_await Sleep(std::chrono::milliseconds(1))).ok());
      }
      EXPECT_EQ((co_await RecvText(server, 100))->size(), 100u);
      segments = client.Info()->segs_out - before;
    });
    if (nodelay) {
      EXPECT_LE(10u, segments);
    } else {
      EXPECT_GE(5u, segments);
    }
  }
}

// RFC 7413 §4.2: the first connection brings a cookie, the next ones send their first data with the SYN; nothing else is
// different. The kernel does it only where its sysctl says so.
TEST_P(TcpOptionsTest, FastOpen) {
  const bool kernel = GetParam();
  auto body = [&]() -> Task<void> {
    const Endpoint any{world_->ip(/*server=*/true, /*v6=*/false), 0};
    absl::StatusOr<TcpListener> listener = TcpListener::Listen(world_->stack(true), any, {.fast_open = 4});
    EXPECT_TRUE(listener.ok()) << listener.status();
    if (!listener.ok()) co_return;
    for (int i = 0; i < 3; ++i) {
      absl::StatusOr<TcpStream> client =
          co_await TcpStream::Connect(world_->stack(false), listener->local(), {.fast_open = true});
      EXPECT_TRUE(client.ok()) << client.status();
      if (!client.ok()) co_return;
      // Here the server has the first word, and waiting for it is enough; the kernel waits for ours.
      const bool server_first = i == 2 && !kernel;
      AsyncScope scope(co_await CurrentContext());
      absl::StatusOr<std::string> answer;
      scope.Spawn([](TcpStream& stream, bool quiet, absl::StatusOr<std::string>& text) -> Task<void> {
        if (!quiet) EXPECT_TRUE((co_await SendText(stream, "question")).ok());
        text = co_await RecvText(stream, 6);
      }(*client, server_first, answer));
      absl::StatusOr<TcpStream> server = co_await listener->Accept();
      EXPECT_TRUE(server.ok()) << server.status();
      if (!server_first) EXPECT_EQ(*co_await RecvText(*server, 8), "question");
      EXPECT_TRUE((co_await SendText(*server, "answer")).ok());
      co_await scope.Join();
      EXPECT_EQ(*answer, "answer");
      if (kernel) continue;
      EXPECT_EQ(client->Info()->syn_data, i == 1);
      EXPECT_EQ(server->Info()->syn_data, i == 1);
    }
    const Endpoint gone = listener->local();
    listener = absl::CancelledError();
    // What would have been the connect's error comes later.
    absl::StatusOr<TcpStream> refused = co_await TcpStream::Connect(world_->stack(false), gone, {.fast_open = true});
    if (refused.ok()) {
      absl::Status sent = co_await SendText(*refused, "question");
      if (sent.ok()) sent = (co_await RecvText(*refused, 1)).status();
      Refused(sent, absl::StatusCode::kUnavailable, "ECONNREFUSED");
    } else {
      EXPECT_TRUE(kernel);
      Refused(refused.status(), absl::StatusCode::kUnavailable, "ECONNREFUSED");
    }
  };
  EXPECT_TRUE(world_->Run(body()));
}

INSTANTIATE_TEST_SUITE_P(Stacks, TcpOptionsTest, ::testing::Bool(), testing::TcpSocketTest::Name);

}  // namespace
}  // namespace weir
