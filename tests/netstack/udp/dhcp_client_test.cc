// The DHCP client in virtual time, state by state (RFC 2131 §4.4).
#include "netstack/udp/dhcp_client.h"

#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <string>

#include "tests/netstack/udp/dhcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DhcpLease;
using netstack::DhcpState;

using Trace = DhcpTrace;

const char kDiscover[] = "0.0.0.0 > 255.255.255.255 discover broadcast\n";
const char kRequest[] = "0.0.0.0 > 255.255.255.255 request broadcast requested 10.0.0.100 server 10.0.0.1\n";
const char kRenew[] = "10.0.0.100 > 10.0.0.1 request ciaddr 10.0.0.100\n";
const char kRebind[] = "10.0.0.100 > 255.255.255.255 request ciaddr 10.0.0.100\n";

// RFC 2131 §3.1: the whole of it, from nothing to an address and back.
TEST(DhcpClient, AcquiresAndReleases) {
  Trace t;
  EXPECT_EQ(DhcpState::kStopped, t.client.state());
  t.client.Start(0);
  EXPECT_EQ(kDiscover, t.Take());
  EXPECT_EQ(DhcpState::kSelecting, t.client.state());
  const uint32_t xid = t.xid;
  t.Receive({});
  EXPECT_EQ(kRequest, t.Take());  // RFC 2131 §4.3.2, SELECTING
  EXPECT_EQ(xid, t.xid);          // RFC 2131 §4.4.1, table 5: that of the OFFER
  EXPECT_EQ(DhcpState::kRequesting, t.client.state());
  t.Receive({.type = kAck});
  EXPECT_EQ("probe 10.0.0.100\n", t.Take());  // RFC 2131 §4.4.1: SHOULD check before use
  EXPECT_FALSE(t.client.configured());
  t.ProbeResult(false);
  EXPECT_EQ("configure 10.0.0.100/24\n", t.Take());
  EXPECT_EQ(DhcpState::kBound, t.client.state());
  t.client.Stop(t.now_ns());  // RFC 2131 §4.4.6: by unicast
  EXPECT_EQ("10.0.0.100 > 10.0.0.1 release ciaddr 10.0.0.100 server 10.0.0.1\ndeconfigure\n", t.Take());
  EXPECT_EQ(DhcpState::kStopped, t.client.state());
  t.Pass(7200 * kSecond);
  EXPECT_EQ("", t.Take());
}

// RFC 2131 §4.1: 4, 8, 16, 32, 64 seconds, each with up to a second more or less; then on at 64.
TEST(DhcpClient, DiscoverBacksOff) {
  bool jitter = false;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Trace t(seed);
    t.client.Start(0);
    t.Take();
    const uint32_t xid = t.xid;
    for (double expected : {4, 8, 16, 32, 64, 64, 64, 64}) {
      const double took = t.UntilNext();
      EXPECT_NEAR(expected, took, 1.1);
      jitter |= took < expected - 0.3;
      EXPECT_EQ(kDiscover, t.Take());
      EXPECT_EQ(xid, t.xid);
      EXPECT_NEAR(t.now(), t.secs, 1.1);
    }
  }
  EXPECT_TRUE(jitter);
}

TEST(DhcpClient, TransactionsDiffer) {  // RFC 2131 §4.4.1: a random xid
  std::map<uint32_t, int> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Trace t(seed);
    t.client.Start(0);
    EXPECT_EQ(1, ++seen[t.xid]);
  }
}

// RFC 2131 §3.1.5: four requests in about a minute, then from the beginning, in another transaction.
TEST(DhcpClient, RequestIsRepeatedThenGivenUp) {
  Trace t;
  t.client.Start(0);
  t.UntilNext();
  t.Pass(5 * kSecond);
  t.Take();
  const uint32_t xid = t.xid;
  const uint16_t secs = t.secs;
  t.Receive({});
  EXPECT_EQ(kRequest, t.Take());
  for (double expected : {4, 8, 16}) {
    EXPECT_NEAR(expected, t.UntilNext(), 1.1);
    EXPECT_EQ(kRequest, t.Take());
    EXPECT_EQ(xid, t.xid);
    EXPECT_EQ(secs, t.secs);  // RFC 2131 §3.1.3: as in the DISCOVER
  }
  EXPECT_NEAR(32, t.UntilNext(), 1.1);
  EXPECT_EQ(kDiscover, t.Take());
  EXPECT_NE(xid, t.xid);
  EXPECT_EQ(0, t.secs);
  EXPECT_EQ(1u, t.client.counters().gave_up);
}

// RFC 2131 §4.4.5: T1 is half of the lease, T2 seven eighths.
TEST(DhcpClient, RenewsAtT1) {
  Trace t;
  t.Bind({.type = kAck});
  EXPECT_NEAR(1800, t.UntilNext(), 1.1);
  EXPECT_EQ(kRenew, t.Take());  // RFC 2131 §4.3.2, RENEWING: unicast, neither requested address nor server identifier
  EXPECT_EQ(DhcpState::kRenewing, t.client.state());
  EXPECT_EQ(0, t.secs);
  t.Receive({.type = kAck, .lease_s = 7200});
  EXPECT_EQ("configure 10.0.0.100/24\n", t.Take());  // no probe: the address has been ours
  EXPECT_EQ(DhcpState::kBound, t.client.state());
  EXPECT_NEAR(3600, t.UntilNext(), 1.1);
  EXPECT_EQ(kRenew, t.Take());
}

// RFC 2131 §4.4.5: again after half of what is left until T2 and then until the end, but at least 60 seconds; then the
// lease is over.
TEST(DhcpClient, RenewsRebindsExpires) {
  Trace t;
  t.Bind({.type = kAck});
  const double kTimes[] = {1800, 2475, 2812.5, 2981.25, 3065.6, 3125.6};  // T1, then towards T2 = 3150
  for (double at : kTimes) {
    t.UntilNext();
    EXPECT_NEAR(at, t.now(), 2.5);
    EXPECT_EQ(kRenew, t.Take());
    EXPECT_NEAR(at - 1800, t.secs, 2.5);
  }
  for (double at : {3150., 3375., 3487.5, 3547.5}) {
    t.UntilNext();
    EXPECT_NEAR(at, t.now(), 2.5);
    EXPECT_EQ(kRebind, t.Take());
    EXPECT_EQ(DhcpState::kRebinding, t.client.state());
  }
  t.UntilNext();
  EXPECT_NEAR(3600, t.now(), 0.1);
  EXPECT_EQ("deconfigure\n" + std::string(kDiscover), t.Take());
  EXPECT_EQ(DhcpState::kSelecting, t.client.state());
  EXPECT_EQ(1u, t.client.counters().expired);
}

TEST(DhcpClient, AnyServerRebinds) {  // RFC 2131 §4.4.5
  Trace t;
  t.Bind({.type = kAck});
  t.Pass(3155 * kSecond);
  ASSERT_EQ(DhcpState::kRebinding, t.client.state());
  t.Take();
  t.Receive({.type = kAck, .server = kOtherServer});
  EXPECT_EQ("configure 10.0.0.100/24\n", t.Take());
  EXPECT_EQ("10.0.0.9", t.client.lease().server.ToString());
  t.UntilNext();
  EXPECT_EQ("10.0.0.100 > 10.0.0.9 request ciaddr 10.0.0.100\n", t.Take());
}

// RFC 2131 §4.4.1: the lease counts from when the REQUEST was sent, not from its answer.
TEST(DhcpClient, LeaseCountsFromTheRequest) {
  Trace t;
  t.client.Start(0);
  t.Receive({});
  t.Pass(20 * kSecond);  // the request has been repeated meanwhile; which one is answered cannot be told
  t.Receive({.type = kAck, .lease_s = 100});
  t.Pass(5 * kSecond);
  t.ProbeResult(false);
  EXPECT_EQ(100 * kSecond, t.client.lease().expiry_ns);
  t.Pass(30 * kSecond);
  t.Take();
  ASSERT_EQ(DhcpState::kRenewing, t.client.state());
  const Nanos sent = t.now_ns();
  t.Pass(3 * kSecond);
  t.Receive({.type = kAck, .lease_s = 100});
  EXPECT_NEAR(100, static_cast<double>(t.client.lease().expiry_ns - sent) / kSecond, 6);
}

TEST(DhcpClient, LeaseThatIsOverBeforeItBegins) {
  Trace t;
  t.client.Start(0);
  t.Receive({.lease_s = 60});
  t.Pass(50 * kSecond);
  ASSERT_EQ(DhcpState::kRequesting, t.client.state());
  t.Receive({.type = kAck, .lease_s = 60});
  t.Take();
  t.Pass(11 * kSecond);
  t.ProbeResult(false);
  EXPECT_EQ(kDiscover, t.Take());
  EXPECT_EQ(1u, t.client.counters().expired);

  Trace slow;  // an ACK that comes when the hour that it gives is over
  slow.Bind({.type = kAck, .lease_s = 100000});
  slow.UntilNext();
  slow.Pass(3700 * kSecond);
  slow.Take();
  slow.Receive({.type = kAck, .lease_s = 3600});
  EXPECT_EQ("", slow.Take());
  EXPECT_EQ(1u, slow.client.counters().refused);
}

struct TimesCase {
  const char* name;
  uint32_t t1, t2;
  double renew, rebind;
};

TEST(DhcpClient, TimesOfTheServer) {  // RFC 2131 §4.4.5; RFC 2132 §9.11, §9.12
  const TimesCase kCases[] = {{"both given", 100, 200, 100, 200},
                              {"T2 not before the end", 100, 3600, 1800, 3150},
                              {"T1 not before T2", 200, 200, 1800, 3150},
                              {"T1 at once", 0, 200, 1800, 3150},
                              {"T1 absurdly soon", 29, 200, 1800, 3150},
                              {"T2 without end", 100, ~0u, 1800, 3150}};
  for (const TimesCase& c : kCases) {
    SCOPED_TRACE(c.name);
    Trace t;
    t.Bind({.type = kAck, .options = {{58, Be32(c.t1)}, {59, Be32(c.t2)}}});
    t.UntilNext();
    EXPECT_NEAR(c.renew, t.now(), 1.1);
    EXPECT_NEAR(c.rebind, static_cast<double>(t.client.lease().rebind_ns) / kSecond, 1.1);
  }
}

TEST(DhcpClient, InfiniteLease) {  // RFC 2131 §3.3
  Trace t;
  t.Bind({.type = kAck, .lease_s = 0xffffffff});
  EXPECT_EQ(kNever, t.client.lease().expiry_ns);
  t.UntilNext(100000 * kSecond);
  EXPECT_EQ("", t.Take());
  EXPECT_EQ(DhcpState::kBound, t.client.state());
}

// RFC 2131 §3.1.4: a NAK means to begin anew; the delay is that of RFC 2131 §4.4.1, one to ten seconds.
TEST(DhcpClient, Nak) {
  for (double seconds : {0., 1805., 3155.}) {  // in REQUESTING, RENEWING, REBINDING
    SCOPED_TRACE(seconds);
    Trace t;
    if (seconds == 0) {
      t.client.Start(0);
      t.Receive({});
    } else {
      t.Bind({.type = kAck});
      t.Pass(static_cast<Nanos>(seconds) * kSecond);
    }
    t.Take();
    const uint32_t xid = t.xid;
    t.Receive({.type = kNak});
    EXPECT_EQ(seconds == 0 ? "" : "deconfigure\n", t.Take());  // RFC 2131 §4.4.5: stop using the address at once
    EXPECT_EQ(DhcpState::kInit, t.client.state());
    const double wait = t.UntilNext();
    EXPECT_LE(1, wait);
    EXPECT_GE(10.1, wait);
    EXPECT_EQ(kDiscover, t.Take());
    EXPECT_NE(xid, t.xid);
    EXPECT_EQ(1u, t.client.counters().naks);
  }
}

// RFC 2131 §3.1.5, §4.4.4: an address that another host has is declined, and nothing begins for ten seconds.
TEST(DhcpClient, Conflict) {
  Trace t;
  t.client.Start(0);
  t.Receive({});
  t.Receive({.type = kAck});
  t.Take();
  t.ProbeResult(true, kOurs + 1);  // about another address
  EXPECT_EQ("", t.Take());
  t.ProbeResult(true);
  EXPECT_EQ("0.0.0.0 > 255.255.255.255 decline requested 10.0.0.100 server 10.0.0.1\n", t.Take());
  EXPECT_EQ(DhcpState::kInit, t.client.state());
  t.ProbeResult(false);  // too late
  EXPECT_EQ("", t.Take());
  EXPECT_LE(10, t.UntilNext());
  EXPECT_EQ(kDiscover, t.Take());
  EXPECT_EQ(1u, t.client.counters().conflicts);
}

TEST(DhcpClient, StopInEveryState) {
  using Step = void (*)(Trace&);
  const Step kSteps[] = {[](Trace& t) { t.client.Start(t.now_ns()); }, [](Trace& t) { t.Receive({}); },
                         [](Trace& t) { t.Receive({.type = kAck}); }, [](Trace& t) { t.ProbeResult(true); }};
  for (size_t steps = 0; steps <= std::size(kSteps); ++steps) {
    SCOPED_TRACE(steps);
    Trace t;
    for (size_t i = 0; i < steps; ++i) kSteps[i](t);
    t.Take();
    t.client.Stop(t.now_ns());
    t.ProbeResult(false);
    t.Receive({.type = kAck});
    t.Pass(200 * kSecond);
    EXPECT_EQ("", t.Take());  // nothing to release
    t.client.Start(t.now_ns());
    EXPECT_EQ(kDiscover, t.Take());
  }
  for (double seconds : {1805, 3155}) {
    Trace t;
    t.Bind({.type = kAck});
    t.Pass(static_cast<Nanos>(seconds) * kSecond);
    t.Take();
    t.client.Stop(t.now_ns());
    EXPECT_EQ("10.0.0.100 > 10.0.0.1 release ciaddr 10.0.0.100 server 10.0.0.1\ndeconfigure\n", t.Take());
  }
}

TEST(DhcpClient, StartTwiceIsOnce) {
  Trace t;
  t.client.Start(0);
  t.client.Start(0);
  EXPECT_EQ(kDiscover, t.Take());
}

// RFC 2131 §4.1 and §4.4.1: what is of another transaction, host or server, or not expected in the state, is nothing.
TEST(DhcpClient, WhatDoesNotCount) {
  Trace t;
  uint64_t unexpected = 0;
  auto ignored = [&](const Answer& answer) {
    const DhcpState before = t.client.state();
    t.Receive(answer);
    EXPECT_EQ("", t.Take()) << answer.type;
    EXPECT_EQ(before, t.client.state()) << answer.type;
    EXPECT_EQ(++unexpected, t.client.counters().unexpected) << answer.type;
  };
  ignored({});
  t.client.Start(0);
  t.Take();
  ignored({.xid_change = 1});
  ignored({.mac_change = 1});
  for (int type : {0, 1, 3, 4, kAck, kNak, 7, 8, 255}) ignored({.type = type});
  t.Receive({});
  t.Take();
  ignored({});  // a second offer
  ignored({.server = kOtherServer});
  for (int type : {kAck, kNak}) {
    ignored({.type = type, .server = kOtherServer});
    ignored({.type = type, .options = {{54, {}}}});  // no server identifier
    ignored({.type = type, .xid_change = 0x80000000});
    ignored({.type = type, .mac_change = 2});
  }
  t.Receive({.type = kAck});
  t.Take();
  for (int type : {kOffer, kAck, kNak}) ignored({.type = type});  // while the address is probed
  t.ProbeResult(false);
  t.Take();
  for (int type : {kOffer, kAck, kNak}) ignored({.type = type});  // BOUND: nothing is asked
  t.UntilNext();
  t.Take();
  ignored({});
  for (int type : {kAck, kNak}) ignored({.type = type, .server = kOtherServer});  // RENEWING: the server of the lease
  EXPECT_EQ(0u, t.client.counters().malformed);
  t.client.OnMessage(Hex("0201"), t.now_ns());
  EXPECT_EQ(1u, t.client.counters().malformed);
}

struct RefusedCase {
  const char* name;
  Answer answer;
};

const RefusedCase kRefused[] = {
    {"address 0.0.0.0", {.yiaddr = 0}},
    {"address of this network", {.yiaddr = 0x00000064}},
    {"loopback", {.yiaddr = 0x7f000001}},
    {"multicast", {.yiaddr = 0xe0000001}},
    {"broadcast", {.yiaddr = 0xffffffff}},
    {"the network's address", {.yiaddr = 0x0a000000}},
    {"the network's broadcast address", {.yiaddr = 0x0a0000ff}},
    {"mask with a hole", {.mask = 0xff00ff00}},
    {"mask of the wrong end", {.mask = 0x000000ff}},
    {"mask 0.0.0.0", {.mask = 0}},
    {"no mask", {.options = {{1, {}}}}},
    {"no lease time", {.options = {{51, {}}}}},
    {"lease of 0 s", {.lease_s = 0}},
    {"lease of 59 s", {.lease_s = 59}},
    {"server 0.0.0.0", {.server = 0}},
    {"server multicast", {.server = 0xe0000001}},
    {"server broadcast", {.server = 0xffffffff}},
    {"no server", {.options = {{54, {}}}}},
};

// What no interface can have is refused, as an offer and as an acknowledgment, and another answer still counts.
TEST(DhcpClient, AbsurdAnswers) {
  for (const RefusedCase& c : kRefused) {
    SCOPED_TRACE(c.name);
    Trace t;
    t.client.Start(0);
    t.Take();
    t.Receive(c.answer);
    EXPECT_EQ("", t.Take());
    EXPECT_EQ(DhcpState::kSelecting, t.client.state());
    EXPECT_EQ(1u, t.client.counters().refused);
    t.Receive({});
    EXPECT_EQ(kRequest, t.Take());
    Answer ack = c.answer;
    ack.type = kAck;
    t.Receive(ack);
    EXPECT_EQ("", t.Take());
    EXPECT_EQ(DhcpState::kRequesting, t.client.state());
    t.Receive({.type = kAck});
    EXPECT_EQ("probe 10.0.0.100\n", t.Take());
  }
}

TEST(DhcpClient, AckOfAnotherAddress) {  // RFC 2131 §4.4.1: not what was requested
  Trace t;
  t.client.Start(0);
  t.Receive({});
  t.Take();
  t.Receive({.type = kAck, .yiaddr = kOurs + 1});
  EXPECT_EQ("", t.Take());
  EXPECT_EQ(1u, t.client.counters().refused);
}

TEST(DhcpClient, MasksThatCanBe) {
  for (uint32_t mask : {0xffffffffu, 0xfffffffeu, 0xfffffffcu, 0xffffff00u, 0xff000000u}) {
    Trace t;
    t.client.Start(0);
    t.Take();
    // RFC 3021 §2.1: a /31 has no broadcast address; a /32 is a host alone.
    t.Receive({.yiaddr = 0x0a000065, .mask = mask});
    EXPECT_EQ(DhcpState::kRequesting, t.client.state()) << mask;
  }
}

TEST(DhcpClient, WithoutTheBroadcastFlag) {  // RFC 2131 §4.1: a host that takes unicast before it has an address
  Trace t(1, {.broadcast = false});
  t.client.Start(0);
  EXPECT_EQ("0.0.0.0 > 255.255.255.255 discover\n", t.Take());
}

// Whatever servers answer: an answer has at most one message sent, and what is configured can be an address.
TEST(DhcpClient, RandomServers) {
  testing::Random random;
  for (int run = 0; run < 200; ++run) {
    Trace t(random.Below(1 << 30));
    t.client.Start(0);
    t.Take();
    for (int i = 0; i < 100; ++i) {
      const int types[] = {kOffer, kAck, kAck, kNak};
      Answer answer{.type = types[random.Below(4)], .lease_s = static_cast<uint32_t>(random.Below(600))};
      if (random.OneIn(4)) answer = kRefused[random.Below(std::size(kRefused))].answer;
      ForEachMutation(t.Make(answer), 1, random, [&](const Bytes& bytes) {
        const uint64_t sent = t.client.counters().sent;
        t.client.OnMessage(random.OneIn(2) ? bytes : t.Make(answer), t.now_ns());
        ASSERT_LE(t.client.counters().sent, sent + 1) << t.Take();
      });
      if (random.OneIn(3)) t.client.OnProbeResult(t.client.lease().address.ip, random.OneIn(3), t.now_ns());
      if (random.OneIn(3)) t.Pass(static_cast<Nanos>(random.Below(100)) * kSecond);
      if (random.OneIn(50)) t.client.Stop(t.now_ns());
      if (random.OneIn(20)) t.client.Start(t.now_ns());
      if (!t.client.configured()) continue;
      const DhcpLease& lease = t.client.lease();
      const uint32_t ip = lease.address.ip.v4();
      ASSERT_TRUE(ip >> 24 != 0 && ip >> 24 != 127 && ip < 0xe0000000) << Ip(ip);
      ASSERT_TRUE(lease.address.length > 0 && lease.address.length <= 32);
      ASSERT_GT(lease.expiry_ns, t.now_ns() - 100 * kMillisecond);
    }
  }
}

}  // namespace
}  // namespace weir::testing_support
