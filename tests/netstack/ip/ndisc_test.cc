// Neighbor Discovery of neighbours (RFC 4861 §7): what is answered, what is believed, what is dropped.
#include <gtest/gtest.h>

#include <algorithm>

#include "netstack/ip/ip_output.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/mutate.h"
#include "tests/support/ndp_packets.h"

namespace weir::testing_support {
namespace {

using netstack::AddressState;
using netstack::DropReason;
using netstack::Neighbour;
using netstack::NeighbourState;
using netstack::NeighbourTable;

const IpAddress kOurs = Ip6("fd00::1"), kPeer = Ip6("fd00::2"), kNobody = Ip6("fd00::9");
const IpAddress kOursGroup = Ip6("ff02::1:ff00:1"), kAllNodes = Ip6("ff02::1");
constexpr Mac kOtherMac = {2, 0, 0, 0, 0, 3};
constexpr Mac kGroupMac = {0x33, 0x33, 0, 0, 0, 1};
constexpr char kAsk[] = "ns fd00::2 from 020000000001, fd00::1 > ff02::1:ff00:2";
constexpr char kAskUnicast[] = "ns fd00::2 from 020000000001, fd00::1 > fd00::2";

struct NdiscTest : ::testing::Test {
  InetTestHost host{{.ip6 = IpPrefix{kOurs, 64}}};

  Neighbour* Peer() { return host.interface().neighbours.Find(kPeer); }
  // A packet of ours to the peer, as UDP would hand it to IP.
  DropReason Send(const IpAddress& to = kPeer) {
    runtime::Frame* frame = host.pool().Alloc();
    frame->len = 16;
    std::fill_n(frame->data, 16, std::byte{0});
    return IpOutput(host.inet().ip, frame, {.source = kOurs, .destination = to, .protocol = 17}, host.now());
  }
  void Advertise(absl::string_view flags, std::optional<Mac> mac = kPeerMac, const IpAddress& to = kOurs) {
    host.Receive(Ndp({kPeer, to}, NeighborAdvert(flags, kPeer, mac)));
  }
  void Solicit() { host.Receive(Ndp({kPeer, kOursGroup}, NeighborSolicit(kOurs, kPeerMac))); }
  // The peer in the state.
  void Become(NeighbourState state) {
    EXPECT_EQ(DropReason::kConsumed, Send());
    if (state == NeighbourState::kIncomplete) return;
    Advertise("SO");
    if (state == NeighbourState::kReachable) return;
    host.Advance(31 * kSecond);
    EXPECT_EQ(DropReason::kConsumed, Send());  // STALE at most for a moment: what looks makes it DELAY
    if (state == NeighbourState::kStale) Peer()->state = state;
    if (state == NeighbourState::kProbe) host.Advance(5100 * kMillisecond);
    EXPECT_EQ(state, Peer()->state);
    host.Sent();
  }
};

TEST_F(NdiscTest, SolicitationsForUsAreAnswered) {  // RFC 4861 §7.2.4
  Solicit();
  EXPECT_EQ(DropReason::kConsumed, host.last());
  EXPECT_EQ("na SO fd00::1 is-at 020000000001, fd00::1 > fd00::2", SentNdp(host));
  ASSERT_NE(nullptr, Peer());  // §7.2.3: who asks is remembered, unconfirmed, and used at once by the answer
  EXPECT_EQ(NeighbourState::kDelay, Peer()->state);
  host.Receive(Ndp({kPeer, kOurs}, NeighborSolicit(kOurs)));  // a unicast probe, without the option
  EXPECT_EQ("na SO fd00::1 is-at 020000000001, fd00::1 > fd00::2", SentNdp(host));
}

// RFC 4861 §7.2.3: a question from where we know the peer to be changes nothing. Else two hosts whose probes cross would
// each put the other back to STALE, take no answer, and ask again for ever.
TEST_F(NdiscTest, AQuestionFromTheSameAddressChangesNothing) {
  using enum NeighbourState;
  for (const NeighbourState state : {kReachable, kDelay, kProbe}) {
    SCOPED_TRACE(static_cast<int>(state));
    if (Peer() != nullptr) host.interface().neighbours.Remove(host.interface(), *Peer());
    Become(state);
    host.Sent();
    const size_t timers = host.timers().armed();
    Solicit();
    EXPECT_EQ("na SO fd00::1 is-at 020000000001, fd00::1 > fd00::2", SentNdp(host));
    EXPECT_EQ(state, Peer()->state);
    EXPECT_EQ(timers, host.timers().armed());
  }
  Advertise("S");  // the answer to the probe that crossed theirs
  EXPECT_EQ(kReachable, Peer()->state);
}

TEST_F(NdiscTest, OthersProbesForOurAddressAreAnsweredToAll) {  // RFC 4861 §7.2.4, RFC 4862 §5.4.3
  host.Receive(Ndp({IpAddress(), kOursGroup}, NeighborSolicit(kOurs)));
  EXPECT_EQ("na O fd00::1 is-at 020000000001, fd00::1 > ff02::1", SentNdp(host));
  EXPECT_EQ(nullptr, host.interface().neighbours.Find(IpAddress()));
}

TEST_F(NdiscTest, AForwardingHostSaysThatItIsARouter) {  // RFC 4861 §4.4
  host.inet().ip.forwarding = true;
  Solicit();
  EXPECT_EQ("na RSO fd00::1 is-at 020000000001, fd00::1 > fd00::2", SentNdp(host));
}

TEST_F(NdiscTest, AnOptimisticAddressOverridesNothing) {  // RFC 4429 §3.3
  host.interface().FindAddress(kOurs)->state = AddressState::kOptimistic;
  Solicit();
  EXPECT_EQ("na S fd00::1 is-at 020000000001, fd00::1 > fd00::2", SentNdp(host));
}

TEST_F(NdiscTest, WhatIsNotTaken) {
  const auto with = [](Bytes message, size_t at, uint8_t value) {
    message[at] = std::byte{value};
    return message;
  };
  const Bytes solicit = NeighborSolicit(kOurs, kPeerMac), advert = NeighborAdvert("S", kPeer, kPeerMac);
  struct Case {
    const char* name;
    NdpSpec packet;
    Bytes message;
    DropReason reason;
  };
  const Case cases[] = {
      {"§7.1.1: hop limit 254", {kPeer, kOursGroup, 254}, solicit, DropReason::kNdpMalformed},
      {"§7.1.1: code 1", {kPeer, kOursGroup}, with(solicit, 1, 1), DropReason::kNdpMalformed},
      {"§7.1.1: 23 bytes", {kPeer, kOursGroup}, Bytes(solicit.begin(), solicit.begin() + 23),
       DropReason::kNdpMalformed},
      {"§7.1.1: multicast target", {kPeer, kOursGroup}, NeighborSolicit(kAllNodes), DropReason::kNdpMalformed},
      {"§7.1.1: option of length 0", {kPeer, kOursGroup}, with(solicit, 25, 0), DropReason::kNdpMalformed},
      {"§7.1.1: option beyond the end", {kPeer, kOursGroup}, with(solicit, 25, 2), DropReason::kNdpMalformed},
      {"§7.1.1: a probe to other than the group", {{}, kAllNodes}, NeighborSolicit(kOurs), DropReason::kNdpMalformed},
      {"§7.1.1: a probe to us alone", {{}, kOurs}, NeighborSolicit(kOurs), DropReason::kNdpMalformed},
      {"§7.1.1: a probe with an address", {{}, kOursGroup}, solicit, DropReason::kNdpMalformed},
      {"an IPv4 target", {kPeer, kOursGroup}, NeighborSolicit(IpAddress::V4(kHostIp)), DropReason::kNdpMalformed},
      {"§7.2.3: for another", {kPeer, kOursGroup}, NeighborSolicit(kNobody), DropReason::kNdpNotForUs},
      {"§7.1.2: hop limit 64", {kPeer, kOurs, 64}, advert, DropReason::kNdpMalformed},
      {"§7.1.2: solicited to a group", {kPeer, kAllNodes}, advert, DropReason::kNdpMalformed},
      {"§7.1.2: multicast target", {kPeer, kOurs}, NeighborAdvert("S", kAllNodes), DropReason::kNdpMalformed},
      {"an IPv4 target", {kPeer, kOurs}, NeighborAdvert("SO", IpAddress::V4(kPeerIp), kPeerMac),
       DropReason::kNdpMalformed},
      {"§7.2.5: of somebody unknown", {kPeer, kOurs}, advert, DropReason::kNdpUnsolicited},
      {"RFC 4862 §5.4.4: our address", {kPeer, kAllNodes}, NeighborAdvert("O", kOurs, kPeerMac),
       DropReason::kNdpConflict},
      {"our address asks", {kOurs, kOursGroup}, solicit, DropReason::kNdpConflict},
      {"§6.2.6: a router solicitation", {kPeer, Ip6("ff02::1")}, with(NeighborSolicit(kOurs), 0, 133),
       DropReason::kNdpNotForUs},
      {"§8.1: a redirect", {Ip6("fe80::1"), kOurs}, with(Bytes(40), 0, 137), DropReason::kNdpRedirect},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    host.Receive(Ndp(c.packet, c.message));
    EXPECT_EQ(c.reason, host.last());
    EXPECT_EQ("", SentNdp(host));
    EXPECT_EQ(nullptr, Peer());
    EXPECT_NE(nullptr, host.interface().FindAddress(kOurs));
  }
}

TEST_F(NdiscTest, NotBehindExtensionHeaders) {  // RFC 6980 §5, RFC 7113 §2.1
  const Extension6 destination_options{60, Hex("00 01 04 00000000")};  // PadN
  const Extension6 atomic_fragment{44, Hex("00 0000 00000001")};
  for (const Extension6& extension : {destination_options, atomic_fragment}) {
    host.Receive(Ndp({kPeer, kOurs, 255, {extension}}, NeighborSolicit(kOurs, kPeerMac)));
    EXPECT_NE(DropReason::kConsumed, host.last());
  }
  EXPECT_EQ("", SentNdp(host));
}

TEST_F(NdiscTest, ASenderWithAGroupsAddressIsNotRemembered) {
  for (const Mac& mac : {kGroupMac, Mac{}}) {
    host.Receive(Ndp({kPeer, kOursGroup}, NeighborSolicit(kOurs, mac)));
    EXPECT_EQ(NeighbourState::kIncomplete, Peer()->state);
    EXPECT_EQ(kAsk, SentNdp(host)) << "to answer it";
    host.interface().neighbours.Remove(host.interface(), *Peer());
  }
}

TEST_F(NdiscTest, AskedThenSent) {  // RFC 4861 §7.2.2
  EXPECT_EQ(DropReason::kConsumed, Send());
  host.Turn();
  const Departure ask = host.TakeSent();
  EXPECT_EQ(Ndp({kOurs, Ip6("ff02::1:ff00:2")}, NeighborSolicit(kPeer, kHostMac)).size(), ask.frame.size());
  const Mac group = {0x33, 0x33, 0xff, 0, 0, 2};
  EXPECT_TRUE(std::equal(group.begin(), group.end(), reinterpret_cast<const uint8_t*>(ask.frame.data())));
  host.Advance(2900 * kMillisecond);
  EXPECT_EQ(std::string(kAsk) + "; " + kAsk, SentNdp(host));  // §10: MAX_MULTICAST_SOLICIT 3, RETRANS_TIMER 1 s
  host.Advance(kSecond);
  EXPECT_EQ(1u, host.counted(DropReason::kNeighbourFailed));
  EXPECT_EQ(nullptr, Peer());
}

// RFC 4861 §7.2.5: what an advertisement does to the entry in each state.
TEST_F(NdiscTest, Advertisements) {
  using enum NeighbourState;
  struct Case {
    const char* name;
    NeighbourState before;
    const char* flags;
    std::optional<Mac> mac;
    NeighbourState after;
    Mac mac_after;
  };
  const std::optional<Mac> same = kPeerMac, other = kOtherMac, none;
  const Case cases[] = {
      {"INCOMPLETE, solicited", kIncomplete, "S", same, kReachable, kPeerMac},
      {"INCOMPLETE: the override flag does not matter", kIncomplete, "SO", same, kReachable, kPeerMac},
      {"INCOMPLETE, unsolicited: stale, and used at once by what waited", kIncomplete, "O", same, kDelay, kPeerMac},
      {"INCOMPLETE, no address: discarded", kIncomplete, "S", none, kIncomplete, {}},
      {"INCOMPLETE, a group's address", kIncomplete, "S", kGroupMac, kIncomplete, {}},
      {"PROBE, solicited", kProbe, "S", same, kReachable, kPeerMac},
      {"PROBE, solicited, without the option", kProbe, "S", none, kReachable, kPeerMac},
      {"PROBE, solicited, override, moved", kProbe, "SO", other, kReachable, kOtherMac},
      {"PROBE, solicited, no override, moved: ignored (I b)", kProbe, "S", other, kProbe, kPeerMac},
      {"PROBE, unsolicited", kProbe, "O", same, kProbe, kPeerMac},
      {"REACHABLE, no override, moved (I a): asked", kReachable, "", other, kProbe, kPeerMac},
      {"REACHABLE, override, moved: asked, differs from RFC 4861", kReachable, "O", other, kProbe, kPeerMac},
      {"REACHABLE, the same", kReachable, "O", same, kReachable, kPeerMac},
      {"STALE, unsolicited, the same: unchanged", kStale, "O", same, kStale, kPeerMac},
      {"STALE, moved: asked", kStale, "O", other, kProbe, kPeerMac},
      {"DELAY, moved: asked", kDelay, "O", other, kProbe, kPeerMac},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    if (Peer() != nullptr) host.interface().neighbours.Remove(host.interface(), *Peer());
    Become(c.before);
    Advertise(c.flags, c.mac);
    ASSERT_NE(nullptr, Peer());
    EXPECT_EQ(c.after, Peer()->state);
    if (c.after != kIncomplete) EXPECT_EQ(c.mac_after, Peer()->mac.bytes);
    host.Sent();
  }
}

// An entry that is made anew has nothing of the one whose place it took.
TEST_F(NdiscTest, AnAdvertisementWithoutAddressTellsNothingNew) {
  Become(NeighbourState::kReachable);
  host.interface().neighbours.Remove(host.interface(), *Peer());
  for (size_t i = 0; i < NeighbourTable::kEntries; ++i) {  // until the same entry comes up again
    Become(NeighbourState::kIncomplete);
    Advertise("SO", std::nullopt);
    EXPECT_EQ(DropReason::kNdpMalformed, host.last());
    host.interface().neighbours.Remove(host.interface(), *Peer());
    host.Sent();
  }
}

TEST_F(NdiscTest, AskedAgainByUnicastWhenItIsDoubted) {  // RFC 4861 §7.3.3
  Become(NeighbourState::kReachable);
  host.Sent();
  Advertise("O", kOtherMac);
  EXPECT_EQ(kAskUnicast, SentNdp(host));
  Advertise("SO", kOtherMac);  // the one that claims it answers as well: it is not the one we asked
  EXPECT_EQ(kPeerMac, Peer()->mac.bytes);
  host.Advance(3100 * kMillisecond);
  EXPECT_EQ(nullptr, Peer());  // the one we knew is gone; whoever has it now is found by asking the link
}

TEST_F(NdiscTest, IsRouterFollowsTheFlag) {  // RFC 4861 §7.2.5
  Become(NeighbourState::kIncomplete);
  Advertise("RS");
  EXPECT_TRUE(Peer()->is_router);
  Advertise("S");
  EXPECT_FALSE(Peer()->is_router);
  Advertise("RO", kOtherMac);
  EXPECT_FALSE(Peer()->is_router) << "another's word";
}

TEST_F(NdiscTest, AFloodOfClaimsDrivesOutNobodyWhoAnswered) {
  Become(NeighbourState::kReachable);
  for (uint32_t i = 0; i < 3 * NeighbourTable::kEntries; ++i) {
    std::array<uint8_t, 16> bytes = Ip6("fd00::5:0:0").bytes();
    bytes[14] = static_cast<uint8_t>(i >> 8);
    bytes[15] = static_cast<uint8_t>(i);
    host.Receive(Ndp({IpAddress::V6(bytes), kOurs}, NeighborSolicit(kOurs, kOtherMac)));
    host.Sent();
  }
  ASSERT_NE(nullptr, Peer());
  EXPECT_EQ(NeighbourState::kReachable, Peer()->state);
}

}  // namespace
}  // namespace weir::testing_support
