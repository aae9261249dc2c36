// UdpSocket over both stacks and both versions of IP: what it promises in udp_socket.h.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/core/sleep.h"
#include "tests/netstack/socket/udp_fixture.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::Pattern;
using testing::TextOf;
using testing::UdpSocketTest;

INSTANTIATE_TEST_SUITE_P(Udp, UdpSocketTest, ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         &UdpSocketTest::Name);

TEST_P(UdpSocketTest, WhatADatagramTells) {
  UdpSocket server = BindAny(true), client = Bind(false);
  const Endpoint to = At(true, server.local().port);
  auto body = [&]() -> Task<void> {
    const Nanos before_ns = world_->now_ns();
    EXPECT_TRUE(client.SetTtl(9).ok());
    EXPECT_TRUE(client.SetTos(0x28).ok());
    EXPECT_TRUE((co_await Send(client, "one", to)).ok());
    absl::StatusOr<Datagram> got = co_await server.Recvmsg();
    EXPECT_EQ(TextOf(got->data), "one");
    EXPECT_EQ(got->peer, client.local());
    EXPECT_EQ(got->local.ip, to.ip);
    EXPECT_EQ(got->local.port, to.port);
    EXPECT_EQ(got->ttl, 9);
    EXPECT_EQ(got->tos, 0x28);
    EXPECT_EQ(got->interface, 1u);
    EXPECT_FALSE(got->truncated());
    // Within what the test took so far; the kernel's clocks may be adjusted meanwhile.
    EXPECT_LE(before_ns - kSecond, got->received_ns);
    EXPECT_GE(world_->now_ns() + kSecond, got->received_ns);
    EXPECT_TRUE((co_await Send(client, "two", to, {.ttl = 77, .tos = 0xb8, .source = client.local().ip})).ok());
    got = co_await server.Recvmsg();
    EXPECT_EQ(got->ttl, 77);
    EXPECT_EQ(got->tos, 0xb8);
    // Answered from where it came to.
    EXPECT_TRUE((co_await Send(server, "back", got->peer, {.source = got->local.ip})).ok());
    EXPECT_EQ((co_await client.Recvmsg())->peer, to);
  };
  ASSERT_TRUE(world_->Run(body()));
}

// A program that keeps all it gets, of more datagrams than there are frames: others still get theirs, and so does it
// again when it has given them back.
TEST_P(UdpSocketTest, KeepingStallsOneSocketAlone) {
  UdpSocket client = Bind(false), slow = Bind(true, 0, {.receive_queue = UdpBindOptions::kMaxReceiveQueue});
  UdpSocket quick = Bind(true);
  std::vector<Datagram> kept;
  auto keep = [&]() -> Task<void> {
    for (;;) {
      absl::StatusOr<Datagram> got = co_await slow.Recvmsg();
      if (!got.ok()) co_return;
      kept.push_back(*std::move(got));
    }
  };
  auto send_both = [&](size_t count) -> Task<void> {
    for (size_t n = 0; n < count; ++n) {
      EXPECT_TRUE((co_await Send(client, "to the slow one", slow.local())).ok());
      if (n % 16 != 0) continue;
      EXPECT_TRUE((co_await Send(client, absl::StrCat(n), quick.local())).ok());
      EXPECT_EQ(co_await Receive(quick), absl::StrCat(n));
    }
  };
  auto body = [&]() -> Task<void> {
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(keep());
    co_await send_both(world_->pool(true).size() + 500);
    EXPECT_LT(kept.size(), world_->pool(true).size());
    kept.clear();
    static_cast<void>(co_await Sleep(milliseconds(30)));
    kept.clear();  // what waited in the queue
    co_await send_both(1);
    static_cast<void>(co_await Sleep(milliseconds(30)));
    EXPECT_FALSE(kept.empty());
    kept.clear();
    scope.RequestStop();
    co_await scope.Join();
  };
  ASSERT_TRUE(world_->Run(body()));
}

TEST_P(UdpSocketTest, EchoesAsItLies) {
  UdpSocket client = Bind(false), server = Bind(true);
  auto body = [&]() -> Task<void> {
    const uint64_t copied = world_->copied_bytes(true);
    for (size_t bytes : {1u, 0u, 100u, 1452u}) {
      const std::string text = Pattern(bytes);
      EXPECT_TRUE((co_await Send(client, text, server.local())).ok());
      absl::StatusOr<Datagram> got = co_await server.Recvmsg();
      EXPECT_EQ(TextOf(got->data), text);
      EXPECT_EQ(got->length(), bytes);
      EXPECT_EQ(got->peer, client.local());
      EXPECT_EQ(got->local, server.local());
      EXPECT_TRUE((co_await server.Sendmsg(std::move(got->data), got->peer)).ok());
      absl::StatusOr<Datagram> back = co_await client.Recvmsg();
      EXPECT_EQ(TextOf(back->data), text);
      EXPECT_EQ(back->peer, server.local());
    }
    EXPECT_EQ(world_->copied_bytes(true), copied);
    const absl::Status large = co_await Send(client, std::string(70'000, 'x'), server.local());
    EXPECT_EQ(large.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(large.message().find("EMSGSIZE"), absl::string_view::npos);
  };
  ASSERT_TRUE(world_->Run(body()));
}

// recvmsg(2) with MSG_TRUNC and MSG_PEEK.
TEST_P(UdpSocketTest, IntoTheProgramsMemory) {
  UdpSocket client = Bind(false), server = Bind(true);
  auto body = [&]() -> Task<void> {
    char first[4], second[10];
    const iovec both[] = {{first, sizeof first}, {nullptr, 0}, {second, sizeof second}};
    const auto receive = [&](std::span<const iovec> into, bool peek) {
      return WithTimeout(server.Recvmsg(into, peek), milliseconds(2000));
    };
    for (const std::string text : {"", "abc", "0123456789abcd", "0123456789abcde", "0123456789abcdefghijklmnop"}) {
      EXPECT_TRUE((co_await Send(client, text, server.local(), {.ttl = 5})).ok());
      for (const bool peek : {true, true, false}) {
        std::memset(first, '?', sizeof first);
        std::memset(second, '?', sizeof second);
        absl::StatusOr<DatagramInfo> got = co_await receive(both, peek);
        EXPECT_TRUE(got.ok()) << got.status();
        if (!got.ok()) co_return;
        EXPECT_EQ(got->length, text.size());
        EXPECT_EQ(got->copied, std::min<size_t>(text.size(), 14));
        EXPECT_EQ(got->truncated(), text.size() > 14);
        EXPECT_EQ((std::string(first, 4) + std::string(second, 10)).substr(0, got->copied), text.substr(0, got->copied));
        EXPECT_EQ(got->peer, client.local());
        EXPECT_EQ(got->local, server.local());
        EXPECT_EQ(got->ttl, 5);
      }
    }
    // Memory of no bytes takes one, too; a peek and a batch see the same.
    for (const char* text : {"gone", "stays", "and this"}) EXPECT_TRUE((co_await Send(client, text, server.local())).ok());
    EXPECT_EQ((co_await receive({}, false))->length, 4u);
    EXPECT_EQ((co_await receive({}, true))->length, 5u);
    EXPECT_EQ(TextOf((co_await server.Recvmsg())->data), "stays");
    std::array<Datagram, 4> into;
    EXPECT_EQ(*co_await server.RecvBatch(into), 1u);
    EXPECT_EQ(TextOf(into[0].data), "and this");
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(server.Recvmsg(both, true), milliseconds(5))).status()));
  };
  ASSERT_TRUE(world_->Run(body()));
}

// A peek at one that lies in many frames.
TEST_P(UdpSocketTest, PeekAtALargeDatagram) {
  UdpSocket client = Bind(false), server = Bind(true);
  auto body = [&]() -> Task<void> {
    std::string text = Pattern(40'000), got(40'000, '?');
    // Over the kernel the first large one makes the socket ready for others.
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(server.Recvmsg(), milliseconds(5))).status()));
    EXPECT_TRUE((co_await Send(client, text, server.local())).ok());
    EXPECT_EQ((co_await server.Recvmsg())->length(), 40'000u);
    EXPECT_TRUE((co_await Send(client, text, server.local())).ok());
    const iovec into{got.data(), got.size()}, little{got.data(), 100};
    EXPECT_EQ((co_await server.Recvmsg({&into, 1}, /*peek=*/true))->copied, 40'000u);
    EXPECT_TRUE(got == text);
    absl::StatusOr<DatagramInfo> cut = co_await server.Recvmsg({&little, 1});
    EXPECT_EQ(cut->copied, 100u);
    EXPECT_EQ(cut->length, 40'000u);
    EXPECT_TRUE(co_await Silent(server));
  };
  ASSERT_TRUE(world_->Run(body()));
}

TEST_P(UdpSocketTest, OptionsThatAreRefused) {
  UdpSocket socket = Bind(false);
  EXPECT_TRUE(absl::IsInvalidArgument(socket.SetTtl(0)));
  const absl::Status none = socket.SetMulticastInterface(9999);
  EXPECT_TRUE(absl::IsNotFound(none)) << none;
  EXPECT_TRUE(socket.SetMulticastInterface(1).ok());
  EXPECT_TRUE(socket.SetMulticastInterface(0).ok());
  EXPECT_TRUE(socket.SetMulticastTtl(0).ok());
  EXPECT_TRUE(socket.SetMulticastTtl(255).ok());
  auto body = [&]() -> Task<void> {
    const Endpoint to = At(true, 9);
    EXPECT_TRUE(absl::IsInvalidArgument(co_await Send(socket, "x", to, {.ttl = 0})));
    const IpAddress other_family = v6() ? IpAddress::V4(0x7f000001) : *IpAddress::Parse("::1");
    EXPECT_FALSE((co_await Send(socket, "x", to, {.source = other_family})).ok());
    const IpAddress foreign = *IpAddress::Parse(v6() ? "2001:db8::9" : "192.0.2.9");
    EXPECT_FALSE((co_await Send(socket, "x", to, {.source = foreign})).ok());
    if (!v6()) EXPECT_TRUE(absl::IsPermissionDenied(co_await Send(socket, "x", {IpAddress::V4(0xffffffff), 9})));
  };
  ASSERT_TRUE(world_->Run(body()));
}

TEST_P(UdpSocketTest, Connected) {
  UdpSocket client = BindAny(false), server = Bind(true), other = Bind(true);
  const uint16_t port = client.local().port;
  auto body = [&]() -> Task<void> {
    const Endpoint here = At(false, port);
    EXPECT_TRUE(absl::IsFailedPrecondition(co_await Send(client, "to nobody")));
    EXPECT_TRUE(absl::IsInvalidArgument(client.Connect({server.local().ip, 0})));
    EXPECT_TRUE(client.Connect(server.local()).ok());
    EXPECT_EQ(client.peer(), server.local());
    EXPECT_EQ(client.local(), here);
    EXPECT_TRUE((co_await Send(client, "connected")).ok());
    EXPECT_EQ(co_await Receive(server), "connected");
    EXPECT_TRUE((co_await Send(other, "who is that?", here)).ok());
    EXPECT_TRUE(co_await Silent(client));
    EXPECT_TRUE((co_await Send(server, "answer", here)).ok());
    EXPECT_EQ(co_await Receive(client), "answer");
    EXPECT_TRUE((co_await Send(client, "elsewhere", other.local())).ok());
    EXPECT_EQ(co_await Receive(other), "elsewhere");
    EXPECT_TRUE(client.Connect(other.local()).ok());
    EXPECT_TRUE((co_await Send(client, "to the other")).ok());
    EXPECT_EQ(co_await Receive(other), "to the other");
    EXPECT_TRUE(client.Disconnect().ok());
    EXPECT_EQ(client.peer(), Endpoint{});
    EXPECT_EQ(client.local().port, port);
    EXPECT_TRUE((co_await Send(server, "anyone", here)).ok());
    EXPECT_EQ(co_await Receive(client), "anyone");
    EXPECT_TRUE(absl::IsFailedPrecondition(co_await Send(client, "to nobody again")));
  };
  ASSERT_TRUE(world_->Run(body()));
}

// RFC 1122 §4.1.3.3: what ICMP says reaches the program of a connected socket, once.
TEST_P(UdpSocketTest, ErrorsOfConnectedSockets) {
  UdpSocket client = Bind(false);
  uint16_t closed = 0;
  {
    UdpSocket gone = Bind(true);
    closed = gone.local().port;
  }
  auto body = [&]() -> Task<void> {
    static_cast<void>(co_await Sleep(milliseconds(5)));  // the kernel closes in the background
    EXPECT_TRUE((co_await Send(client, "unconnected: nothing is said", At(true, closed))).ok());
    EXPECT_TRUE(co_await Silent(client));
    EXPECT_TRUE(client.Connect(At(true, closed)).ok());
    EXPECT_TRUE((co_await Send(client, "anybody?")).ok());
    absl::StatusOr<Datagram> refused = co_await WithTimeout(client.Recvmsg(), milliseconds(2000));
    EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
    EXPECT_NE(refused.status().message().find("ECONNREFUSED"), std::string::npos) << refused.status();
    EXPECT_TRUE(co_await Silent(client));
    // Also to whoever sends next, instead of his datagram.
    EXPECT_TRUE((co_await Send(client, "anybody now?")).ok());
    static_cast<void>(co_await Sleep(milliseconds(5)));
    UdpSocket back = Bind(true, closed);
    if (!kernel()) EXPECT_TRUE(absl::IsUnavailable(co_await Send(client, "lost")));
    std::array<Datagram, 2> into;
    if (kernel()) EXPECT_TRUE(absl::IsUnavailable((co_await client.RecvBatch(into)).status()));
    EXPECT_TRUE((co_await Send(client, "here you are")).ok());
    EXPECT_EQ(co_await Receive(back), "here you are");
  };
  ASSERT_TRUE(world_->Run(body()));
}

TEST_P(UdpSocketTest, Batches) {
  UdpSocket client = Bind(false), server = Bind(true), other = Bind(true);
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE((co_await Send(client, "first", server.local())).ok());  // the neighbours know each other
    EXPECT_EQ(co_await Receive(server), "first");
    std::vector<UdpMessage> messages(150);
    for (size_t i = 0; i < messages.size(); ++i) {
      messages[i].data = Buffer(client, std::to_string(i));
      messages[i].peer = (i % 3 == 0 ? other : server).local();
      messages[i].options.ttl = static_cast<uint8_t>(1 + i);
    }
    size_t sent = 0;
    while (sent < messages.size()) {
      absl::StatusOr<size_t> n = co_await client.SendBatch(std::span(messages).subspan(sent));
      EXPECT_TRUE(n.ok()) << n.status();
      EXPECT_TRUE(n.ok() && *n > 0);
      if (!n.ok() || *n == 0) co_return;
      sent += *n;
      EXPECT_TRUE(messages[sent - 1].data.empty());
    }
    std::array<Datagram, 64> into;
    size_t received = 0;
    for (size_t i = 1; i < messages.size();) {
      absl::StatusOr<size_t> n = co_await WithTimeout(server.RecvBatch(into), milliseconds(2000));
      EXPECT_TRUE(n.ok() && *n > 0) << n.status();
      if (!n.ok()) co_return;
      for (size_t k = 0; k < *n; ++k, ++received, i += i % 3 == 1 ? 1 : 2) {
        EXPECT_EQ(TextOf(into[k].data), std::to_string(i));
        EXPECT_EQ(into[k].ttl, 1 + i);
        EXPECT_EQ(into[k].peer, client.local());
      }
    }
    EXPECT_EQ(received, 100u);
    // No more than there is room for, and no waiting for more than there is.
    absl::StatusOr<size_t> n = co_await other.RecvBatch(std::span(into).first(3));
    EXPECT_EQ(*n, 3u);
    EXPECT_EQ(TextOf(into[2].data), "6");
    for (size_t left = 47; left > 0; left -= *n) {
      n = co_await other.RecvBatch(into);
      if (!n.ok() || *n == 0) break;
    }
    EXPECT_TRUE(co_await Silent(other));
    for (Datagram& datagram : into) datagram.data.Clear();
  };
  ASSERT_TRUE(world_->Run(body()));
}

TEST_P(UdpSocketTest, BatchesEndAtTheFirstError) {
  UdpSocket client = Bind(false), server = Bind(true);
  auto body = [&]() -> Task<void> {
    std::array<UdpMessage, 3> messages;
    const auto fill = [&](int wrong) {
      for (int i = 0; i < 3; ++i) {
        UdpMessage& message = messages[static_cast<size_t>(i)];
        message.data = Buffer(client, "message");
        message.peer = i == wrong ? Endpoint{} : server.local();
      }
    };
    EXPECT_EQ(*co_await client.SendBatch({}), 0u);
    fill(1);
    EXPECT_EQ(*co_await client.SendBatch(messages), 1u);
    EXPECT_TRUE(messages[0].data.empty());
    EXPECT_FALSE(messages[1].data.empty());
    EXPECT_EQ(co_await Receive(server), "message");
    fill(0);
    absl::StatusOr<size_t> none = co_await client.SendBatch(messages);
    EXPECT_TRUE(absl::IsFailedPrecondition(none.status())) << none.status();
    EXPECT_TRUE(co_await Silent(server));
    for (UdpMessage& message : messages) message.data.Clear();
    // A stop ends a batch's wait, and nothing is lost by it.
    std::array<Datagram, 4> into;
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(server.RecvBatch(into), milliseconds(5))).status()));
    EXPECT_TRUE((co_await Send(client, "after", server.local())).ok());
    EXPECT_EQ(*co_await server.RecvBatch(into), 1u);
    EXPECT_EQ(TextOf(into[0].data), "after");
  };
  ASSERT_TRUE(world_->Run(body()));
}

TEST_P(UdpSocketTest, SharedPorts) {
  const UdpBindOptions shared{.reuse_port = true};
  std::vector<UdpSocket> servers;
  servers.push_back(Bind(true, 0, shared));
  const Endpoint to = servers[0].local();
  EXPECT_TRUE(absl::IsAlreadyExists(UdpSocket::Bind(world_->stack(true), to).status()));
  for (int i = 1; i < 4; ++i) servers.push_back(Bind(true, to.port, shared));
  std::map<int, int> share;
  auto body = [&]() -> Task<void> {
    UdpSocket first = Bind(false), answerer = Bind(true);
    EXPECT_TRUE((co_await Send(first, "the neighbours know each other", answerer.local())).ok());
    EXPECT_NE(co_await Receive(answerer), "");
    for (int flow = 0; flow < 64; ++flow) {
      UdpSocket client = Bind(false);
      for (int i = 0; i < 3; ++i) EXPECT_TRUE((co_await Send(client, std::to_string(flow), to)).ok());
    }
    for (int i = 0; i < 4; ++i) {
      std::map<std::string, int> flows;
      std::array<Datagram, 64> into;
      for (;;) {
        absl::StatusOr<size_t> n =
            co_await WithTimeout(servers[static_cast<size_t>(i)].RecvBatch(into), milliseconds(50));
        if (!n.ok()) break;
        for (size_t k = 0; k < *n; ++k) ++flows[TextOf(into[k].data)];
      }
      for (const auto& [flow, datagrams] : flows) EXPECT_EQ(datagrams, 3) << "flow " << flow;
      share[i] = static_cast<int>(flows.size());
    }
  };
  ASSERT_TRUE(world_->Run(body()));
  int all = 0;
  for (const auto& [server, flows] : share) {
    EXPECT_GT(flows, 0) << server;
    all += flows;
  }
  EXPECT_EQ(all, 64);
}

TEST_P(UdpSocketTest, WhatThereIsNoRoomForIsCounted) {
  UdpSocket client = Bind(false), server = Bind(true, 0, {.receive_queue = 8});
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE((co_await Send(client, "first", server.local())).ok());
    EXPECT_EQ(co_await Receive(server), "first");
    constexpr uint64_t kSent = 2000;
    for (uint64_t i = 0; i < kSent; ++i) {
      EXPECT_TRUE((co_await Send(client, std::to_string(i), server.local())).ok());
      if (i % 50 == 49) static_cast<void>(co_await Sleep(milliseconds(1)));
    }
    uint64_t received = 0;
    std::array<Datagram, 64> into;
    for (;;) {
      absl::StatusOr<size_t> n = co_await WithTimeout(server.RecvBatch(into), milliseconds(50));
      if (!n.ok()) break;
      received += *n;
    }
    EXPECT_GE(received, 8u);
    EXPECT_GT(server.dropped(), 0u);
    EXPECT_EQ(received + server.dropped(), kSent);
    EXPECT_EQ(client.dropped(), 0u);
  };
  ASSERT_TRUE(world_->Run(body()));
}

}  // namespace
}  // namespace weir
