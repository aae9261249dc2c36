// What is MLD's own: which messages are taken (RFC 3810 §6.2, §8.1), from which address ours come, and what is never
// spoken of. The rest is in multicast_test.cc.
#include <gtest/gtest.h>

#include "tests/netstack/ip/group_fixture.h"
#include "tests/support/packets6.h"

namespace weir::testing_support {
namespace {

using enum netstack::GroupCall;

class MldTest : public GroupTest {
 protected:
  MldTest() : GroupTest(/*v4=*/false) {}
};

TEST_F(MldTest, WhichQueriesAreTaken) {
  const QueryCase cases[] = {
      {"right", {}, "kConsumed"},
      {"§5.1.15: to our own address", {.destination = "fe80::1"}, "kConsumed"},
      {"for the group, to it", {.group = 1}, "kConsumed"},
      {"§6.2: hop limit 2", {.ttl = 2}, "kMldMalformed"},
      {"§6.2: hop limit 255", {.ttl = 255}, "kMldMalformed"},
      {"§6.2: without router alert", {.router_alert = false}, "kMldMalformed"},
      {"§6.2: not from a link-local address", {.source = "fd00::2"}, "kMldMalformed"},
      {"§6.2: from ::", {.source = "::"}, "kMldMalformed"},
      {"wrong checksum", {.bad_checksum = true}, "kIcmpChecksum"},
      {"§8.1: 23 bytes", {.cut = 23}, "kMldMalformed"},
      {"§8.1: 26 bytes", {.cut = 26}, "kMldMalformed"},
      {"more sources than bytes", {.group = 1, .sources = {1, 2}, .cut = 28 + 16}, "kMldMalformed"},
      {"a group that is not joined, to it", {.group = 2}, "kIpNotLocal"},
  };
  for (const QueryCase& c : cases) ExpectTaken(c);
}

// RFC 3810 §6: all-nodes, and groups of scope 0 and 1, which do not leave the host.
TEST_F(MldTest, WhatIsNeverReported) {
  netstack::UdpTable& udp = host_.host().inet().udp;
  for (const char* group : {"ff02::1", "ff00::5", "ff01::5", "ff11::5"}) {
    EXPECT_EQ(0, UdpGroupCall(udp, *sock_, kJoin, *IpAddress::Parse(group), {}, 0));
    host_.Advance(5 * kSecond);
    EXPECT_FALSE(host_.host().has_sent()) << group;
  }
  host_.Query({.max_response_ns = kSecond});
  host_.Advance(2 * kSecond);
  ASSERT_TRUE(host_.host().has_sent());
  // g1 and the solicited-node group of fe80::1 and fd00::1: 14 + 40 + 8 + 8 + 2 * 20.
  EXPECT_EQ(110u, host_.host().TakeSent().frame.size());
  EXPECT_FALSE(host_.host().has_sent());
}

// RFC 3810 §5.2.13: from a link-local address; RFC 3590 §4: from "::" before there is one, and then again.
TEST(Mld, SourceAddress) {
  InetTestHost host({.group_reports = true});
  const auto add = [&](const char* prefix) {
    host.inet().ip.AddAddress(host.interface(), {*IpPrefix::Parse(prefix), netstack::AddressState::kPreferred});
  };
  const auto sources = [&] {
    host.Advance(5 * kSecond);
    std::vector<std::string> all;
    while (host.has_sent()) {
      const Bytes frame = host.TakeSent().frame;
      std::array<uint8_t, 16> bytes;
      for (size_t i = 0; i < 16; ++i) bytes[i] = std::to_integer<uint8_t>(frame[14 + 8 + i]);
      all.push_back(IpAddress::V6(bytes).ToString());
    }
    return all;
  };
  add("fd00::1/64");
  EXPECT_EQ((std::vector<std::string>{"::", "::"}), sources());
  add("fe80::7/64");
  EXPECT_EQ((std::vector<std::string>{"fe80::7", "fe80::7"}), sources());
}

// RFC 4291 §2.7.1, RFC 3810 §6: the solicited-node groups of our addresses are groups like any other; two addresses
// with the same last three bytes have one.
TEST(Mld, SolicitedNodeGroups) {
  InetTestHost host({.group_reports = true});
  const auto prefix = [](const char* text) { return *IpPrefix::Parse(text); };
  host.inet().ip.AddAddress(host.interface(), {prefix("fe80::1/64"), netstack::AddressState::kPreferred});
  host.Advance(5 * kSecond);
  int reports = 0;
  for (; host.has_sent(); ++reports) EXPECT_EQ(14u + 48 + 8 + 20, host.TakeSent().frame.size());
  EXPECT_EQ(2, reports);
  host.inet().ip.AddAddress(host.interface(), {prefix("fd00::1/64"), netstack::AddressState::kPreferred});
  host.Advance(5 * kSecond);
  EXPECT_FALSE(host.has_sent());
  host.inet().ip.RemoveAddress(host.interface(), *IpAddress::Parse("fe80::1"));
  host.Advance(5 * kSecond);
  EXPECT_FALSE(host.has_sent());
  host.inet().ip.RemoveAddress(host.interface(), *IpAddress::Parse("fd00::1"));
  host.Advance(5 * kSecond);
  for (reports = 0; host.has_sent(); ++reports) EXPECT_EQ(std::byte{3}, host.TakeSent().frame[14 + 48 + 8]);  // TO_IN
  EXPECT_EQ(2, reports);
}

}  // namespace
}  // namespace weir::testing_support
