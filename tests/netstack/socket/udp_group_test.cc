// UdpSocket and groups: memberships over both stacks, and on weir's own what members share.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "tests/netstack/socket/udp_fixture.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::TextOf;
using testing::UdpSocketTest;

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
                         &UdpSocketTest::Name);

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
        const std::string errno_name = std::string("(") + name + ")";
        EXPECT_NE(status.message().find(errno_name), std::string::npos) << "step " << i << ": " << status;
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
  testing::InetWorld world_;
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
