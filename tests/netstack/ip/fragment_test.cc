// Output in fragments: RFC 791 §3.2, RFC 8200 §4.5, identifications RFC 6864 and RFC 7739, forwarding RFC 1812 §5.2.6.
#include "netstack/ip/ip_fragment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "netstack/udp/udp_output.h"
#include "tests/netstack/ip/fragment_host.h"
#include "tests/support/ndp_packets.h"
#include "tests/support/random.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::IpFlow;
using netstack::PmtuDiscovery;

constexpr bool kBoth[] = {true, false};

Endpoint Peer(bool v4) { return {v4 ? IpAddress::V4(kPeerIp) : IpAddress::Parse(kPeerIp6).value(), 4000}; }

std::string Name(DropReason reason) { return netstack::kDropReasonNames[static_cast<size_t>(reason)]; }

// A datagram of the host from port 7, as it must come out of the fragments.
Bytes Expected(bool v4, View payload) {
  return v4 ? Udp(7, 4000, payload, {kHostIp, kPeerIp}) : Udp6(7, 4000, payload, kHostIp6, kPeerIp6);
}

std::string Send(FragmentHost& host, bool v4, std::span<const iovec> data) {
  const DropReason reason = UdpSendmsg(host.inet().udp, host.sock(), data, Peer(v4), host.now());
  host.Turn();
  return Name(reason);
}

std::string Send(FragmentHost& host, bool v4, const Bytes& payload) {
  const iovec piece{const_cast<std::byte*>(payload.data()), payload.size()};
  return Send(host, v4, {&piece, 1});
}

TEST(UdpFragments, Sizes) {
  for (const bool v4 : kBoth) {
    const size_t largest = v4 ? 65507 : 65527, chunk = v4 ? 1480 : 1448, one = v4 ? 1472 : 1452;
    for (const uint32_t mtu : {1500u, 1280u}) {
      for (const size_t n :
           {one - 220, one - 219, one, one + 1, 2 * chunk - 8, 2 * chunk - 7, size_t{40000}, largest}) {
        SCOPED_TRACE(absl::StrCat(v4 ? "IPv4 " : "IPv6 ", n, ", MTU ", mtu));
        FragmentHost host({.mtu = mtu});
        ASSERT_EQ("kConsumed", Send(host, v4, Filler(n)));
        const size_t narrower = 1500 - mtu;
        if (n <= one - narrower) {  // fits: one packet, which no router may cut
          const Bytes frame = host.TakeSent().frame;
          if (v4) EXPECT_EQ(0x4000, Get16(frame, 20));
          EXPECT_EQ(14 + (v4 ? 28 : 48) + n, frame.size());
          EXPECT_FALSE(host.has_sent());
          continue;
        }
        size_t frames = 0;
        EXPECT_EQ(Expected(v4, Filler(n)), host.Join(&frames));
        const size_t per_frame = (mtu - (v4 ? 20 : 48)) & ~size_t{7};
        EXPECT_EQ((n + 8 + per_frame - 1) / per_frame, frames);
      }
    }
    FragmentHost host;
    EXPECT_EQ("kTxTooBig", Send(host, v4, Filler(largest + 1)));
    EXPECT_FALSE(host.has_sent());
  }
}

// Pieces of any lengths, odd and empty ones too: the checksum and the bytes are those of the whole.
TEST(UdpFragments, GatherLists) {
  testing::Random random;
  FragmentHost host;
  for (int round = 0; round < 300; ++round) {
    const bool v4 = random.OneIn(2);
    const Bytes payload = Filler(1500 + random.Below(20000));
    std::vector<iovec> pieces;
    for (size_t at = 0; at < payload.size();) {
      const size_t n = std::min<size_t>(random.Below(random.OneIn(2) ? 5 : 3000), payload.size() - at);
      pieces.push_back({const_cast<std::byte*>(payload.data()) + at, n});
      at += n;
    }
    ASSERT_EQ("kConsumed", Send(host, v4, pieces));
    ASSERT_EQ(Expected(v4, payload), host.Join()) << "round " << round;
  }
}

// All of the fragments or none: half a datagram only costs.
TEST(UdpFragments, AllOrNothing) {
  for (const bool v4 : kBoth) {
    FragmentHost host({.frames = 128});
    std::vector<runtime::Frame*> taken;
    constexpr size_t kNeeded = 6;  // for 8000 bytes
    while (host.pool().free_count() > 128 / 8 + kNeeded - 1) taken.push_back(host.pool().Alloc());
    EXPECT_EQ("kTxNoFrame", Send(host, v4, Filler(8000)));
    EXPECT_FALSE(host.has_sent());
    runtime::Unref(taken.back());
    taken.pop_back();
    EXPECT_EQ("kConsumed", Send(host, v4, Filler(8000)));
    EXPECT_EQ(Expected(v4, Filler(8000)), host.Join());
    for (runtime::Frame* frame : taken) runtime::Unref(frame);
  }
  FragmentHost host({.frames = 8192});
  netstack::NetDevice& device = host.interface().device;
  while (device.tx_size() < netstack::NetDevice::kTxQueue - 5) {
    ASSERT_EQ(DropReason::kConsumed, device.Queue(host.pool().Alloc()));
  }
  const Bytes payload = Filler(8000);
  const iovec piece{const_cast<std::byte*>(payload.data()), payload.size()};
  EXPECT_EQ(DropReason::kTxQueueFull,
            UdpSendmsg(host.inet().udp, host.sock(), std::span(&piece, 1), Peer(true), host.now()));
  EXPECT_EQ(netstack::NetDevice::kTxQueue - 5, device.tx_size());
  host.Turn();
  while (host.has_sent()) host.TakeSent();
}

// To a neighbour whose address is not known yet: the largest datagram waits as a whole.
TEST(UdpFragments, WaitForTheNeighbour) {
  FragmentHost host;
  const uint32_t other = kPeerIp + 1;
  const Bytes payload = Filler(65507);
  const iovec piece{const_cast<std::byte*>(payload.data()), payload.size()};
  ASSERT_EQ(DropReason::kConsumed, UdpSendmsg(host.inet().udp, host.sock(), std::span(&piece, 1),
                                              {IpAddress::V4(other), 4000}, host.now()));
  host.Turn();
  EXPECT_EQ("arp who-has 10.0.0.3 tell 10.0.0.1", host.Sent());
  host.Receive(Ethernet({.type = 0x0806}, Arp({.operation = 2, .sender_ip = other, .target_mac = kHostMac})));
  EXPECT_EQ(Udp(7, 4000, payload, {kHostIp, other}), host.Join());
}

// The same with the most fragments that there are: on the narrowest path that is believed in.
TEST(UdpFragments, NarrowestPath) {
  for (const bool v4 : kBoth) {
    SCOPED_TRACE(v4);
    FragmentHost host;
    const uint32_t mtu = v4 ? netstack::PathMtuCache::kMin4 : netstack::PathMtuCache::kMin6;
    const IpAddress other = v4 ? IpAddress::V4(kPeerIp + 1) : Ip6("fd00::3");
    ASSERT_TRUE(host.inet().ip.path_mtu.Lower(other, mtu, 1500, 1500, host.now()));
    const Bytes payload = Filler(v4 ? 65507 : 65527);
    const iovec piece{const_cast<std::byte*>(payload.data()), payload.size()};
    ASSERT_EQ("kConsumed", Name(UdpSendmsg(host.inet().udp, host.sock(), std::span(&piece, 1), {other, 4000},
                                           host.now())));
    host.Turn();
    ASSERT_TRUE(host.has_sent());
    host.TakeSent();
    EXPECT_FALSE(host.has_sent()) << "only the question";
    if (v4) {
      host.Receive(Ethernet({.type = 0x0806}, Arp({.operation = 2, .sender_ip = kPeerIp + 1, .target_mac = kHostMac})));
    } else {
      host.Receive(Ndp({.source = other, .destination = Ip6(kHostIp6)}, NeighborAdvert("SO", other, kPeerMac)));
    }
    size_t frames = 0;
    EXPECT_EQ(v4 ? Udp(7, 4000, payload, {kHostIp, kPeerIp + 1}) : Udp6(7, 4000, payload, kHostIp6, "fd00::3"),
              host.Join(&frames));
    EXPECT_EQ(v4 ? size_t{netstack::PathMtuCache::kMaxFragments} : 54, frames);
    EXPECT_EQ(0u, host.counted(DropReason::kNeighbourQueueFull));
  }
}

// Hooks see a datagram once, by its first fragment, which has the ports; what they say holds for all of it.
TEST(UdpFragments, HooksDecideForAll) {
  for (const netstack::Hook hook : {netstack::Hook::kLocalOut, netstack::Hook::kPostRouting}) {
    FragmentHost host;
    struct State {
      netstack::Verdict verdict = netstack::Verdict::kDrop;
      int calls = 0;
    } state;
    ASSERT_TRUE(host.inet().ip.hooks.Register(
        hook, 0,
        [](void* arg, netstack::HookPacket&) {
          ++static_cast<State*>(arg)->calls;
          return static_cast<State*>(arg)->verdict;
        },
        &state));
    EXPECT_EQ("kHookDropped", Send(host, true, Filler(8000)));
    EXPECT_FALSE(host.has_sent());
    state.verdict = netstack::Verdict::kAccept;
    EXPECT_EQ("kConsumed", Send(host, true, Filler(8000)));
    EXPECT_EQ(Expected(true, Filler(8000)), host.Join());
    EXPECT_EQ(2, state.calls);
  }
}

// Writes an address into the IP header.
struct Readdress {
  bool v4;
  bool destination;
  IpAddress to;

  static netstack::Verdict OnPacket(void* arg, netstack::HookPacket& packet) {
    const auto& self = *static_cast<Readdress*>(arg);
    Bytes header(packet.frame.data, packet.frame.data + 40);
    const Bytes address = Address(self.to.bytes());
    const auto ip = View(address).subspan(self.v4 ? 12 : 0);
    std::copy(ip.begin(), ip.end(), header.begin() + (self.v4 ? 12 : 8) + (self.destination ? ip.size() : 0));
    if (self.v4) Put16(header, 10, 0);
    if (self.v4) Put16(header, 10, static_cast<uint16_t>(~NaiveSum(View(header).first(20))));
    std::copy(header.begin(), header.end(), packet.frame.data);
    return netstack::Verdict::kAccept;
  }
};

// What a hook makes of the addresses holds for all fragments, and where they lead, too: by a narrower path here.
TEST(UdpFragments, HooksChangeAll) {
  for (const bool v4 : kBoth) {
    for (const bool destination : kBoth) {
      SCOPED_TRACE(absl::StrCat(v4 ? "IPv4" : "IPv6", destination ? ", destination" : ", source"));
      FragmentHost host;
      const Mac other_mac = {2, 0, 0, 0, 0, 3};
      Readdress change{v4, destination, v4 ? IpAddress::V4(kPeerIp + 1) : Ip6("fd00::3")};
      netstack::Neighbour& other = host.interface().neighbours.FindOrCreate(host.interface(), change.to);
      NeighbourUpdate(host.interface(), other, {other_mac}, /*confirmed=*/true, host.now());
      ASSERT_TRUE(host.inet().ip.path_mtu.Lower(change.to, 1280, 1500, 1500, host.now()));
      ASSERT_TRUE(host.inet().ip.hooks.Register(
          destination ? netstack::Hook::kLocalOut : netstack::Hook::kPostRouting, 0, &Readdress::OnPacket, &change));
      ASSERT_EQ("kConsumed", Send(host, v4, Filler(8000)));
      std::vector<Bytes> pieces;
      Bytes whole;
      while (host.has_sent()) {
        pieces.push_back(host.TakeSent().frame);
        const View ip = View(pieces.back()).subspan(14);
        if (v4) EXPECT_EQ(0xffff, NaiveSum(ip.first(20)));
        EXPECT_GE(destination ? 1280u : 1500u, ip.size());
        const size_t at = (v4 ? 12 : 8) + (destination ? v4 ? 4 : 16 : 0), size = v4 ? 4 : 16;
        const Bytes address = Address(change.to.bytes());
        const auto expected = View(address).last(size);
        EXPECT_TRUE(std::ranges::equal(expected, ip.subspan(at, size)));
        EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(destination ? other_mac : kPeerMac)),
                                       View(pieces.back()).first(6)));
        EXPECT_EQ(whole.size(), v4 ? size_t{8} * (Get16(ip, 6) & 0x1fff) : size_t{Get16(ip, 42)} & 0xfff8);
        Append(whole, ip.subspan(v4 ? 20 : 48));
      }
      EXPECT_EQ(destination ? 7u : 6u, pieces.size());
      EXPECT_EQ(Expected(v4, Filler(8000)), whole);
      const Bytes& last = pieces.back();
      EXPECT_EQ(0, v4 ? Get16(last, 20) & 0x2000 : Get16(last, 56) & 1) << "More in the last";
    }
  }
}

// RFC 6864 §4.3, RFC 7739 §5.3: a flow's identifications do not repeat, and tell nothing of another's.
TEST(FragmentIds, DoNotRepeatWithinAFlow) {
  for (const bool v4 : kBoth) {
    FragmentHost host;
    std::set<uint32_t> ids;
    for (int i = 0; i < 1000; ++i) {
      ASSERT_EQ("kConsumed", Send(host, v4, Filler(1600)));
      const Bytes frame = host.TakeSent().frame;
      EXPECT_TRUE(ids.insert(v4 ? Get16(frame, 18) : Get32(frame, 58)).second) << i;
      host.TakeSent();
    }
  }
}

TEST(FragmentIds, DependOnFlowAndSecret) {
  std::set<uint32_t> ids;
  for (uint64_t secret = 0; secret < 10; ++secret) {
    netstack::FragmentIds generator({secret, 1});
    for (uint32_t host = 0; host < 10; ++host) {
      for (const uint8_t protocol : {1, 17}) {
        ids.insert(generator.Next(IpAddress::V4(kHostIp), IpAddress::V4(host), protocol));
      }
    }
  }
  EXPECT_EQ(200u, ids.size());
}

// RFC 1122 §3.2.2.6, RFC 4443 §4.2: all of the request's data comes back.
TEST(IcmpFragments, EchoOfAnySize) {
  for (const bool v4 : kBoth) {
    for (const size_t n : {1473, 2000, 9000, 60000, v4 ? 65507 : 65527}) {
      SCOPED_TRACE(n);
      FragmentHost host;
      const Bytes request = v4 ? IcmpEcho(8, 77, 5, Filler(n)) : Icmp6({.type = 128, .word = 0x4d0005}, Filler(n));
      const Icmp6Spec reply6{.type = 129, .word = 0x4d0005, .source = kHostIp6, .destination = kPeerIp6};
      const Bytes reply = v4 ? IcmpEcho(0, 77, 5, Filler(n)) : Icmp6(reply6, Filler(n));
      const auto protocol = static_cast<uint8_t>(v4 ? 1 : 58);
      for (const Bytes& frame : Cut({.v4 = v4, .protocol = protocol}, request, v4 ? 1480 : 1448)) {
        ASSERT_EQ("kConsumed", host.Take(frame));
      }
      EXPECT_EQ(reply, host.Join());
      EXPECT_EQ(host.pool().size(), host.pool().free_count());
      // One wrong bit, in the last fragment.
      Bytes wrong = request;
      wrong.back() ^= std::byte{1};
      for (const Bytes& frame : Cut({.v4 = v4, .protocol = protocol}, wrong, v4 ? 1480 : 1448)) (void)host.Take(frame);
      EXPECT_EQ(DropReason::kIcmpChecksum, host.last());
    }
  }
}

TEST(IpOutput, WhoMayBeCut) {
  struct {
    PmtuDiscovery discovery;
    size_t length;
    const char* reason;
    size_t frames;
    int field;  // of IPv4's first frame
  } const cases[] = {
      {PmtuDiscovery::kDo, 1480, "kConsumed", 1, 0x4000},   {PmtuDiscovery::kDo, 1481, "kTxTooBig", 0, 0},
      {PmtuDiscovery::kWant, 1480, "kConsumed", 1, 0x4000}, {PmtuDiscovery::kWant, 1481, "kConsumed", 2, 0x2000},
      {PmtuDiscovery::kDont, 1480, "kConsumed", 1, 0},      {PmtuDiscovery::kDont, 1481, "kConsumed", 2, 0x2000},
  };
  for (const auto& c : cases) {
    FragmentHost host;
    runtime::Frame* frame = host.pool().Alloc();
    frame->len = static_cast<uint32_t>(c.length);
    const DropReason reason = IpOutput(host.inet().ip, frame,
                                       {.source = IpAddress::V4(kHostIp),
                                        .destination = IpAddress::V4(kPeerIp),
                                        .protocol = 99,
                                        .pmtu_discovery = c.discovery},
                                       host.now());
    EXPECT_EQ(c.reason, Name(reason));
    host.Turn();
    size_t frames = 0;
    for (; host.has_sent(); ++frames) {
      const Bytes sent = host.TakeSent().frame;
      if (frames == 0) EXPECT_EQ(c.field, Get16(sent, 20));
    }
    EXPECT_EQ(c.frames, frames);
  }
}

// A router between a link of 1500 and one of 600 bytes.
class Forwarding : public ::testing::Test {
 protected:
  Forwarding() : out_(host_.inet().ip.AddInterface({.mac = {kHostMac}, .mtu = 600})) {
    host_.inet().ip.forwarding = true;
    EXPECT_TRUE(host_.inet().ip.AddAddress(out_, {{IpAddress::V4(0x0a000101), 24}}));
    netstack::Neighbour& next = out_.neighbours.FindOrCreate(out_, IpAddress::V4(kBeyond));
    NeighbourUpdate(out_, next, {kPeerMac}, /*confirmed=*/true, host_.now());
  }
  ~Forwarding() override {
    while (!out_.device.tx_empty()) runtime::Unref(out_.device.TxPop());
  }

  // The packets that went out on the narrow link.
  std::vector<Bytes> Out() {
    std::vector<Bytes> packets;
    while (!out_.device.tx_empty()) {
      runtime::Frame* frame = out_.device.TxPop();
      packets.emplace_back(frame->data + 14, frame->data + frame->len);
      runtime::Unref(frame);
    }
    return packets;
  }

  static constexpr uint32_t kBeyond = 0x0a000102;
  FragmentHost host_;
  netstack::Interface& out_;
};

TEST_F(Forwarding, CutsWhatMayBeCut) {
  // A record route and a security option, of which only the second is copied (RFC 791 §3.1).
  const Bytes options = {std::byte{7}, std::byte{3}, std::byte{4}, std::byte{0x82}, std::byte{3}, std::byte{9},
                         std::byte{1}, std::byte{0}};
  const Bytes payload = Filler(1403);
  const Bytes packet = Ipv4({.protocol = 99, .destination = kBeyond, .id = 77, .ttl = 9, .options = options}, payload);
  EXPECT_EQ("kConsumed", host_.Take(Ethernet({}, packet)));
  const std::vector<Bytes> out = Out();
  ASSERT_EQ(3u, out.size());
  Bytes whole;
  for (size_t i = 0; i < out.size(); ++i) {
    SCOPED_TRACE(i);
    const View ip(out[i]);
    EXPECT_GE(600u, ip.size());
    EXPECT_EQ(ip.size(), Get16(ip, 2));
    EXPECT_EQ(77, Get16(ip, 4));
    EXPECT_EQ((i < 2 ? 0x2000 : 0) | i * 568 / 8, Get16(ip, 6));
    EXPECT_EQ(8, std::to_integer<int>(ip[8]));
    EXPECT_EQ(0xffff, NaiveSum(ip.first(28)));
    Bytes expected = options;
    if (i > 0) expected[0] = expected[1] = expected[2] = std::byte{1};
    EXPECT_EQ(expected, Bytes(ip.begin() + 20, ip.begin() + 28));
    Append(whole, ip.subspan(28));
  }
  EXPECT_EQ(payload, whole);
  EXPECT_EQ("", host_.Sent());
}

// RFC 791 §3.2: the pieces of a fragment keep its place in the whole, and its More flag.
TEST_F(Forwarding, CutsFragmentsAgain) {
  for (const bool more : kBoth) {
    (void)host_.Take(Ethernet({}, Ipv4({.protocol = 99, .destination = kBeyond,
                                        .fragment = static_cast<uint16_t>(100 | (more ? 0x2000 : 0))},
                                       Filler(1000))));
    const std::vector<Bytes> out = Out();
    ASSERT_EQ(2u, out.size());
    EXPECT_EQ(0x2000 | 100, Get16(out[0], 6));
    EXPECT_EQ((more ? 0x2000 : 0) | (100 + 576 / 8), Get16(out[1], 6));
  }
}

TEST_F(Forwarding, TellsWhatMayNot) {  // RFC 1812 §5.2.6, RFC 1191 §4
  const Bytes packet = Ipv4({.protocol = 99, .destination = kBeyond, .fragment = 0x4000}, Filler(1000));
  EXPECT_EQ("kTxTooBig", host_.Take(Ethernet({}, packet)));
  const Packet error = Parse(host_.TakeSent().frame);
  EXPECT_EQ("icmp type 3 code 4 10.0.0.1 > 10.0.0.2", Describe(error));
  EXPECT_EQ(600, Get16(error.frame, error.transport + 6));
  EXPECT_TRUE(Out().empty());
}

// RFC 1122 §3.2.2: nothing is said of a fragment other than the first.
TEST_F(Forwarding, NoErrorsForLaterFragments) {
  for (const uint16_t field : {0x0005, 0x2005, 0x4005}) {
    const Ipv4Spec spec{.protocol = 99, .destination = kBeyond, .fragment = field, .ttl = 1};
    (void)host_.Take(Ethernet({}, Ipv4(spec, Filler(8))));
    EXPECT_EQ(DropReason::kIpTtlExceeded, host_.last());
    EXPECT_EQ("", host_.Sent());
  }
}

}  // namespace
}  // namespace weir::testing_support
