// IpDst: what a socket keeps of its way is used while nothing changes, and not a packet longer.
#include "netstack/ip/ip_dst.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/support/inet_test_host.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::IpDst;
using netstack::NeighbourTable;

constexpr Mac kOtherMac = {2, 0, 0, 0, 0, 9};
constexpr uint32_t kFar = 0x0a630001;  // 10.99.0.1: by a route

struct DstHost : InetTestHost {
  explicit DstHost(const Options& options = {}) : InetTestHost(options) {}

  DropReason Send(uint32_t to, size_t bytes = 100) {
    runtime::Frame* frame = pool().Alloc();
    frame->len = static_cast<uint32_t>(bytes);
    const netstack::IpFlow flow{
        .source = IpAddress::V4(kHostIp), .destination = IpAddress::V4(to), .protocol = 200, .out = nullptr};
    return IpQueueXmit(inet().ip, frame, flow, /*scope_id=*/0, dst, now());
  }
  bool Valid() { return IpDstValid(inet().ip, dst); }
  // Whom the only frame that was sent is for.
  Mac SentTo() {
    Turn();
    if (!has_sent()) return {};
    const Bytes frame = TakeSent().frame;
    EXPECT_FALSE(has_sent());
    Mac mac;
    for (size_t i = 0; i < mac.size(); ++i) mac[i] = std::to_integer<uint8_t>(frame[i]);
    return mac;
  }

  IpDst dst;
};

TEST(IpDst, TheSecondPacketLooksNothingUp) {
  DstHost host;
  host.Learn();
  for (int i = 0; i < 3; ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(i > 0, host.Valid());
    EXPECT_EQ(DropReason::kConsumed, host.Send(kPeerIp));
    EXPECT_EQ(kPeerMac, host.SentTo());
  }
}

TEST(IpDst, NothingIsKeptBeforeTheNeighbourHasAnswered) {
  DstHost host;
  EXPECT_EQ(DropReason::kConsumed, host.Send(kPeerIp));
  EXPECT_FALSE(host.Valid());
  host.Turn();
  EXPECT_EQ("arp who-has 10.0.0.2 tell 10.0.0.1", host.Sent());
}

TEST(IpDst, FollowsRoutesNeighboursAndAddresses) {
  DstHost host;
  host.Learn(kPeerIp);
  host.Learn(kPeerIp + 1, kOtherMac);
  auto& routes = host.inet().ip.routes;
  netstack::Route wide{.prefix = {IpAddress::V4(0x0a630000), 16},
                       .out = &host.interface(),
                       .gateway = IpAddress::V4(kPeerIp)};
  ASSERT_TRUE(routes.Add(wide));
  EXPECT_EQ(DropReason::kConsumed, host.Send(kFar));
  EXPECT_EQ(kPeerMac, host.SentTo());
  EXPECT_TRUE(host.Valid());
  // A better route.
  netstack::Route narrow = wide;
  narrow.prefix.length = 24;
  narrow.gateway = IpAddress::V4(kPeerIp + 1);
  ASSERT_TRUE(routes.Add(narrow));
  EXPECT_EQ(DropReason::kConsumed, host.Send(kFar));
  EXPECT_EQ(kOtherMac, host.SentTo());
  routes.Remove(narrow);
  EXPECT_EQ(DropReason::kConsumed, host.Send(kFar));
  EXPECT_EQ(kPeerMac, host.SentTo());
  // The gateway has another link-layer address now: nothing to look up.
  EXPECT_TRUE(host.Valid());
  netstack::Neighbour* gateway = host.interface().neighbours.Find(IpAddress::V4(kPeerIp));
  NeighbourUpdate(host.interface(), *gateway, {kOtherMac}, /*confirmed=*/true, host.now());
  EXPECT_TRUE(host.Valid());
  EXPECT_EQ(DropReason::kConsumed, host.Send(kFar));
  EXPECT_EQ(kOtherMac, host.SentTo());
  // It is gone: the link is asked.
  host.interface().neighbours.Remove(host.interface(), *gateway);
  EXPECT_FALSE(host.Valid());
  EXPECT_EQ(DropReason::kConsumed, host.Send(kFar));
  EXPECT_EQ(kBroadcast, host.SentTo());
  // No way at all.
  routes.Remove(wide);
  EXPECT_EQ(DropReason::kNoRoute, host.Send(kFar));
  // With an address of ours 10.0.0.3 becomes the broadcast address of a network, and no host's.
  EXPECT_EQ(DropReason::kConsumed, host.Send(kPeerIp + 1));
  EXPECT_EQ(kOtherMac, host.SentTo());
  EXPECT_TRUE(host.Valid());
  ASSERT_TRUE(host.inet().ip.AddAddress(host.interface(), {.prefix = {IpAddress::V4(kHostIp - 1), 30}}));
  EXPECT_FALSE(host.Valid());
}

TEST(IpDst, FollowsThePathMtuAndTheLinks) {
  DstHost host;
  host.Learn();
  EXPECT_EQ(DropReason::kConsumed, host.Send(kPeerIp, 1480));
  EXPECT_TRUE(host.Valid());
  EXPECT_EQ(DropReason::kTxTooBig, host.Send(kPeerIp, 1481));
  ASSERT_TRUE(host.inet().ip.path_mtu.Lower(IpAddress::V4(kPeerIp), 1000, 1500, 1500, host.now()));
  EXPECT_EQ(DropReason::kTxTooBig, host.Send(kPeerIp, 981));
  EXPECT_EQ(DropReason::kConsumed, host.Send(kPeerIp, 980));
  EXPECT_TRUE(host.Valid());  // a narrow path is kept too
  host.interface().mtu4 = 900;
  EXPECT_EQ(DropReason::kTxTooBig, host.Send(kPeerIp, 881));
  EXPECT_EQ(DropReason::kConsumed, host.Send(kPeerIp, 880));
  host.interface().mtu4 = 0;
  // Its routers shall cut the packets themselves, by IDs: not for this way.
  ASSERT_TRUE(host.inet().ip.path_mtu.Lower(IpAddress::V4(kPeerIp), 300, 1000, 1000, host.now()));
  EXPECT_EQ(DropReason::kConsumed, host.Send(kPeerIp, 500));
  EXPECT_FALSE(host.Valid());
  host.Turn();
  host.Sent();
}

netstack::Verdict CountAndDrop(void* count, netstack::HookPacket&) {
  ++*static_cast<int*>(count);
  return netstack::Verdict::kDrop;
}

TEST(IpDst, HooksSeeEveryPacket) {
  for (const auto hook : {netstack::Hook::kLocalOut, netstack::Hook::kPostRouting}) {
    DstHost host;
    host.Learn();
    EXPECT_EQ(DropReason::kConsumed, host.Send(kPeerIp));
    EXPECT_TRUE(host.Valid());
    int seen = 0;
    ASSERT_TRUE(host.inet().ip.hooks.Register(hook, 0, &CountAndDrop, &seen));
    EXPECT_EQ(DropReason::kHookDropped, host.Send(kPeerIp));
    EXPECT_EQ(DropReason::kHookDropped, host.Send(kPeerIp));
    EXPECT_EQ(2, seen);
    host.Turn();
    host.Sent();
  }
}

// An entry that a socket keeps is not looked up, and is used all the same.
TEST(IpDst, AFullTableForgetsNoNeighbourInUse) {
  DstHost host({.prefix_length = 16, .frames = 4096});
  const uint32_t first = 0x0a000100;
  for (uint32_t i = 0; i < NeighbourTable::kEntries; ++i) host.Learn(first + i);
  EXPECT_EQ(DropReason::kConsumed, host.Send(first));
  EXPECT_EQ(kPeerMac, host.SentTo());
  for (uint32_t i = 1; i < NeighbourTable::kEntries; ++i) {
    host.Learn(first + i);  // more recently than the first, as far as the table was asked
  }
  EXPECT_TRUE(host.Valid());
  EXPECT_EQ(DropReason::kConsumed, host.Send(first));
  EXPECT_EQ(kPeerMac, host.SentTo());
  host.Learn(first + NeighbourTable::kEntries);
  EXPECT_NE(nullptr, host.interface().neighbours.Find(IpAddress::V4(first)));
}

}  // namespace
}  // namespace weir::testing_support
