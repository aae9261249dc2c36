// Forwarding between two interfaces (RFC 1812 §5.2 and §5.3, RFC 8200 §3, RFC 4443 §3).
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>

#include "netstack/link/ethernet_rcv.h"
#include "netstack/wire/checksum.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/packets6.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;

const char* Name(DropReason reason) { return netstack::kDropReasonNames[static_cast<size_t>(reason)]; }

constexpr Mac kRightMac = {2, 0, 0, 0, 1, 1}, kFarMac = {2, 0, 0, 0, 1, 2};
constexpr uint32_t kFarIp = 0x0a000102;

// 10.0.0.1/24 and fd00::1/64 on the left, 10.0.1.1/24 and fd00:1::1/64 on the right, where 10.0.1.2 and fd00:1::2 are.
class ForwardTest : public ::testing::Test {
 protected:
  void Start(bool forwarding = true, uint32_t right_mtu = 1500, bool partial_checksums = false) {
    netstack::InterfaceOptions left{
        .device = {.mac = {kHostMac}, .partial_checksums = partial_checksums},
        .addresses = {{IpAddress::V4(kHostIp), 24}, {*IpAddress::Parse("fd00::1"), 64}}};
    netstack::InterfaceOptions right{
        .device = {.mac = {kRightMac}, .mtu = right_mtu},
        .addresses = {{IpAddress::V4(0x0a000101), 24}, {*IpAddress::Parse("fd00:1::1"), 64}}};
    inet_.emplace(netstack::IpOptions{.interfaces = {left, right}, .secret = {1, 2}, .forwarding = forwarding},
                  netstack::TcpSettings{.max_sockets = 16}, *pool_, timers_);
    for (const char* ip : {"10.0.0.2", "fd00::2"}) Know(*inet_->ip.interfaces[0], ip, kPeerMac);
    for (const char* ip : {"10.0.1.2", "fd00:1::2"}) Know(*inet_->ip.interfaces[1], ip, kFarMac);
  }
  void TearDown() override {
    inet_.reset();
    EXPECT_EQ(pool_->size(), pool_->free_count());
    EXPECT_EQ(0u, timers_.armed());
  }
  static void Know(netstack::Interface& interface, const char* text, const Mac& mac) {
    const IpAddress ip = *IpAddress::Parse(text);
    NeighbourUpdate(interface, interface.neighbours.FindOrCreate(interface, ip), {mac}, /*confirmed=*/true, kNow);
  }

  // Comes in on the left; returns how it ended.
  DropReason Receive(const Bytes& bytes) {
    runtime::Frame* frame = ToFrames(*pool_, bytes);
    if (frame->next != nullptr) return ReceiveFrames(*inet_, *inet_->ip.interfaces[0], *frame, kNow);
    const DropReason reason = EthernetRcv(*inet_, *inet_->ip.interfaces[0], *frame, kNow);
    runtime::Unref(frame);
    return reason;
  }
  // What left on an interface (0: left, 1: right); empty: nothing.
  Bytes Sent(size_t interface) {
    netstack::NetDevice& device = inet_->ip.interfaces[interface]->device;
    return device.tx_empty() ? Bytes() : TakePacket(device);
  }

  static constexpr Nanos kNow = kSecond;
  runtime::FramePool::Ptr pool_ = *runtime::FramePool::Create({.frames = 64});
  runtime::TimerWheel timers_{kNow};
  std::optional<netstack::Inet> inet_;
};

// RFC 1812 §5.2.4.1: the route records the address that the next hop sees.
TEST_F(ForwardTest, RecordRoute) {
  Start();
  const auto packet = [](std::initializer_list<uint8_t> bytes, uint8_t ttl) {
    Bytes options;
    for (uint8_t byte : bytes) options.push_back(std::byte{byte});
    return Ipv4({.destination = kFarIp, .ttl = ttl, .options = options},
                Udp(4000, 7, Text("hello"), {.destination = kFarIp}));
  };
  EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({}, packet({7, 7, 4, 0, 0, 0, 0, 0}, 9)))));
  EXPECT_EQ(Ethernet({.destination = kFarMac, .source = kRightMac}, packet({7, 7, 8, 10, 0, 1, 1, 0}, 8)), Sent(1));
  EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({}, packet({7, 7, 8, 1, 2, 3, 4, 0}, 9)))));
  EXPECT_EQ(Ethernet({.destination = kFarMac, .source = kRightMac}, packet({7, 7, 8, 1, 2, 3, 4, 0}, 8)), Sent(1));
  EXPECT_STREQ("kIpOptions", Name(Receive(Ethernet({}, packet({7, 7, 3, 0, 0, 0, 0, 0}, 9)))));
  EXPECT_FALSE(Sent(0).empty());  // the source is told
}

// The packet arrives as it was sent, but for TTL and link; the header's checksum is right for every TTL.
TEST_F(ForwardTest, Ipv4) {
  Start();
  for (int ttl = 2; ttl < 256; ++ttl) {
    const Bytes udp = Udp(4000, 7, Text("hello"), {.destination = kFarIp});
    const auto spec = [&](int t) { return Ipv4Spec{.destination = kFarIp, .ttl = static_cast<uint8_t>(t)}; };
    EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({}, Ipv4(spec(ttl), udp)))));
    EXPECT_EQ(Ethernet({.destination = kFarMac, .source = kRightMac}, Ipv4(spec(ttl - 1), udp)), Sent(1)) << ttl;
  }
  EXPECT_EQ(254u, inet_->ip.forwarded);
  EXPECT_EQ(0u, inet_->ip.copied_bytes);
}

TEST_F(ForwardTest, Ipv6) {
  Start();
  const Bytes udp = Udp6(4000, 7, Text("hello"), kPeerIp6, "fd00:1::2");
  const auto spec = [](uint8_t hop) { return Ipv6Spec{.destination = "fd00:1::2", .hop_limit = hop}; };
  EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({.type = 0x86dd}, Ipv6(spec(9), udp)))));
  EXPECT_EQ(Ethernet({.destination = kFarMac, .source = kRightMac, .type = 0x86dd}, Ipv6(spec(8), udp)), Sent(1));
}

TEST_F(ForwardTest, OnlyWhenTold) {
  Start(/*forwarding=*/false);
  EXPECT_STREQ("kIpNotLocal", Name(Receive(Ethernet({}, Ipv4({.destination = kFarIp}, Filler(20))))));
  EXPECT_TRUE(Sent(1).empty());
}

// RFC 1812 §5.3.1, RFC 4443 §3.3.
TEST_F(ForwardTest, TimeExceeded) {
  Start();
  for (uint8_t ttl : {0, 1}) {
    EXPECT_STREQ("kIpTtlExceeded", Name(Receive(Ethernet({}, Ipv4({.destination = kFarIp, .ttl = ttl}, Filler(20))))));
    EXPECT_EQ("icmp type 11 code 0 10.0.0.1 > 10.0.0.2", Describe(Parse(Sent(0))));
    EXPECT_STREQ("kIpTtlExceeded", Name(Receive(Ethernet({.type = 0x86dd}, Ipv6({.destination = "fd00:1::2",
                                                                                  .hop_limit = ttl}, Filler(20))))));
    EXPECT_EQ("icmp6 3/0 fd00::1 > fd00::2 hop 64: 60 bytes", Describe6(Sent(0)));
  }
}

// RFC 1812 §5.2.7.1, RFC 4443 §3.1.
TEST_F(ForwardTest, NoRoute) {
  Start();
  EXPECT_STREQ("kNoRoute", Name(Receive(Ethernet({}, Ipv4({.destination = 0x0b000001}, Filler(20))))));
  EXPECT_EQ("icmp net-unreachable 10.0.0.1 > 10.0.0.2 quotes 40 bytes", Describe(Parse(Sent(0))));
  EXPECT_STREQ("kNoRoute", Name(Receive(Ethernet({.type = 0x86dd}, Ipv6({.destination = "fd09::1"}, Filler(20))))));
  EXPECT_EQ("icmp6 1/0 fd00::1 > fd00::2 hop 64: 60 bytes", Describe6(Sent(0)));
}

// RFC 1191 §4, RFC 4443 §3.2: the message says what would fit.
TEST_F(ForwardTest, TooBig) {
  Start(true, /*right_mtu=*/1280);
  EXPECT_STREQ("kTxTooBig", Name(Receive(Ethernet({}, Ipv4({.destination = kFarIp, .fragment = 0x4000}, Filler(1400))))));
  const Bytes v4 = Sent(0);
  EXPECT_EQ("icmp type 3 code 4 10.0.0.1 > 10.0.0.2", Describe(Parse(v4)));
  EXPECT_EQ(1280u, Get32(v4, 14 + 20 + 4));
  EXPECT_STREQ("kTxTooBig", Name(Receive(Ethernet({.type = 0x86dd}, Ipv6({.destination = "fd00:1::2"}, Filler(1400))))));
  const Bytes v6 = Sent(0);
  EXPECT_EQ("icmp6 2/0 fd00::1 > fd00::2 hop 64: 1232 bytes", Describe6(v6));
  EXPECT_EQ(1280u, Get32(v6, 14 + 40 + 4));
}

// RFC 1812 §5.3.7 and §4.2.2.11, RFC 4291 §2.5.6: what stays on its link.
TEST_F(ForwardTest, NotForwardable) {
  Start();
  const Bytes frames[] = {
      Ethernet({.destination = kBroadcast}, Ipv4({.destination = kFarIp}, Filler(20))),
      Ethernet({.destination = {1, 0, 0x5e, 1, 2, 3}}, Ipv4({.destination = 0xe0010203}, Filler(20))),
      Ethernet({.type = 0x86dd}, Ipv6({.source = "fe80::2", .destination = "fd00:1::2"}, Filler(20))),
      Ethernet({.type = 0x86dd}, Ipv6({.destination = "fe80::7"}, Filler(20))),
      Ethernet({.type = 0x86dd}, Ipv6({.source = "::", .destination = "fd00:1::2"}, Filler(20))),
  };
  for (const Bytes& frame : frames) {
    EXPECT_STREQ("kIpNotForwardable", Name(Receive(frame)));
    EXPECT_TRUE(Sent(0).empty() && Sent(1).empty());
  }
}

// What came in goes out the same way when that is the way there; no redirect is sent.
TEST_F(ForwardTest, BackTheSameWay) {
  Start();
  Know(*inet_->ip.interfaces[0], "10.0.0.9", kFarMac);
  EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({}, Ipv4({.destination = 0x0a000009}, Filler(20))))));
  EXPECT_FALSE(Sent(0).empty());
  EXPECT_TRUE(Sent(0).empty());
}

// A checksum that the sender left to its device is finished on the way; elsewhere nothing is touched.
TEST_F(ForwardTest, PartialChecksums) {
  for (bool device_says_so : {false, true}) {
    Start(true, 1500, device_says_so);
    const Bytes right = Udp(4000, 7, Text("hello"), {.destination = kFarIp});
    Bytes partial = right;
    const auto pseudo = netstack::PseudoHeaderSum(IpAddress::V4(kPeerIp), IpAddress::V4(kFarIp), 17,
                                                  static_cast<uint32_t>(partial.size()));
    netstack::StoreChecksum(partial.data() + 6, netstack::FoldSum(pseudo));
    EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({}, Ipv4({.destination = kFarIp}, partial)))));
    const Bytes sent = Sent(1);
    EXPECT_EQ(device_says_so ? right : partial, Bytes(sent.begin() + 34, sent.end()));
    // With extension headers in front.
    const Bytes right6 = Udp6(4000, 7, Text("hello"), kPeerIp6, "fd00:1::2");
    Bytes partial6 = right6;
    const auto pseudo6 = netstack::PseudoHeaderSum(*IpAddress::Parse(kPeerIp6), *IpAddress::Parse("fd00:1::2"), 17,
                                                   static_cast<uint32_t>(partial6.size()));
    netstack::StoreChecksum(partial6.data() + 6, netstack::FoldSum(pseudo6));
    const Extension6 options{60, Text(std::string("\0\1\4\0\0\0\0", 7))};
    EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({.type = 0x86dd}, Ipv6({.destination = "fd00:1::2",
                                                                            .extensions = {options}}, partial6)))));
    const Bytes sent6 = Sent(1);
    EXPECT_EQ(device_says_so ? right6 : partial6, Bytes(sent6.begin() + 14 + 48, sent6.end()));
    TearDown();
  }
}

// Fragments have no partial checksum, whatever they look like: of the first the rest is missing, and at the beginning of
// the others is no header.
TEST_F(ForwardTest, NoPartialChecksumsInFragments) {
  Start(true, 1500, /*partial_checksums=*/true);
  const auto partial = [](const IpAddress& source, const IpAddress& destination) {
    Bytes bytes = Udp(4000, 7, Filler(16));
    const auto pseudo = netstack::PseudoHeaderSum(source, destination, 17, static_cast<uint32_t>(bytes.size()));
    netstack::StoreChecksum(bytes.data() + 6, netstack::FoldSum(pseudo));
    return bytes;
  };
  const Bytes v4 = partial(IpAddress::V4(kPeerIp), IpAddress::V4(kFarIp));
  const Bytes v6 = partial(*IpAddress::Parse(kPeerIp6), *IpAddress::Parse("fd00:1::2"));
  struct {
    const char* name;
    uint16_t offset;
    bool more;
  } const cases[] = {{"first", 0, true}, {"middle", 800, true}, {"last", 800, false}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto field = static_cast<uint16_t>(c.offset / 8 | (c.more ? 0x2000 : 0));
    EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({}, Ipv4({.destination = kFarIp, .fragment = field}, v4)))));
    const Bytes sent = Sent(1);
    EXPECT_EQ(v4, Bytes(sent.begin() + 34, sent.end()));
    Bytes rest(1);
    Append16(rest, static_cast<uint16_t>(c.offset | (c.more ? 1 : 0)));
    Append32(rest, 1);
    EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({.type = 0x86dd}, Ipv6({.destination = "fd00:1::2",
                                                                            .extensions = {{44, rest}}}, v6)))));
    const Bytes sent6 = Sent(1);
    EXPECT_EQ(v6, Bytes(sent6.begin() + 14 + 48, sent6.end()));
  }
}

// Packets that are larger than a frame: as they are to a wide link, with a checksum that was left to the device finished;
// to a narrow one in fragments, or not at all.
TEST_F(ForwardTest, Jumbo) {
  for (const bool partial : {false, true}) {
    Start(true, 9000, partial);
    for (const size_t n : {1750u, 1751u, 2500u, 5555u, 8972u}) {
      SCOPED_TRACE(n);
      const Bytes right = Udp(4000, 7, Filler(n), {.destination = kFarIp});
      Bytes sent = right;
      if (partial) {
        const auto pseudo = netstack::PseudoHeaderSum(IpAddress::V4(kPeerIp), IpAddress::V4(kFarIp), 17,
                                                      static_cast<uint32_t>(sent.size()));
        netstack::StoreChecksum(sent.data() + 6, netstack::FoldSum(pseudo));
      }
      EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({}, Ipv4({.destination = kFarIp, .ttl = 9}, sent)))));
      EXPECT_EQ(Ethernet({.destination = kFarMac, .source = kRightMac}, Ipv4({.destination = kFarIp, .ttl = 8}, right)),
                Sent(1));
    }
    const Bytes udp = Udp6(4000, 7, Filler(8952), kPeerIp6, "fd00:1::2");
    const auto spec = [](uint8_t hop) { return Ipv6Spec{.destination = "fd00:1::2", .hop_limit = hop}; };
    EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({.type = 0x86dd}, Ipv6(spec(9), udp)))));
    EXPECT_EQ(Ethernet({.destination = kFarMac, .source = kRightMac, .type = 0x86dd}, Ipv6(spec(8), udp)), Sent(1));
    EXPECT_EQ(0u, inet_->ip.copied_bytes);
    TearDown();
  }
  Start();
  const Bytes payload = Filler(7000);
  EXPECT_STREQ("kTxTooBig",
               Name(Receive(Ethernet({}, Ipv4({.destination = kFarIp, .fragment = 0x4000}, payload)))));
  EXPECT_EQ("icmp type 3 code 4 10.0.0.1 > 10.0.0.2", Describe(Parse(Sent(0))));
  EXPECT_STREQ("kConsumed", Name(Receive(Ethernet({}, Ipv4({.destination = kFarIp}, payload)))));
  Bytes whole;
  for (Bytes fragment = Sent(1); !fragment.empty(); fragment = Sent(1)) {
    EXPECT_GE(1514u, fragment.size());
    EXPECT_EQ(whole.size() / 8, Get16(fragment, 20) & 0x1fff);
    Append(whole, View(fragment).subspan(34));
  }
  EXPECT_EQ(payload, whole);
}

}  // namespace
}  // namespace weir::testing_support
