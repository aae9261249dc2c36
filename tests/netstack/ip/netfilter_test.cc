// Hooks of the network layer: where they see a packet, in which order, and what their verdicts and changes do.
#include "netstack/ip/netfilter.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "netstack/ip/filter_hook.h"
#include "netstack/udp/udp_multicast.h"
#include "netstack/udp/udp_output.h"
#include "netstack/udp/udp_table.h"
#include "netstack/wire/checksum.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/packets6.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::Hook;
using netstack::HookPacket;
using netstack::Verdict;

const char* Name(DropReason reason) { return netstack::kDropReasonNames[static_cast<size_t>(reason)]; }

constexpr Hook kAll[] = {Hook::kPreRouting, Hook::kLocalIn, Hook::kForward, Hook::kLocalOut, Hook::kPostRouting};
constexpr const char* kNames[] = {"PRE_ROUTING", "LOCAL_IN", "FORWARD", "LOCAL_OUT", "POST_ROUTING"};

// Writes down what it sees, and answers as told.
struct Watcher {
  struct At {
    Watcher* watcher;
    const char* name;
  };
  explicit Watcher(netstack::HookTable& table) : table(table) {
    for (size_t i = 0; i < 5; ++i) EXPECT_TRUE(table.Register(kAll[i], 0, &See, &at[i]));
  }
  ~Watcher() {
    for (size_t i = 0; i < 5; ++i) table.Unregister(kAll[i], &See, &at[i]);
  }
  static Verdict See(void* arg, HookPacket& packet) {
    const At& place = *static_cast<At*>(arg);
    Watcher& self = *place.watcher;
    EXPECT_EQ(packet.frame.len, packet.frame.bytes().size());
    const auto version = std::to_integer<unsigned>(packet.frame.data[0] >> 4);
    self.seen += (self.seen.empty() ? "" : " ") + std::string(place.name) + (version == 6 ? "6" : "") +
                 (packet.in != nullptr ? " in" : "") + (packet.out != nullptr ? " out" : "");
    return self.drop_at == place.name ? Verdict::kDrop : Verdict::kAccept;
  }
  std::string Seen() { return std::exchange(seen, ""); }

  netstack::HookTable& table;
  std::string seen;
  std::string drop_at;
  At at[5] = {{this, kNames[0]}, {this, kNames[1]}, {this, kNames[2]}, {this, kNames[3]}, {this, kNames[4]}};
};

Bytes Echo() { return Ethernet({}, Ipv4({.protocol = 1}, IcmpEcho(8, 1, 2, Filler(8)))); }
constexpr char kReply[] = "icmp echo-reply 10.0.0.1 > 10.0.0.2 id 1 seq 2 8 bytes";

TEST(Netfilter, TheWayOfAPacket) {
  InetTestHost host({.ip6 = *IpPrefix::Parse("fd00::1/64")});
  host.Learn();
  Watcher watcher(host.inet().ip.hooks);
  host.Receive(Echo());
  EXPECT_EQ("PRE_ROUTING in LOCAL_IN in LOCAL_OUT out POST_ROUTING out", watcher.Seen());
  EXPECT_EQ(kReply, host.Sent());
  host.Receive(Ethernet({.type = 0x86dd}, Ipv6({.protocol = 58}, Icmp6({}, Filler(8)))));
  EXPECT_EQ("PRE_ROUTING6 in LOCAL_IN6 in LOCAL_OUT6 out POST_ROUTING6 out LOCAL_OUT6 out POST_ROUTING6 out",
            watcher.Seen()) << "the answer, and the question for its neighbour";
  host.TakeSent();
  host.inet().ip.forwarding = true;
  host.Learn(0x0a000009);
  host.Receive(Ethernet({}, Ipv4({.destination = 0x0a000009}, Filler(20))));
  EXPECT_EQ("PRE_ROUTING in FORWARD in out POST_ROUTING out", watcher.Seen());
  host.TakeSent();
}

TEST(Netfilter, WhatIsDroppedIsCountedAndSeenByNobodyBehind) {
  struct Case {
    const char* at;
    const char* seen;
  };
  const Case cases[] = {{"PRE_ROUTING", "PRE_ROUTING in"},
                        {"LOCAL_IN", "PRE_ROUTING in LOCAL_IN in"},
                        {"LOCAL_OUT", "PRE_ROUTING in LOCAL_IN in LOCAL_OUT out"},
                        {"POST_ROUTING", "PRE_ROUTING in LOCAL_IN in LOCAL_OUT out POST_ROUTING out"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.at);
    InetTestHost host;
    host.Learn();
    Watcher watcher(host.inet().ip.hooks);
    watcher.drop_at = c.at;
    host.Receive(Echo());
    EXPECT_EQ(c.seen, watcher.Seen());
    EXPECT_STREQ("kHookDropped", Name(host.last()));
    EXPECT_EQ(1u, host.counted(DropReason::kHookDropped));
    EXPECT_EQ("", host.Sent());
  }
}

TEST(Netfilter, LowerPrioritiesFirst) {
  static std::string order;
  order.clear();
  InetTestHost host;
  host.Learn();
  netstack::HookTable& hooks = host.inet().ip.hooks;
  const auto note = [](void* arg, HookPacket&) {
    order += static_cast<const char*>(arg);
    return Verdict::kAccept;
  };
  for (const auto& [priority, name] : {std::pair(10, "c"), {-5, "a"}, {10, "d"}, {0, "b"}}) {
    ASSERT_TRUE(hooks.Register(Hook::kPreRouting, priority, note, const_cast<char*>(name)));
  }
  host.Receive(Echo());
  EXPECT_EQ("abcd", order);
  host.Sent();
  // Bounded, and gone when unregistered.
  char more[] = "x";
  for (size_t i = 4; i < netstack::HookTable::kMaxFunctions; ++i) {
    ASSERT_TRUE(hooks.Register(Hook::kPreRouting, 50, note, more));
  }
  EXPECT_FALSE(hooks.Register(Hook::kPreRouting, 50, note, more));
  hooks.Unregister(Hook::kPreRouting, note, more);
  EXPECT_TRUE(hooks.Register(Hook::kPreRouting, 50, note, more));
}

// A stolen packet is the thief's, with the reference that it took.
TEST(Netfilter, Steal) {
  InetTestHost host;
  host.Learn();
  runtime::Frame* stolen = nullptr;
  const auto steal = [](void* arg, HookPacket& packet) {
    runtime::Ref(&packet.frame);
    *static_cast<runtime::Frame**>(arg) = &packet.frame;
    return Verdict::kSteal;
  };
  ASSERT_TRUE(host.inet().ip.hooks.Register(Hook::kPreRouting, 0, steal, &stolen));
  host.Receive(Echo());
  EXPECT_STREQ("kHookStolen", Name(host.last()));
  EXPECT_EQ("", host.Sent());
  ASSERT_NE(nullptr, stolen);
  EXPECT_EQ(36u, stolen->len);
  runtime::Unref(stolen);
}

void Readdress(runtime::Frame& frame, size_t at, uint32_t to) {
  runtime::StoreBe32(frame.data + at, to);
  netstack::StoreChecksum(frame.data + 10, 0);
  netstack::StoreChecksum(frame.data + 10, netstack::FinishChecksum(netstack::SumBytes({frame.data, 20})));
}

// Destination address translation: what was for 10.0.0.77 is for us, and our answer comes from there.
TEST(Netfilter, AddressesMayBeChanged) {
  InetTestHost host;
  host.Learn();
  netstack::HookTable& hooks = host.inet().ip.hooks;
  ASSERT_TRUE(hooks.Register(Hook::kPreRouting, 0, [](void*, HookPacket& packet) {
    Readdress(packet.frame, 16, kHostIp);
    return Verdict::kAccept;
  }, nullptr));
  ASSERT_TRUE(hooks.Register(Hook::kPostRouting, 0, [](void*, HookPacket& packet) {
    Readdress(packet.frame, 12, 0x0a00004d);
    return Verdict::kAccept;
  }, nullptr));
  host.Receive(Ethernet({}, Ipv4({.protocol = 1, .destination = 0x0a00004d}, IcmpEcho(8, 1, 2, Filler(8)))));
  EXPECT_EQ("icmp echo-reply 10.0.0.77 > 10.0.0.2 id 1 seq 2 8 bytes", host.Sent());
}

// At LOCAL_OUT a new destination takes its own way.
TEST(Netfilter, AnotherDestinationIsRoutedAnew) {
  InetTestHost host;
  host.Learn();
  host.Learn(0x0a000009, {2, 0, 0, 0, 0, 9});
  ASSERT_TRUE(host.inet().ip.hooks.Register(Hook::kLocalOut, 0, [](void*, HookPacket& packet) {
    Readdress(packet.frame, 16, 0x0a000009);
    return Verdict::kAccept;
  }, nullptr));
  host.Receive(Echo());
  const Bytes sent = host.TakeSent().frame;
  EXPECT_EQ("icmp echo-reply 10.0.0.1 > 10.0.0.9 id 1 seq 2 8 bytes", Describe(Parse(sent)));
  EXPECT_EQ(std::byte{9}, sent[5]);
}

// And is not sent when that way is too narrow for it.
TEST(Netfilter, AnotherDestinationHasItsOwnPathMtu) {
  InetTestHost host;
  host.Learn();
  host.Learn(0x0a000009, {2, 0, 0, 0, 0, 9});
  ASSERT_TRUE(host.inet().ip.path_mtu.Lower(IpAddress::V4(0x0a000009), 600, 1500, 1500, host.now()));
  ASSERT_TRUE(host.inet().ip.hooks.Register(Hook::kLocalOut, 0, [](void*, HookPacket& packet) {
    Readdress(packet.frame, 16, 0x0a000009);
    return Verdict::kAccept;
  }, nullptr));
  for (const size_t n : {572u, 573u}) {
    host.Receive(Ethernet({}, Ipv4({.protocol = 1}, IcmpEcho(8, 1, 2, Filler(n)))));
    EXPECT_STREQ(n == 572 ? "kConsumed" : "kTxTooBig", Name(host.last()));
    ASSERT_EQ(n == 572, host.has_sent());
    if (n == 572) EXPECT_EQ(14u + 600, host.TakeSent().frame.size());
  }
}

// What this host sends to a group that it is a member of, or to all hosts: once out, and a copy out and in again
// (ip_mc_output, ip_rcv). A hook that refuses it on the way in refuses the copy, on the way out both.
TEST(Netfilter, WhatComesBackToThisHost) {
  struct {
    const char* name;
    const char* to;
    size_t length;
    const char* version;  // as Watcher writes it
    bool to_link = true;
  } const targets[] = {{"IPv4 group", "239.1.1.1", 5, ""},
                       {"IPv6 group", "ff15::1", 5, "6"},
                       {"broadcast", "255.255.255.255", 5, ""},
                       {"group, in fragments", "239.1.1.1", 4000, ""},
                       {"group, TTL 0", "239.1.1.1", 5, "", false}};
  struct {
    const char* drop_at;
    bool out, in;
  } const verdicts[] = {{"", true, true},          {"LOCAL_OUT", false, false}, {"POST_ROUTING", false, false},
                        {"PRE_ROUTING", true, false}, {"LOCAL_IN", true, false}};
  for (const auto& target : targets) {
    for (const auto& c : verdicts) {
      SCOPED_TRACE(std::string(target.name) + ", refused at " + c.drop_at);
      InetTestHost host({.ip6 = *IpPrefix::Parse("fd00::1/64")});
      netstack::UdpSock sock;
      ASSERT_EQ(0, host.inet().udp.Bind(sock, {{}, 7}));
      sock.broadcast = true;
      if (!target.to_link) sock.multicast_ttl = 0;
      const IpAddress to = *IpAddress::Parse(target.to);
      if (to.is_multicast()) {
        ASSERT_EQ(0, UdpGroupCall(host.inet().udp, sock, netstack::GroupCall::kJoin, to, {}, 0));
      }
      host.Advance(30 * kSecond);  // reports are sent
      host.Sent();
      {
        Watcher watcher(host.inet().ip.hooks);
        watcher.drop_at = c.drop_at;
        Bytes payload = Filler(target.length);
        const iovec piece{payload.data(), payload.size()};
        (void)UdpSendmsg(host.inet().udp, sock, std::span(&piece, 1), {to, 7}, host.now());
        host.Turn();
        const std::string v = target.version;
        const std::string out = "LOCAL_OUT" + v + " out POST_ROUTING" + v + " out",
                          in = " POST_ROUTING" + v + " out PRE_ROUTING" + v + " in LOCAL_IN" + v + " in";
        if (*c.drop_at == 0) EXPECT_EQ(target.to_link ? out + in : "LOCAL_OUT out" + in, watcher.Seen());
        EXPECT_EQ(c.out && target.to_link, host.has_sent());
        ASSERT_EQ(c.in ? 1u : 0u, sock.receive_queue.size());
        const bool copy_refused = !c.in && (c.out || !target.to_link);  // the other is the caller's to count
        EXPECT_EQ(copy_refused ? 1u : 0u, host.counted(DropReason::kHookDropped));
        if (c.in) {
          Bytes bytes(target.length);
          const netstack::Datagram datagram = sock.receive_queue.Pop();
          EXPECT_EQ(target.length, datagram.data.size());
          datagram.data.CopyTo(bytes);
          EXPECT_EQ(payload, bytes);
          EXPECT_EQ(to, datagram.local.ip);
        }
        while (host.has_sent()) host.TakeSent();
      }
      host.inet().udp.Unbind(sock);
      host.Advance(30 * kSecond);
      host.Sent();
    }
  }
}

// What lies in the frame when a function returns is what goes on: here one takes the outer header off (RFC 2003), and
// the inner one is whose addresses and checksum count.
TEST(Netfilter, AFunctionMayTakeAHeaderOff) {
  InetTestHost host({.ip6 = *IpPrefix::Parse("fd00::1/64")});
  host.Learn();
  netstack::UdpSock sock;
  ASSERT_EQ(0, host.inet().udp.Bind(sock, {{}, 7}));
  const auto strip = [](void*, HookPacket& packet) {
    packet.frame.Pull((packet.frame.data[0] >> 4) == std::byte{6} ? 40 : 20);
    return Verdict::kAccept;
  };
  const Bytes inner = Ipv4({.source = 0x0a000009}, Udp(4000, 7, Filler(5), {.source = 0x0a000009})),
              inner6 = Ipv6({.source = "fd00::9"}, Udp6(4000, 7, Filler(5), "fd00::9"));
  ASSERT_TRUE(host.inet().ip.hooks.Register(Hook::kPreRouting, 0, strip, nullptr));
  for (const Bytes& frame : {Ethernet({}, Ipv4({.protocol = 4}, inner)),
                             Ethernet({.type = 0x86dd}, Ipv6({.protocol = 41}, inner6))}) {
    host.Receive(frame);
    EXPECT_STREQ("kConsumed", Name(host.last()));
    ASSERT_EQ(1u, sock.receive_queue.size());
    const netstack::Datagram datagram = sock.receive_queue.Pop();
    EXPECT_EQ(frame[12] == std::byte{0x86} ? "[fd00::9]:4000" : "10.0.0.9:4000", datagram.peer.ToString());
  }
  host.inet().ip.hooks.Unregister(Hook::kPreRouting, strip, nullptr);
  host.inet().udp.Unbind(sock);
}

// The filter at its hooks, on packets of both versions.
TEST(FilterHook, RulesDecide) {
  InetTestHost host({.ip6 = *IpPrefix::Parse("fd00::1/64")});
  host.Learn();
  netstack::Filter filter;
  ASSERT_TRUE(filter.Add({.hook = Hook::kLocalIn, .protocol = 17, .destination_port = {{7, 9}}}));
  ASSERT_TRUE(filter.Add({.hook = Hook::kLocalIn, .protocol = 1}));
  filter.set_policy(Hook::kLocalIn, netstack::FilterVerdict::kDrop);
  netstack::UdpSock open, shut;
  ASSERT_EQ(0, host.inet().udp.Bind(open, {{}, 8}));
  ASSERT_EQ(0, host.inet().udp.Bind(shut, {{}, 10}));
  {
    netstack::FilterHook hook(host.inet().ip, filter);
    host.Receive(Echo());
    EXPECT_EQ(kReply, host.Sent());
    const Extension6 options{60, Text(std::string("\0\1\4\0\0\0\0", 7))};
    for (uint16_t port : {8, 10}) {
      const char* expected = port == 8 ? "kConsumed" : "kHookDropped";
      host.Receive(Ethernet({}, Ipv4({}, Udp(4000, port, Text("hello")))));
      EXPECT_STREQ(expected, Name(host.last()));
      host.Receive(Ethernet({.type = 0x86dd}, Ipv6({.extensions = {options}}, Udp6(4000, port, Text("hello")))));
      EXPECT_STREQ(expected, Name(host.last()));
    }
    EXPECT_EQ(2u, hook.filter().rules(Hook::kLocalIn)[0].packets);
    EXPECT_EQ(33u + 61u, hook.filter().rules(Hook::kLocalIn)[0].bytes);
    EXPECT_EQ(1u, hook.filter().rules(Hook::kLocalIn)[1].packets);
    EXPECT_FALSE(host.inet().ip.hooks.any(Hook::kForward)) << "nothing to say there";
  }
  host.Receive(Ethernet({}, Ipv4({}, Udp(4000, 10, Text("hello")))));
  EXPECT_STREQ("kConsumed", Name(host.last())) << "gone with its object";
  EXPECT_EQ(2u, open.receive_queue.size());
  EXPECT_EQ(1u, shut.receive_queue.size());
  host.inet().udp.Unbind(open);
  host.inet().udp.Unbind(shut);
}

}  // namespace
}  // namespace weir::testing_support
