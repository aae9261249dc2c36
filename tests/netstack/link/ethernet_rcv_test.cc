// Link input: which frames are for us, by address, VLAN and type, at every length.
#include <gtest/gtest.h>

#include "tests/support/inet_test_host.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;

struct Case {
  const char* name;
  EthernetSpec spec;
  DropReason untagged, on_vlan_5, on_7_5;
};

constexpr DropReason kOk = DropReason::kConsumed;
constexpr DropReason kVlan = DropReason::kEthernetVlan;
constexpr DropReason kOther = DropReason::kEthernetOtherHost;
constexpr DropReason kType = DropReason::kEthernetType;

TEST(EthernetRcv, AddressVlanAndType) {
  const Case cases[] = {
      {"ours", {.type = 0x0806}, kOk, kVlan, kVlan},
      {"broadcast", {.destination = kBroadcast, .type = 0x0806}, kOk, kVlan, kVlan},
      {"multicast", {.destination = {1, 0, 0x5e, 0, 0, 1}, .type = 0x0806}, kOk, kVlan, kVlan},
      {"another's", {.destination = {2, 0, 0, 0, 0, 9}, .type = 0x0806}, kOther, kVlan, kVlan},
      {"priority tag", {.tags = {0x81006000}, .type = 0x0806}, kOk, kVlan, kVlan},
      {"VLAN 5", {.tags = {0x81000005}, .type = 0x0806}, kVlan, kOk, kVlan},
      {"VLAN 5 with priority", {.tags = {0x8100e005}, .type = 0x0806}, kVlan, kOk, kVlan},
      {"VLAN 6", {.tags = {0x81000006}, .type = 0x0806}, kVlan, kVlan, kVlan},
      {"5 in 7", {.tags = {0x88a80007, 0x81000005}, .type = 0x0806}, kVlan, kVlan, kOk},
      {"7 in 5", {.tags = {0x88a80005, 0x81000007}, .type = 0x0806}, kVlan, kVlan, kVlan},
      {"IPX", {.type = 0x8137}, kType, kVlan, kVlan},
      {"a length", {.type = 46}, kType, kVlan, kVlan},
      {"a third tag", {.tags = {0x88a80007, 0x81000005, 0x81000001}, .type = 0x0806}, kVlan, kVlan, kType},
  };
  const netstack::VlanTags vlans[] = {{}, {1, {5}}, {2, {7, 5}}};
  for (int i = 0; i < 3; ++i) {
    InetTestHost host({.vlan = vlans[i]});
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      host.Receive(Ethernet(c.spec, Arp({})));
      const DropReason expected = i == 0 ? c.untagged : i == 1 ? c.on_vlan_5 : c.on_7_5;
      EXPECT_EQ(netstack::kDropReasonNames[static_cast<size_t>(expected)],
                netstack::kDropReasonNames[static_cast<size_t>(host.last())]);
      EXPECT_EQ(expected == kOk, host.has_sent());
      while (host.has_sent()) {
        // The answer has the interface's own tags.
        const Packet packet = Parse(host.TakeSent().frame);
        EXPECT_EQ(14u + 4 * i, packet.network);
        EXPECT_EQ("arp 10.0.0.1 is-at 020000000001", Describe(packet));
      }
    }
  }
}

TEST(EthernetRcv, EveryTruncation) {
  InetTestHost host({.vlan = {2, {7, 5}}});
  const Bytes frame = Ethernet({.tags = {0x88a80007, 0x81000005}, .type = 0x0806}, Arp({}));
  for (size_t length = 0; length <= frame.size(); ++length) {
    host.Receive(Bytes(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(length)));
    EXPECT_EQ(length < 22 ? DropReason::kEthernetTruncated : length < 50 ? DropReason::kArpTruncated : kOk, host.last())
        << length;
  }
  EXPECT_EQ(frame.size() + 1, host.counted_total());
}

TEST(EthernetRcv, BurstsAreCountedFrameByFrame) {
  InetTestHost host;
  std::vector<Bytes> burst(64, Ethernet({.type = 0x0806}, Arp({})));
  burst[10] = Bytes(5);
  burst[63] = Ethernet({.type = 0x1234}, {});
  host.Receive(burst);
  EXPECT_EQ(62u, host.counted(kOk));
  EXPECT_EQ(1u, host.counted(DropReason::kEthernetTruncated));
  EXPECT_EQ(1u, host.counted(kType));
}

}  // namespace
}  // namespace weir::testing_support
