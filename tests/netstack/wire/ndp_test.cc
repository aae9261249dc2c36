// Neighbor Discovery messages (RFC 4861 §4): parsed, judged as §6.1 and §7.1 say, and emitted.
#include "netstack/wire/ndp.h"

#include <gtest/gtest.h>

#include "tests/support/mutate.h"

namespace weir::testing_support {
namespace {

using netstack::MacAddress;
using netstack::NeighborAdvertisement;
using netstack::NeighborSolicitation;
using netstack::RouterAdvertisement;
using netstack::RouterSolicitation;

const IpAddress kTarget = IpAddress::Parse("fe80::1:2").value();

const Bytes kSolicit = Hex("87 00 0000 00000000 fe800000000000000000000000010002 0101 020000000002");
const Bytes kAdvert = Hex("88 00 0000 a0000000 fe800000000000000000000000010002 0201 020000000001");
const Bytes kRouterSolicit = Hex("85 00 0000 00000000 0101 020000000002");
const Bytes kRouterAdvert =
    Hex("86 00 0000 40 c0 0708 00007530 000003e8"
        "0101 020000000002 0501 0000 000005dc"
        "0304 40 c0 00278d00 00093a80 00000000 20010db8000100020000000000000000"
        "1903 0000 00000e10 20010db8000000000000000000000053"  // RDNSS (RFC 8106 §5.1), which is ignored
        "0304 20 80 ffffffff ffffffff 00000000 20010db8ffff00000000000000000001");

template <typename Message>
bool Parses(const Bytes& bytes) {
  return Message().Parse(bytes);
}

Bytes Joined(Bytes bytes, View more) {
  Append(bytes, more);
  return bytes;
}

Bytes Changed(Bytes bytes, size_t at, uint8_t value) {
  bytes[at] = std::byte{value};
  return bytes;
}

TEST(Ndp, NeighborSolicitation) {  // RFC 4861 §4.3
  NeighborSolicitation message;
  ASSERT_TRUE(message.Parse(kSolicit));
  EXPECT_EQ(kTarget, message.target);
  EXPECT_EQ(MacAddress{kPeerMac}, message.source_mac);
  Bytes emitted(netstack::kMaxNdpMessage);
  emitted.resize(message.Emit(emitted.data()));
  EXPECT_EQ(kSolicit, emitted);
  // Duplicate address detection: no option (RFC 4862 §5.4.2).
  emitted.resize(NeighborSolicitation{.target = kTarget}.Emit(emitted.data()));
  EXPECT_EQ(Bytes(kSolicit.begin(), kSolicit.begin() + 24), emitted);
}

TEST(Ndp, Nonce) {  // RFC 3971 §5.3.2, RFC 7527 §4
  const auto parsed = [](const char* options) {
    NeighborSolicitation message;
    EXPECT_TRUE(message.Parse(Joined(Bytes(kSolicit.begin(), kSolicit.begin() + 24), Hex(options))));
    return message.nonce;
  };
  EXPECT_EQ(std::nullopt, parsed(""));
  EXPECT_EQ(0x010203040506u, parsed("0e01 010203040506"));
  EXPECT_EQ(0x010203040506u, parsed("0e01 010203040506 0e01 000000000007")) << "the first counts";
  EXPECT_EQ(std::nullopt, parsed("0e02 0102030405060708090a0b0c0d0e")) << "of another length";
  Bytes emitted(netstack::kMaxNdpMessage);
  const NeighborSolicitation both{.target = kTarget, .source_mac = MacAddress{kPeerMac}, .nonce = 0x010203040506};
  emitted.resize(both.Emit(emitted.data()));
  EXPECT_EQ(Joined(kSolicit, Hex("0e01 010203040506")), emitted);
}

TEST(Ndp, NeighborAdvertisement) {  // RFC 4861 §4.4
  NeighborAdvertisement message;
  ASSERT_TRUE(message.Parse(kAdvert));
  EXPECT_TRUE(message.router);
  EXPECT_FALSE(message.solicited);
  EXPECT_TRUE(message.override_entry);
  EXPECT_EQ(kTarget, message.target);
  EXPECT_EQ(MacAddress{kHostMac}, message.target_mac);
  Bytes emitted(netstack::kMaxNdpMessage);
  emitted.resize(message.Emit(emitted.data()));
  EXPECT_EQ(kAdvert, emitted);
  emitted.resize(NeighborAdvertisement{.solicited = true, .target = kTarget}.Emit(emitted.data()));
  EXPECT_EQ(Hex("88 00 0000 40000000 fe800000000000000000000000010002"), emitted);
}

TEST(Ndp, RouterSolicitation) {  // RFC 4861 §4.1
  RouterSolicitation message;
  ASSERT_TRUE(message.Parse(kRouterSolicit));
  EXPECT_EQ(MacAddress{kPeerMac}, message.source_mac);
  Bytes emitted(netstack::kMaxNdpMessage);
  emitted.resize(message.Emit(emitted.data()));
  EXPECT_EQ(kRouterSolicit, emitted);
  emitted.resize(RouterSolicitation{}.Emit(emitted.data()));
  EXPECT_EQ(Hex("85 00 0000 00000000"), emitted);
}

TEST(Ndp, RouterAdvertisement) {  // RFC 4861 §4.2, §4.6.2
  RouterAdvertisement message;
  ASSERT_TRUE(message.Parse(kRouterAdvert));
  EXPECT_EQ(64, message.hop_limit);
  EXPECT_TRUE(message.managed);
  EXPECT_TRUE(message.other);
  EXPECT_EQ(1800, message.router_lifetime_s);
  EXPECT_EQ(30000u, message.reachable_time_ms);
  EXPECT_EQ(1000u, message.retrans_timer_ms);
  EXPECT_EQ(MacAddress{kPeerMac}, message.source_mac);
  EXPECT_EQ(1500u, message.mtu);
  ASSERT_EQ(2u, message.prefix_count);
  EXPECT_EQ("2001:db8:1:2::/64", message.prefixes[0].prefix.ToString());
  EXPECT_TRUE(message.prefixes[0].on_link);
  EXPECT_TRUE(message.prefixes[0].autonomous);
  EXPECT_EQ(2592000u, message.prefixes[0].valid_lifetime_s);
  EXPECT_EQ(604800u, message.prefixes[0].preferred_lifetime_s);
  // RFC 4861 §4.6.2: the bits behind the prefix length are ignored.
  EXPECT_EQ("2001:db8::/32", message.prefixes[1].prefix.ToString());
  EXPECT_TRUE(message.prefixes[1].on_link);
  EXPECT_FALSE(message.prefixes[1].autonomous);
  EXPECT_EQ(netstack::PrefixInformation::kInfinite, message.prefixes[1].valid_lifetime_s);
}

TEST(Ndp, WhatIsDiscarded) {
  EXPECT_FALSE(Parses<NeighborSolicitation>(Changed(kSolicit, 8, 0xff)));  // RFC 4861 §7.1.1: multicast target
  EXPECT_FALSE(Parses<NeighborAdvertisement>(Changed(kAdvert, 8, 0xff)));  // RFC 4861 §7.1.2
  for (uint8_t code : {1, 255}) {
    EXPECT_FALSE(Parses<NeighborSolicitation>(Changed(kSolicit, 1, code)));
    EXPECT_FALSE(Parses<NeighborAdvertisement>(Changed(kAdvert, 1, code)));
    EXPECT_FALSE(Parses<RouterSolicitation>(Changed(kRouterSolicit, 1, code)));
    EXPECT_FALSE(Parses<RouterAdvertisement>(Changed(kRouterAdvert, 1, code)));
  }
  EXPECT_FALSE(Parses<NeighborAdvertisement>(kSolicit));
  // RFC 4861 §4.6: an option of length 0; also one that is known by no one.
  EXPECT_FALSE(Parses<NeighborSolicitation>(Changed(kSolicit, 25, 0)));
  EXPECT_FALSE(Parses<NeighborAdvertisement>(Changed(kAdvert, 25, 0)));
  EXPECT_FALSE(Parses<RouterSolicitation>(Changed(kRouterSolicit, 9, 0)));
  EXPECT_FALSE(Parses<RouterAdvertisement>(Joined(kRouterAdvert, Hex("0e00"))));
  // A link-layer address that is not Ethernet's (RFC 2464 §6).
  EXPECT_FALSE(Parses<RouterSolicitation>(Hex("85 00 0000 00000000 0102 020000000002 0000000000000000")));
}

TEST(Ndp, WhatIsIgnored) {
  NeighborSolicitation solicit;  // RFC 4861 §7.1.1: options of other messages, and unknown ones
  ASSERT_TRUE(solicit.Parse(Hex("87 00 0000 ffffffff fe800000000000000000000000010002"
                                "0201 020000000001 c801 000000000000")));
  EXPECT_FALSE(solicit.source_mac);
  RouterSolicitation twice;  // the first counts
  ASSERT_TRUE(twice.Parse(Joined(kRouterSolicit, Hex("0101 020000000009"))));
  EXPECT_EQ(MacAddress{kPeerMac}, twice.source_mac);
  const Bytes fixed = Hex("86 00 0000 40 00 0708 00007530 000003e8");
  for (const char* option : {"0304 81 c0 00278d00 00093a80 00000000 20010db8000100020000000000000000",  // length 129
                             "0303 40 c0 00278d00 00093a80 00000000 20010db800010002",                  // cut
                             "0502 0000 000005dc 0000000000000000"}) {
    RouterAdvertisement message;
    EXPECT_TRUE(message.Parse(Joined(fixed, Hex(option)))) << option;
    EXPECT_EQ(0u, message.prefix_count) << option;
    EXPECT_FALSE(message.mtu) << option;
  }
}

TEST(Ndp, NoMoreThanEightPrefixes) {
  Bytes bytes = Hex("86 00 0000 40 00 0708 00007530 000003e8");
  const Bytes prefix = Hex("0304 40 c0 00278d00 00093a80 00000000 20010db8000100020000000000000000");
  for (int i = 0; i < 40; ++i) Append(bytes, prefix);
  Append(bytes, Hex("0501 0000 000005dc"));
  RouterAdvertisement message;
  ASSERT_TRUE(message.Parse(bytes));
  EXPECT_EQ(RouterAdvertisement::kMaxPrefixes, message.prefix_count);
  EXPECT_EQ(1500u, message.mtu);  // what stands behind them still counts
}

// A message is valid only where its fixed part or an option ends.
TEST(Ndp, Truncated) {
  ForEachTruncation(kSolicit, [](const Bytes& b) { EXPECT_EQ(b.size() == 24, Parses<NeighborSolicitation>(b)); });
  ForEachTruncation(kAdvert, [](const Bytes& b) { EXPECT_EQ(b.size() == 24, Parses<NeighborAdvertisement>(b)); });
  ForEachTruncation(kRouterSolicit, [](const Bytes& b) { EXPECT_EQ(b.size() == 8, Parses<RouterSolicitation>(b)); });
  ForEachTruncation(kRouterAdvert, [](const Bytes& b) {
    const size_t n = b.size();
    EXPECT_EQ(n == 16 || n == 24 || n == 32 || n == 64 || n == 88, Parses<RouterAdvertisement>(b)) << n;
  });
}

TEST(Ndp, Mutated) {
  testing::Random random;
  for (const Bytes& bytes : {kSolicit, kAdvert, kRouterSolicit, kRouterAdvert}) {
    ForEachMutation(bytes, 20000, random, [](const Bytes& b) {
      Parses<NeighborSolicitation>(b);
      Parses<NeighborAdvertisement>(b);
      Parses<RouterSolicitation>(b);
      RouterAdvertisement message;
      message.Parse(b);
      ASSERT_LE(message.prefix_count, RouterAdvertisement::kMaxPrefixes);
    });
  }
}

}  // namespace
}  // namespace weir::testing_support
