// What is IGMP's own: which messages are taken (RFC 3376 §4, §7.1), version 1, and what is never spoken of. The rest is
// in multicast_test.cc.
#include <gtest/gtest.h>

#include "tests/netstack/ip/group_fixture.h"

namespace weir::testing_support {
namespace {

using enum netstack::GroupCall;

class IgmpTest : public GroupTest {
 protected:
  IgmpTest() : GroupTest(/*v4=*/true) {}
};

TEST_F(IgmpTest, WhichQueriesAreTaken) {
  const QueryCase cases[] = {
      {"right", {}, "kConsumed"},
      {"without router alert, as from some switches", {.router_alert = false}, "kConsumed"},
      {"§4.1.12: to our own address", {.destination = "10.0.0.1"}, "kConsumed"},
      {"for the group, to it", {.group = 1}, "kConsumed"},
      {"RFC 4541 §2.1.1: from 0.0.0.0", {.source = "0.0.0.0"}, "kConsumed"},
      {"§4: TTL 2, from beyond the link", {.ttl = 2}, "kIgmpMalformed"},
      {"§4: TTL 255", {.ttl = 255}, "kIgmpMalformed"},
      {"from 0.1.2.3", {.source = "0.1.2.3"}, "kIpMartianSource"},
      {"§4.1.2: wrong checksum", {.bad_checksum = true}, "kIgmpChecksum"},
      {"§7.1: 7 bytes", {.cut = 7}, "kIgmpTruncated"},
      {"§7.1: 9 bytes", {.cut = 9}, "kIgmpChecksum"},
      {"a group that is not joined, to it", {.group = 2}, "kIpNotLocal"},
  };
  for (const QueryCase& c : cases) ExpectTaken(c);
}

TEST_F(IgmpTest, WhichMessagesAreTaken) {
  struct {
    const char* name;
    Bytes message;
    const char* reason;
  } const cases[] = {
      {"query for 10.0.0.1", {std::byte{0x11}, std::byte{10}, {}, {}, std::byte{10}, {}, {}, std::byte{1}},
       "kIgmpMalformed"},
      {"§7.1: 10 bytes", Bytes{std::byte{0x11}, std::byte{10}, {}, {}, {}, {}, {}, {}, {}, {}}, "kIgmpMalformed"},
      {"more sources than bytes",
       Bytes{std::byte{0x11}, std::byte{10}, {}, {}, {}, {}, {}, {}, {}, {}, {}, std::byte{1}}, "kIgmpMalformed"},
      {"leave", {std::byte{0x17}, {}, {}, {}, std::byte{239}, std::byte{1}, std::byte{1}, std::byte{1}}, "kIgmpType"},
      {"report of version 3", {std::byte{0x22}, {}, {}, {}, {}, {}, {}, {}}, "kIgmpType"},
      {"DVMRP", {std::byte{0x13}, {}, {}, {}, {}, {}, {}, {}}, "kIgmpType"},
      {"report of version 2", {std::byte{0x16}, {}, {}, {}, std::byte{239}, std::byte{1}, std::byte{1}, std::byte{1}},
       "kConsumed"},
  };
  for (const auto& c : cases) {
    Bytes message = c.message;
    Put16(message, 2, static_cast<uint16_t>(~NaiveSum(message)));
    host_.host().Receive(Ethernet({}, Ipv4({.protocol = 2, .ttl = 1}, message)));
    EXPECT_STREQ(c.reason, Last()) << c.name;
    EXPECT_EQ("", Within(20 * kSecond)) << c.name;
  }
}

// RFC 2236 §4, RFC 3376 §7.2.1: version 1 has no leave and no response time but ten seconds.
TEST_F(IgmpTest, VersionOne) {
  host_.Query({.version = 1});
  EXPECT_EQ("v1 report g1", Within(10 * kSecond + kMillisecond));
  EXPECT_EQ(0, host_.Call(sock_, kJoin, 2));
  EXPECT_EQ("v1 report g2", host_.SentNow());
  EXPECT_EQ("v1 report g2", Within(11 * kSecond));
  EXPECT_EQ(0, host_.Call(sock_, kLeave, 2));
  EXPECT_EQ("", Within(20 * kSecond));
  // The oldest counts, as long as it is there (2 * 125 s + 10 s), then the next.
  host_.Query({.version = 1});
  EXPECT_EQ("v1 report g1", Within(11 * kSecond));
  host_.Advance(200 * kSecond);
  host_.Query({.version = 2, .max_response_ns = kSecond});
  EXPECT_EQ("v1 report g1", Within(2 * kSecond));
  host_.Advance(60 * kSecond);
  host_.Query({.version = 3, .max_response_ns = kSecond});
  EXPECT_EQ("report g1", Within(2 * kSecond));
  host_.Advance(200 * kSecond);
  host_.Query({.version = 3, .max_response_ns = kSecond});
  EXPECT_EQ("is_ex g1 {}", Within(2 * kSecond));
  // Its queries are general ones, whatever is in the field that has no meaning there.
  host_.Query({.version = 1, .group = 1, .destination = "224.0.0.1"});
  EXPECT_EQ("v1 report g1", Within(11 * kSecond));
}

TEST_F(IgmpTest, AllSystemsIsNeverReported) {  // §5
  netstack::UdpTable& udp = host_.host().inet().udp;
  const IpAddress all = IpAddress::V4(0xe0000001);
  EXPECT_EQ(0, UdpGroupCall(udp, *sock_, kJoin, all, {}, 0));
  EXPECT_EQ(0, UdpGroupCall(udp, *sock_, kBlockSource, all, IpAddress::V4(kPeerIp + 1), 0));
  host_.Query({.max_response_ns = kSecond});
  host_.Query({.version = 2, .max_response_ns = kSecond});
  EXPECT_EQ(0, UdpGroupCall(udp, *sock_, kLeave, all, {}, 0));
  host_.Advance(30 * kSecond);
  while (host_.host().has_sent()) {
    const Bytes frame = host_.host().TakeSent().frame;
    EXPECT_NE(0xe0000001u, Get32(frame, 14 + 16));
    EXPECT_EQ(14u + 24 + 8, frame.size()) << "a report of version 2 about g1";
  }
  // But it is heard.
  EXPECT_EQ(0, UdpGroupCall(udp, *sock_, kJoin, all, {}, 0));
  host_.host().Receive(Ethernet({}, Ipv4({.destination = 0xe0000001}, Udp(9, 7, Filler(3), {kPeerIp, 0xe0000001}))));
  EXPECT_STREQ("kConsumed", Last());
}

TEST_F(IgmpTest, WithoutAnAddress) {  // §4.2.13
  host_.host().inet().ip.RemoveAddress(host_.host().interface(), IpAddress::V4(kHostIp));
  EXPECT_EQ(0, host_.Call(sock_, kLeave, 1));
  host_.Advance(20 * kMicrosecond);
  const std::vector<GroupMessage> messages = host_.TakeMessages();
  ASSERT_EQ(1u, messages.size());
  EXPECT_EQ("", messages[0].problem);
  EXPECT_EQ("0.0.0.0", messages[0].source);
}

}  // namespace
}  // namespace weir::testing_support
