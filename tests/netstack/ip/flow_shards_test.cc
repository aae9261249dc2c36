// Which shard a flow is for: the same for all, spread evenly, and following the ports that are in use on some shards only.
#include "netstack/ip/flow_shards.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "netstack/ip/peer_shards.h"

namespace weir::netstack {
namespace {

constexpr runtime::SipKey kKey{3, 4};

Endpoint Peer(uint32_t n) { return {IpAddress::V4(0x0a000000 + n), static_cast<uint16_t>(30000 + n % 1000)}; }
const Endpoint kLocal{IpAddress::V4(0xc0a80001), 80};

TEST(FlowShards, HomesAreSpreadEvenlyAndTheSameForAll) {
  constexpr uint32_t kFlows = 12000;
  for (const int shards : {1, 2, 3, 7, FlowShards::kMaxShards}) {
    const FlowShards one(kKey, shards), other(kKey, shards);
    std::vector<uint32_t> flows(static_cast<size_t>(shards));
    for (uint32_t n = 0; n < kFlows; ++n) {
      const int home = one.Home(kLocal, Peer(n));
      ASSERT_EQ(home, other.Home(kLocal, Peer(n)));
      ASSERT_EQ(home, one.Choose(PortSpace::kTcp, kLocal, Peer(n)));
      ++flows.at(static_cast<size_t>(home));
    }
    // Within a half: more than six times the deviation that chance makes at 64 shards.
    const uint32_t fair = kFlows / static_cast<uint32_t>(shards);
    for (const uint32_t count : flows) EXPECT_NEAR(fair, count, fair / 2.0) << shards;
  }
}

TEST(FlowShards, AnotherKeySpreadsOtherwise) {
  const FlowShards one(kKey, 2), other({5, 6}, 2);
  int moved = 0;
  for (uint32_t n = 0; n < 1000; ++n) moved += one.Home(kLocal, Peer(n)) != other.Home(kLocal, Peer(n));
  EXPECT_NEAR(500, moved, 150);
}

TEST(FlowShards, APortInUseOnSomeShardsOnly) {
  FlowShards flows(kKey, 4);
  flows.AddUser(PortSpace::kTcp, 80, 2);
  std::set<int> chosen;
  for (uint32_t n = 0; n < 1000; ++n) {
    EXPECT_EQ(2, flows.Choose(PortSpace::kTcp, kLocal, Peer(n)));
    EXPECT_EQ(flows.Home(kLocal, Peer(n)), flows.Choose(PortSpace::kUdp, kLocal, Peer(n)));  // another space
  }
  flows.AddUser(PortSpace::kTcp, 80, 0);
  for (uint32_t n = 0; n < 1000; ++n) {
    const int home = flows.Home(kLocal, Peer(n)), shard = flows.Choose(PortSpace::kTcp, kLocal, Peer(n));
    if (home == 0 || home == 2) {
      EXPECT_EQ(home, shard);
    } else {
      chosen.insert(shard);
    }
  }
  EXPECT_EQ((std::set<int>{0, 2}), chosen);
  flows.RemoveUser(PortSpace::kTcp, 80, 0);
  flows.RemoveUser(PortSpace::kTcp, 80, 2);
  for (uint32_t n = 0; n < 1000; ++n) {
    EXPECT_EQ(flows.Home(kLocal, Peer(n)), flows.Choose(PortSpace::kTcp, kLocal, Peer(n)));
  }
}

struct Shard final : PeerShards {
  using PeerShards::PeerShards;
  void Spread(Interface&, std::span<runtime::Frame* const>, Nanos) override {}
  DropReason GiveArrival(runtime::Frame&, int) override { return DropReason::kHandedOver; }
};

TEST(PeerShards, PortsAreCountedAndDrawnOnesAreAlone) {
  FlowShards flows(kKey, 2);
  Shard zero(flows, 0), one(flows, 1);
  EXPECT_TRUE(zero.UsePortAlone(PortSpace::kUdp, 40000));
  EXPECT_FALSE(one.UsePortAlone(PortSpace::kUdp, 40000));
  EXPECT_EQ(zero.here(), flows.Users(PortSpace::kUdp, 40000));
  zero.UsePort(PortSpace::kUdp, 40000);
  zero.LeavePort(PortSpace::kUdp, 40000);
  EXPECT_EQ(zero.here(), flows.Users(PortSpace::kUdp, 40000));
  one.UsePort(PortSpace::kUdp, 40000);  // a program that names it may have it on both
  EXPECT_EQ(flows.all(), flows.Users(PortSpace::kUdp, 40000));
  EXPECT_FALSE(zero.UsePortAlone(PortSpace::kUdp, 40000));
  EXPECT_EQ(flows.all(), flows.Users(PortSpace::kUdp, 40000));
  zero.LeavePort(PortSpace::kUdp, 40000);
  EXPECT_EQ(one.here(), flows.Users(PortSpace::kUdp, 40000));
  one.LeavePort(PortSpace::kUdp, 40000);
  EXPECT_EQ(0u, flows.Users(PortSpace::kUdp, 40000));
}

}  // namespace
}  // namespace weir::netstack
