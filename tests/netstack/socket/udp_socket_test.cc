// UdpSocket over both stacks and both versions of IP: what it promises in udp_socket.h.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "runtime/core/sleep.h"
#include "tests/netstack/socket/udp_world.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::TextOf;

class UdpSocketTest : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  UdpSocketTest() {
    if (kernel()) {
      world_ = std::make_unique<testing::KernelUdpWorld>();
    } else {
      world_ = std::make_unique<testing::InetUdpWorld>();
    }
  }
  bool kernel() const { return std::get<0>(GetParam()); }
  bool v6() const { return std::get<1>(GetParam()); }
  Endpoint At(bool server, uint16_t port = 0) { return {world_->ip(server, v6()), port}; }
  UdpSocket Bind(bool server, uint16_t port = 0, const UdpBindOptions& options = {}) {
    absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(world_->stack(server), At(server, port), options);
    EXPECT_TRUE(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  // Bound to any address of the family.
  UdpSocket BindAny(bool server, uint16_t port = 0, const UdpBindOptions& options = {}) {
    const Endpoint any{v6() ? IpAddress() : IpAddress::V4(0), port};
    absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(world_->stack(server), any, options);
    EXPECT_TRUE(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  static Task<absl::Status> Send(UdpSocket& socket, std::string text, Endpoint to = {}, UdpSendOptions options = {}) {
    const iovec slice{text.data(), text.size()};
    co_return co_await socket.Sendmsg(std::span(&slice, 1), to, options);
  }
  static Task<std::string> Receive(UdpSocket& socket) {
    absl::StatusOr<Datagram> got = co_await WithTimeout(socket.Recvmsg(), milliseconds(2000));
    co_return got.ok() ? TextOf(got->data) : absl::StatusCodeToString(got.status().code());
  }
  // Whether nothing comes.
  static Task<bool> Silent(UdpSocket& socket) {
    absl::StatusOr<Datagram> got = co_await WithTimeout(socket.Recvmsg(), milliseconds(20));
    co_return absl::IsDeadlineExceeded(got.status());
  }
  static SendBuffer Buffer(UdpSocket& socket, const std::string& text) {
    SendBuffer buffer = socket.NewSendBuffer(text.size());
    if (!text.empty()) std::memcpy(buffer.writable().front().iov_base, text.data(), text.size());
    return buffer;
  }

  std::unique_ptr<testing::UdpWorld> world_;
};

INSTANTIATE_TEST_SUITE_P(Udp, UdpSocketTest, ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param) ? "Kernel" : "Inet") +
                                  (std::get<1>(info.param) ? "6" : "4");
                         });

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
    EXPECT_FALSE(got->truncated);
    // On the clock of this machine, and within what the test took so far; the kernel's clocks may be adjusted meanwhile.
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

// ---- groups

class UdpGroupTest : public UdpSocketTest {
 protected:
  UdpGroupTest()
      : group_(*IpAddress::Parse(v6() ? "ff15::1234" : "239.255.12.34")), shared_{.reuse_address = true} {}

  // A member of the group at a place where others may be too.
  UdpSocket Member(bool server, uint16_t port = 0) {
    UdpSocket socket = BindAny(server, port, shared_);
    EXPECT_TRUE(socket.SetMulticastInterface(1).ok());
    return socket;
  }

  const IpAddress group_;
  const UdpBindOptions shared_;
};

INSTANTIATE_TEST_SUITE_P(Udp, UdpGroupTest, ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param) ? "Kernel" : "Inet") +
                                  (std::get<1>(info.param) ? "6" : "4");
                         });

TEST_P(UdpGroupTest, CallsAndTheirErrors) {  // RFC 3678 §5.1
  UdpSocket socket = Member(false);
  const IpAddress one = *IpAddress::Parse(v6() ? "2001:db8::1" : "192.0.2.1");
  const IpAddress two = *IpAddress::Parse(v6() ? "2001:db8::2" : "192.0.2.2");
  using Step = std::pair<absl::Status, const char*>;
  const auto check = [](const std::vector<Step>& steps) {
    for (size_t i = 0; i < steps.size(); ++i) {
      const auto& [status, name] = steps[i];
      if (*name == '\0') {
        EXPECT_TRUE(status.ok()) << "step " << i << ": " << status;
      } else {
        EXPECT_NE(status.message().find(std::string("(") + name + ")"), std::string::npos) << "step " << i << ": " << status;
      }
    }
  };
  const IpAddress unicast = world_->ip(false, v6());
  std::vector<Step> steps;
  steps.emplace_back(socket.JoinGroup(unicast, 1), "EINVAL");
  steps.emplace_back(socket.JoinGroup(group_, 9999), "ENODEV");
  steps.emplace_back(socket.LeaveGroup(group_, 1), "EADDRNOTAVAIL");
  steps.emplace_back(socket.BlockSource(group_, one, 1), "EINVAL");
  steps.emplace_back(socket.JoinGroup(group_, 1), "");
  steps.emplace_back(socket.JoinGroup(group_, 1), "EADDRINUSE");
  steps.emplace_back(socket.UnblockSource(group_, one, 1), "EADDRNOTAVAIL");
  steps.emplace_back(socket.BlockSource(group_, one, 1), "");
  steps.emplace_back(socket.BlockSource(group_, one, 1), "EADDRNOTAVAIL");
  steps.emplace_back(socket.JoinSourceGroup(group_, two, 1), "EINVAL");
  steps.emplace_back(socket.UnblockSource(group_, one, 1), "");
  steps.emplace_back(socket.LeaveGroup(group_, 1), "");
  steps.emplace_back(socket.JoinSourceGroup(group_, one, 1), "");
  steps.emplace_back(socket.JoinSourceGroup(group_, one, 1), "EADDRNOTAVAIL");
  steps.emplace_back(socket.BlockSource(group_, two, 1), "EINVAL");
  steps.emplace_back(socket.LeaveSourceGroup(group_, two, 1), "EADDRNOTAVAIL");
  steps.emplace_back(socket.LeaveSourceGroup(group_, one, 1), "");
  steps.emplace_back(socket.LeaveGroup(group_, 1), "EADDRNOTAVAIL");
  // What Linux allows: an any-source membership that blocks nobody becomes a source-specific one.
  steps.emplace_back(socket.JoinGroup(group_, 1), "");
  steps.emplace_back(socket.JoinSourceGroup(group_, one, 1), "");
  steps.emplace_back(socket.BlockSource(group_, one, 1), "EINVAL");
  const int most = v6() ? 64 : 10;
  for (int i = 1; i < most; ++i) {
    const std::string source = v6() ? "2001:db8::1:" + std::to_string(i) : "192.0.2." + std::to_string(100 + i);
    steps.emplace_back(socket.JoinSourceGroup(group_, *IpAddress::Parse(source), 1), "");
  }
  steps.emplace_back(socket.JoinSourceGroup(group_, two, 1), "ENOBUFS");
  check(steps);
}

TEST_P(UdpGroupTest, MembersOnThisHost) {
  UdpSocket sender = Member(false);
  UdpSocket a = Member(false), b = Member(false, a.local().port), stranger = Member(false, a.local().port);
  const Endpoint to{group_, a.local().port};
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE(a.JoinGroup(group_, 1).ok());
    EXPECT_TRUE(b.JoinGroup(group_, 1).ok());
    const absl::Status first = co_await Send(sender, "to all", to);
    if (kernel() && v6() && absl::IsUnavailable(first)) {
      GTEST_LOG_(INFO) << "the loopback here has no route for IPv6 groups: " << first;
      co_return;
    }
    EXPECT_TRUE(first.ok()) << first;
    for (UdpSocket* member : {&a, &b}) {
      absl::StatusOr<Datagram> got = co_await WithTimeout(member->Recvmsg(), milliseconds(2000));
      EXPECT_TRUE(got.ok()) << got.status();
      if (!got.ok()) co_return;
      EXPECT_EQ(TextOf(got->data), "to all");
      EXPECT_EQ(got->local.ip, group_);
      EXPECT_EQ(got->interface, 1u);
      EXPECT_EQ(got->ttl, 1);
    }
    EXPECT_TRUE(co_await Silent(stranger));
    EXPECT_TRUE(sender.SetMulticastTtl(0).ok());
    EXPECT_TRUE((co_await Send(sender, "host only", to)).ok());
    EXPECT_EQ(co_await Receive(a), "host only");
    EXPECT_EQ(co_await Receive(b), "host only");
    EXPECT_TRUE(sender.SetMulticastTtl(1).ok());
    // Filters, of each for itself.
    const IpAddress source = world_->ip(false, v6());
    EXPECT_TRUE(a.BlockSource(group_, source, 1).ok());
    EXPECT_TRUE((co_await Send(sender, "not to a", to, {.source = source})).ok());
    EXPECT_EQ(co_await Receive(b), "not to a");
    EXPECT_TRUE(co_await Silent(a));
    EXPECT_TRUE(a.UnblockSource(group_, source, 1).ok());
    EXPECT_TRUE(b.LeaveGroup(group_, 1).ok());
    EXPECT_TRUE((co_await Send(sender, "not to b", to)).ok());
    EXPECT_EQ(co_await Receive(a), "not to b");
    EXPECT_TRUE(co_await Silent(b));
    EXPECT_TRUE(sender.SetMulticastLoop(false).ok());
    EXPECT_TRUE((co_await Send(sender, "to nobody here", to)).ok());
    if (!kernel()) EXPECT_TRUE(co_await Silent(a));  // the kernel's loopback device brings it back all the same
  };
  ASSERT_TRUE(world_->Run(body()));
}

// ---- on weir's own stack alone

class InetGroupTest : public ::testing::Test {
 protected:
  UdpSocket Bind(bool server) {
    return *UdpSocket::Bind(world_.stack(server), {.port = 7}, {.reuse_address = true});
  }
  static Task<void> Send(UdpSocket& socket, std::string text, Endpoint to) {
    const iovec slice{text.data(), text.size()};
    EXPECT_TRUE((co_await socket.Sendmsg(std::span(&slice, 1), to)).ok());
  }
  testing::InetUdpWorld world_;
};

// Members share the frame that came in; who changes and forwards his datagram gets a frame of his own for it.
TEST_F(InetGroupTest, SharedFramesAreNotWrittenTo) {
  UdpSocket sender = Bind(false), a = Bind(true), b = Bind(true);
  const IpAddress group = *IpAddress::Parse("239.1.1.1");
  EXPECT_TRUE(a.JoinGroup(group).ok());
  EXPECT_TRUE(b.JoinGroup(group).ok());
  const std::string text = testing::Pattern(1000);
  auto body = [&]() -> Task<void> {
    co_await Send(sender, text, {group, 7});
    absl::StatusOr<Datagram> at_a = co_await a.Recvmsg(), at_b = co_await b.Recvmsg();
    EXPECT_EQ(at_a->data.buffers().front().iov_base, at_b->data.buffers().front().iov_base);
    netstack::Inet& inet = world_.inet(true);
    EXPECT_EQ(inet.ip.copied_bytes, 0u);
    // The echo needs room for headers in front: it is copied, the other's bytes stay.
    EXPECT_TRUE((co_await a.Sendmsg(std::move(at_a->data), at_a->peer)).ok());
    EXPECT_EQ(inet.ip.copied_bytes, text.size());
    EXPECT_EQ(TextOf((co_await sender.Recvmsg())->data), text);
    EXPECT_EQ(TextOf(at_b->data), text);
    // The last one has the frame to itself.
    EXPECT_TRUE((co_await b.Sendmsg(std::move(at_b->data), at_b->peer)).ok());
    EXPECT_EQ(inet.ip.copied_bytes, text.size());
    EXPECT_EQ(TextOf((co_await sender.Recvmsg())->data), text);
  };
  ASSERT_TRUE(world_.Run(body()));
}

// What a member on the sender's host reads is the frame that the device sends.
TEST_F(InetGroupTest, LoopCopiesNothing) {
  UdpSocket sender = Bind(false), member = Bind(true);
  const IpAddress group = *IpAddress::Parse("ff15::7");
  EXPECT_TRUE(sender.JoinGroup(group).ok());
  EXPECT_TRUE(member.JoinGroup(group).ok());
  auto body = [&]() -> Task<void> {
    SendBuffer buffer = sender.NewSendBuffer(500);
    const void* const memory = buffer.writable().front().iov_base;
    std::memset(buffer.writable().front().iov_base, 'x', 500);
    EXPECT_TRUE((co_await sender.Sendmsg(std::move(buffer), {group, 7})).ok());
    absl::StatusOr<Datagram> own = co_await sender.Recvmsg(), other = co_await member.Recvmsg();
    EXPECT_EQ(own->data.buffers().front().iov_base, memory);
    EXPECT_EQ(TextOf(own->data), std::string(500, 'x'));
    EXPECT_EQ(TextOf(other->data), std::string(500, 'x'));
    EXPECT_EQ(own->peer, other->peer);
    EXPECT_EQ(world_.inet(false).ip.copied_bytes, 0u);
  };
  ASSERT_TRUE(world_.Run(body()));
}

TEST_F(InetGroupTest, BroadcastReachesBothHosts) {
  UdpSocket sender = Bind(false), other = Bind(true);
  EXPECT_TRUE(sender.SetBroadcast(true).ok());
  auto body = [&]() -> Task<void> {
    for (const char* to : {"255.255.255.255", "10.0.0.255"}) {
      co_await Send(sender, to, {*IpAddress::Parse(to), 7});
      EXPECT_EQ(TextOf((co_await sender.Recvmsg())->data), to);
      EXPECT_EQ(TextOf((co_await other.Recvmsg())->data), to);
    }
  };
  ASSERT_TRUE(world_.Run(body()));
}

}  // namespace
}  // namespace weir
