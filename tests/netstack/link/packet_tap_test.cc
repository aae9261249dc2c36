// PacketTap on a veth pair: which frames it copies, with which tags, and that those that the steering program redirects
// are not among them. Needs root.
#include "netstack/link/packet_tap.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <poll.h>

#include <algorithm>
#include <memory>

#include "netstack/wire/ethernet.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/packets.h"
#include "tests/support/packet_socket.h"
#include "tests/support/veth.h"
#include "xdp/steer_program.h"
#include "xdp/xdp_link.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::MacAddress;
using netstack::PacketTap;
using netstack::VlanTags;

constexpr Mac kAllHosts = {1, 0, 0x5e, 0, 0, 1}, kAllNodes = {0x33, 0x33, 0, 0, 0, 1}, kMdns = {1, 0, 0x5e, 0, 0, 0xfb};

struct PacketTapTest : ::testing::Test {
  std::unique_ptr<VethPair> pair;
  std::unique_ptr<InetTestHost> host;
  std::unique_ptr<PacketTap> tap;

  void SetUp() override {
    const std::string missing = VethPair::Available();
    if (!missing.empty()) GTEST_SKIP() << "SKIPPED: " << missing;
    pair = VethPair::Create().value();
  }
  void Open(const VlanTags& vlan = {}) {
    const NamespaceScope in_server(pair->server());
    host = std::make_unique<InetTestHost>(InetTestHost::Options{.vlan = vlan});
    absl::StatusOr<std::unique_ptr<PacketTap>> opened = PacketTap::Open(
        {.name = VethPair::kDevice, .index = if_nametoindex(VethPair::kDevice), .mac = {kHostMac}, .vlan = vlan});
    ASSERT_TRUE(opened.ok()) << opened.status();
    tap = *std::move(opened);
  }
  // Sends from the other end, and a frame that is always taken behind them; returns how many others came before it.
  size_t Copied(const std::vector<Bytes>& frames, const std::vector<uint32_t>& tags = {}) {
    const NamespaceScope in_client(pair->client());
    PacketSocket wire(VethPair::kDevice);
    const auto send = [&](const Bytes& frame) {
      EXPECT_TRUE(wire.Send({reinterpret_cast<const uint8_t*>(frame.data()), frame.size()}));
    };
    for (const Bytes& frame : frames) send(frame);
    const uint64_t conflicts = host->counted(DropReason::kArpConflict);
    send(Ethernet({.destination = kBroadcast, .tags = tags, .type = 0x0806},
                  Arp({.sender_ip = kHostIp, .target_ip = 0x0a0000fe})));
    const uint64_t before = tap->counters().frames;
    while (host->counted(DropReason::kArpConflict) == conflicts) {
      pollfd ready = {.fd = tap->fd(), .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, 10000) != 1) {
        ADD_FAILURE() << "the last frame never came";
        break;
      }
      tap->SetReadable();
      tap->Receive(host->inet(), host->interface(), nullptr, host->now());
    }
    return tap->counters().frames - before - 1;
  }
};

Bytes Frame(const Mac& destination, uint16_t type, std::vector<uint32_t> tags = {}) {
  return Ethernet({.destination = destination, .tags = std::move(tags), .type = type}, Bytes(60));
}

TEST_F(PacketTapTest, WhatConcernsBoth) {
  Open();
  const struct {
    const char* name;
    Bytes frame;
    bool copied;
  } cases[] = {
      {"ARP broadcast", Frame(kBroadcast, 0x0806), true},
      {"ARP to us alone", Frame(kHostMac, 0x0806), true},
      {"IPv4 broadcast", Frame(kBroadcast, 0x0800), true},
      {"IPv4 to all hosts", Frame(kAllHosts, 0x0800), true},
      {"IPv6 to all nodes", Frame(kAllNodes, 0x86dd), true},
      {"IPv4 to us alone", Frame(kHostMac, 0x0800), false},
      {"IPv6 to us alone", Frame(kHostMac, 0x86dd), false},
      {"IPv4 to another group", Frame(kMdns, 0x0800), false},
      {"IPv6 by broadcast", Frame(kBroadcast, 0x86dd), false},
      {"another protocol by broadcast", Frame(kBroadcast, 0x88cc), false},
      {"ARP of VLAN 5", Frame(kBroadcast, 0x0806, {0x81000005}), false},
      {"ARP with a priority only", Frame(kBroadcast, 0x0806, {0x8100e000}), true},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(c.copied ? 1u : 0u, Copied({c.frame})) << c.name;
  }
}

TEST_F(PacketTapTest, TagsAreThereAgain) {  // IEEE 802.1Q §9: the kernel took the outer one off
  const struct {
    VlanTags vlan;
    std::vector<uint32_t> tags;
  } cases[] = {{{1, {7}}, {0x8100a007}}, {{2, {100, 7}}, {0x88a80064, 0x81000007}}};
  for (const auto& c : cases) {
    Open(c.vlan);
    EXPECT_EQ(0u, Copied({Frame(kBroadcast, 0x0806), Frame(kBroadcast, 0x0806, {0x81000008}),
                          Frame(kBroadcast, 0x0806, {0x88a80064, 0x81000008})},
                         c.tags));
    EXPECT_EQ(0u, host->counted(DropReason::kEthernetVlan));
    tap.reset();
  }
}

// What the steering program takes goes to no packet socket, in the driver's hook as in the generic one.
TEST_F(PacketTapTest, NothingComesTwice) {
  for (const xdp::AttachMode mode : {xdp::AttachMode::kNative, xdp::AttachMode::kGeneric}) {
    Open();
    const NamespaceScope in_server(pair->server());
    auto program = xdp::SteerProgram::Attach({.interface = VethPair::kDevice, .attach = mode});
    ASSERT_TRUE(program.ok()) << program.status();
    auto pool = runtime::FramePool::Create({}).value();
    auto link = xdp::XdpLink::Create({}, **program, *pool);
    ASSERT_TRUE(link.ok()) << link.status();
    // RFC 826: about 10.0.0.1, which is ours, and about 10.0.0.9, which is not.
    ASSERT_TRUE((*program)->AddAddress4(__builtin_bswap32(kHostIp)).ok());
    EXPECT_EQ(1u, Copied({Ethernet({.destination = kBroadcast, .type = 0x0806}, Arp({})),
                          Ethernet({.destination = kBroadcast, .type = 0x0806}, Arp({.target_ip = 0x0a000009}))}));
  }
}

TEST_F(PacketTapTest, OurOwnFramesAreNotReadBack) {
  Open();
  {
    const NamespaceScope in_server(pair->server());
    PacketSocket wire(VethPair::kDevice);
    const Bytes frame = Frame(kBroadcast, 0x0806);
    EXPECT_TRUE(wire.Send({reinterpret_cast<const uint8_t*>(frame.data()), frame.size()}));
  }
  EXPECT_EQ(0u, Copied({}));
}

TEST_F(PacketTapTest, FramesAreLeftForTheRing) {
  Open();
  std::vector<runtime::Frame*> taken;
  while (host->pool().free_count() > host->pool().size() / 16) taken.push_back(host->pool().Alloc());
  const NamespaceScope in_client(pair->client());
  PacketSocket wire(VethPair::kDevice);
  const Bytes frame = Frame(kBroadcast, 0x0806);
  for (size_t i = 0; i < 2 * PacketTap::kBurst; ++i) {
    EXPECT_TRUE(wire.Send({reinterpret_cast<const uint8_t*>(frame.data()), frame.size()}));
  }
  tap->SetReadable();
  EXPECT_EQ(0u, tap->Receive(host->inet(), host->interface(), nullptr, host->now()));
  EXPECT_TRUE(tap->Readable()) << "a burst, and no more";
  EXPECT_EQ(PacketTap::kBurst, host->counted(DropReason::kTapNoFrame));
  for (runtime::Frame* f : taken) runtime::Unref(f);
  EXPECT_EQ(PacketTap::kBurst, tap->Receive(host->inet(), host->interface(), nullptr, host->now()));
  EXPECT_EQ(0u, tap->Receive(host->inet(), host->interface(), nullptr, host->now()));
  EXPECT_FALSE(tap->Readable());
}

TEST_F(PacketTapTest, TheMulticastFilterFollows) {
  Open();
  const NamespaceScope in_server(pair->server());
  const std::string listed = std::string("ip maddr show dev ") + VethPair::kDevice + " | grep -q 33:33:ff:00:00:01";
  EXPECT_FALSE(RunCommand(listed).ok());
  const MacAddress group{{0x33, 0x33, 0xff, 0, 0, 1}};
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(tap->Join(group).ok());
  EXPECT_TRUE(tap->Leave(group).ok());
  EXPECT_TRUE(RunCommand(listed).ok());
  tap.reset();
  EXPECT_FALSE(RunCommand(listed).ok());
}

}  // namespace
}  // namespace weir::testing_support
