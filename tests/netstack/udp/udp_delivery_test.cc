// Which sockets a datagram goes to: RFC 768, RFC 1122 §4.1.3, RFC 1112 §7, RFC 3678 §5.1; and what is sent to groups
// and broadcast addresses.
#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "netstack/udp/udp_multicast.h"
#include "netstack/udp/udp_output.h"
#include "netstack/udp/udp_table.h"
#include "tests/support/inet_test_host.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::GroupCall;
using netstack::UdpBindOptions;
using netstack::Datagram;
using netstack::UdpSock;

constexpr uint32_t kGroup = 0xef010101;  // 239.1.1.1
constexpr uint32_t kOther = 0xef010102;
constexpr uint32_t kSecondPeer = 0x0a000003;

const char* Name(DropReason reason) { return netstack::kDropReasonNames[static_cast<size_t>(reason)]; }
IpAddress V4(uint32_t ip) { return IpAddress::V4(ip); }

class UdpDelivery : public ::testing::Test {
 protected:
  UdpDelivery() { host_.Learn(); }
  ~UdpDelivery() override {
    for (auto& sock : socks_) table().Unbind(*sock);
  }

  netstack::UdpTable& table() { return host_.inet().udp; }
  // nullptr, with error_ set, when it cannot.
  UdpSock* Bind(const Endpoint& local, const UdpBindOptions& options = {.reuse_address = true}) {
    auto sock = std::make_unique<UdpSock>(options);
    error_ = table().Bind(*sock, local);
    if (error_ != 0) return nullptr;
    socks_.push_back(std::move(sock));
    return socks_.back().get();
  }
  void Unbind(UdpSock* sock) {
    table().Unbind(*sock);
    std::erase_if(socks_, [&](const auto& s) { return s.get() == sock; });
  }
  int Call(UdpSock* sock, GroupCall call, uint32_t group, uint32_t source = 0, uint32_t interface = 0) {
    return UdpGroupCall(table(), *sock, call, V4(group), source == 0 ? IpAddress() : V4(source), interface);
  }
  void Receive(uint32_t destination, uint16_t source_port = 4000, uint32_t source = kPeerIp, size_t size = 5) {
    const Bytes udp = Udp(source_port, 7, Filler(size), {source, destination});
    host_.Receive(Ethernet({}, Ipv4({.source = source, .destination = destination, .tos = 0x2c, .ttl = 3}, udp)));
  }
  // "1.": how many datagrams wait on each socket, in the order in which they were bound. They are dropped, unless told.
  std::string Waiting(bool drop = true) {
    std::string text;
    for (auto& sock : socks_) {
      text += sock->receive_queue.empty() ? "." : std::to_string(sock->receive_queue.size());
      if (drop) sock->receive_queue.Clear();
    }
    return text;
  }
  // Returns what UdpFindRoute says; 0: sent.
  int Send(UdpSock* sock, const Endpoint& to, const netstack::UdpSendOptions& options = {}) {
    netstack::UdpRoute route;
    const int error = UdpFindRoute(table(), *sock, to, options, &route);
    if (error != 0) return error;
    runtime::Frame* frame = host_.pool().Alloc();
    const Bytes payload = Filler(5);
    std::copy(payload.begin(), payload.end(), frame->data);
    frame->len = 5;
    EXPECT_STREQ("kConsumed", Name(UdpTransmit(table(), *sock, frame, route, host_.now())));
    host_.Turn();
    return 0;
  }

  InetTestHost host_;
  std::vector<std::unique_ptr<UdpSock>> socks_;
  int error_ = 0;
};

// compute_score of Linux: connected to the peer, bound to the address, to one family's wildcard, to both.
TEST_F(UdpDelivery, UnicastGoesToTheSocketThatSaysMost) {
  struct {
    const char* name;
    Endpoint local;
    bool connected;
  } const kinds[] = {{"both families", {IpAddress(), 7}, false},
                     {"IPv4", {V4(0), 7}, false},
                     {"the address", {V4(kHostIp), 7}, false},
                     {"connected", {V4(kHostIp), 7}, true}};
  // Whatever the order in which they are bound, the last kind that is there wins.
  for (unsigned present = 1; present < 16; ++present) {
    for (bool backwards : {false, true}) {
      UdpSock* socks[4] = {};
      int best = -1;
      for (int i = 0; i < 4; ++i) {
        const int kind = backwards ? 3 - i : i;
        if ((present >> kind & 1) == 0) continue;
        socks[kind] = Bind(kinds[kind].local);
        ASSERT_NE(nullptr, socks[kind]) << kinds[kind].name;
        if (kinds[kind].connected) ASSERT_EQ(0, table().Connect(*socks[kind], {V4(kPeerIp), 4000}));
        best = std::max(best, kind);
      }
      EXPECT_EQ(socks[best], table().Lookup({V4(kHostIp), 7}, {V4(kPeerIp), 4000})) << present;
      // From another port the connected socket gets nothing.
      const unsigned others = present & 7;
      UdpSock* expected = others >= 4 ? socks[2] : others >= 2 ? socks[1] : socks[0];
      EXPECT_EQ(expected, table().Lookup({V4(kHostIp), 7}, {V4(kPeerIp), 4001})) << present;
      // An IPv6 destination is for the first kind alone.
      EXPECT_EQ(socks[0], table().Lookup({*IpAddress::Parse("fd00::1"), 7}, {*IpAddress::Parse("fd00::2"), 4000}));
      Receive(kHostIp);
      EXPECT_STREQ("kConsumed", Name(host_.last()));
      EXPECT_EQ(1u, socks[best]->receive_queue.size());
      while (!socks_.empty()) Unbind(socks_.front().get());
    }
  }
  EXPECT_EQ("", host_.Sent());
}

TEST_F(UdpDelivery, ConnectedOrNot) {
  UdpSock* sock = Bind({{}, 7});
  EXPECT_EQ(EINVAL, table().Connect(*sock, {V4(kPeerIp), 0}));
  EXPECT_EQ(EINVAL, table().Connect(*sock, {{}, 4000}));
  EXPECT_EQ(ENETUNREACH, table().Connect(*sock, {V4(0x08080808), 53}));
  EXPECT_EQ(EACCES, table().Connect(*sock, {V4(0x0a0000ff), 53}));
  EXPECT_EQ(IpAddress(), sock->local.ip);
  ASSERT_EQ(0, table().Connect(*sock, {V4(kPeerIp), 4000}));
  EXPECT_EQ(V4(kHostIp), sock->local.ip);  // RFC 1122 §4.1.3.5
  Receive(kHostIp, 4000);
  EXPECT_EQ("1", Waiting());
  Receive(kHostIp, 4001);
  EXPECT_STREQ("kUdpNoSocket", Name(host_.last()));
  Receive(kHostIp, 4000, kSecondPeer);
  EXPECT_STREQ("kUdpNoSocket", Name(host_.last()));
  ASSERT_EQ(0, table().Connect(*sock, {V4(kSecondPeer), 9}));
  Receive(kHostIp, 9, kSecondPeer);
  EXPECT_EQ("1", Waiting());
  table().Disconnect(*sock);
  EXPECT_EQ(IpAddress(), sock->local.ip);
  Receive(kHostIp, 4001);
  EXPECT_EQ("1", Waiting());
}

TEST_F(UdpDelivery, WhatBindAllows) {
  const UdpBindOptions none{}, port{.reuse_port = true}, address{.reuse_address = true},
      both{.reuse_port = true, .reuse_address = true};
  const Endpoint any{{}, 7}, any4{V4(0), 7}, host{V4(kHostIp), 7}, group{V4(kGroup), 7}, everybody{V4(0xffffffff), 7},
      net{V4(0x0a0000ff), 7}, foreign{V4(kPeerIp), 7};
  struct {
    Endpoint first;
    UdpBindOptions first_options;
    Endpoint second;
    UdpBindOptions second_options;
    int error;
  } const cases[] = {
      {any, none, host, none, EADDRINUSE},     {any, none, any4, none, EADDRINUSE},
      {any, port, any, port, 0},               {any, port, any, none, EADDRINUSE},
      {any, none, any, port, EADDRINUSE},      {any, address, any, address, 0},
      {any, address, any, port, EADDRINUSE},   {any, both, any, port, 0},
      {any, both, host, address, 0},           {host, none, group, none, 0},
      {any, none, group, none, EADDRINUSE},    {any4, address, group, address, 0},
      {host, none, everybody, none, 0},        {host, none, net, none, 0},
      {host, none, foreign, none, EADDRNOTAVAIL},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    const auto& c = cases[i];
    ASSERT_NE(nullptr, Bind(c.first, c.first_options)) << i;
    Bind(c.second, c.second_options);
    EXPECT_EQ(c.error, error_) << i;
    while (!socks_.empty()) Unbind(socks_.front().get());
  }
}

// Sockets that share a port: each flow has one of them, always the same, and keeps it when others come or go.
TEST_F(UdpDelivery, FlowsAreSpread) {
  constexpr int kFlows = 2000, kSocks = 5;
  for (int i = 0; i < kSocks; ++i) ASSERT_NE(nullptr, Bind({{}, 7}, {.reuse_port = true}));
  const auto owner = [&](int flow) {
    const IpAddress peer = V4(kPeerIp + static_cast<uint32_t>(flow) % 7);
    return table().Lookup({V4(kHostIp), 7}, {peer, static_cast<uint16_t>(flow)});
  };
  std::vector<UdpSock*> before;
  std::map<UdpSock*, int> share;
  for (int flow = 0; flow < kFlows; ++flow) {
    before.push_back(owner(flow));
    ++share[before.back()];
    EXPECT_EQ(before.back(), owner(flow));
  }
  ASSERT_EQ(size_t{kSocks}, share.size());
  for (const auto& [sock, flows] : share) {
    EXPECT_LT(kFlows / kSocks / 2, flows);
    EXPECT_GT(kFlows / kSocks * 2, flows);
  }
  UdpSock* gone = socks_[2].get();
  Unbind(gone);
  for (int flow = 0; flow < kFlows; ++flow) {
    if (before[static_cast<size_t>(flow)] != gone) EXPECT_EQ(before[static_cast<size_t>(flow)], owner(flow));
  }
  // One that is connected has its flow alone.
  UdpSock* connected = Bind({{}, 7}, {.reuse_port = true});
  ASSERT_EQ(0, table().Connect(*connected, {V4(kPeerIp), 4000}));
  Receive(kHostIp, 4000);
  EXPECT_EQ("....1", Waiting());
}

// RFC 1112 §7.2: every member gets it; here as references to the frame that came in.
TEST_F(UdpDelivery, MembersShareTheFrame) {
  for (int i = 0; i < 4; ++i) Bind({{}, 7});
  Bind({{}, 8});
  for (int i : {0, 2, 3, 4}) EXPECT_EQ(0, Call(socks_[static_cast<size_t>(i)].get(), GroupCall::kJoin, kGroup));
  const uint32_t free = host_.pool().free_count();
  Receive(kGroup);
  EXPECT_STREQ("kConsumed", Name(host_.last()));
  EXPECT_EQ(free - 1, host_.pool().free_count()) << "one frame for all";
  EXPECT_EQ(0u, host_.inet().ip.copied_bytes);
  EXPECT_EQ("1.11.", Waiting(/*drop=*/false));
  std::set<const void*> places;
  std::vector<Datagram> datagrams;
  for (int i : {0, 2, 3}) datagrams.push_back(socks_[static_cast<size_t>(i)]->receive_queue.Pop());
  for (const Datagram& datagram : datagrams) {
    places.insert(datagram.data.buffers().front().iov_base);
    EXPECT_EQ(3, datagram.data.front_frame()->refs);
    EXPECT_EQ(V4(kGroup), datagram.local.ip);
    EXPECT_EQ(1u, datagram.interface);
    EXPECT_EQ(3, datagram.ttl);
    EXPECT_EQ(0x2c, datagram.tos);
    EXPECT_EQ(host_.now(), datagram.received_ns);
    Bytes bytes(5);
    datagram.data.CopyTo(bytes);
    EXPECT_EQ(Filler(5), bytes);
  }
  EXPECT_EQ(1u, places.size());
  datagrams.clear();
  EXPECT_EQ(free, host_.pool().free_count());
  // Nobody's port, nobody's group, nobody any more.
  Receive(kOther);
  EXPECT_STREQ("kIpNotLocal", Name(host_.last()));
  for (int i : {0, 2, 3}) EXPECT_EQ(0, Call(socks_[static_cast<size_t>(i)].get(), GroupCall::kLeave, kGroup));
  Receive(kGroup);
  EXPECT_STREQ("kUdpNotMember", Name(host_.last()));
  EXPECT_EQ(0, Call(socks_[4].get(), GroupCall::kLeave, kGroup));
  Receive(kGroup);
  EXPECT_STREQ("kIpNotLocal", Name(host_.last()));
  EXPECT_EQ("", host_.Sent()) << "RFC 1122 §3.2.2: no ICMP error about multicast";
}

// Each socket's own filter holds for it (RFC 3376 §3.2), whatever the interface takes for all of them.
TEST_F(UdpDelivery, SourceFilters) {
  UdpSock* all = Bind({{}, 7});
  UdpSock* but_one = Bind({{}, 7});
  UdpSock* only_one = Bind({{}, 7});
  EXPECT_EQ(0, Call(all, GroupCall::kJoin, kGroup));
  EXPECT_EQ(0, Call(but_one, GroupCall::kJoin, kGroup));
  EXPECT_EQ(0, Call(but_one, GroupCall::kBlockSource, kGroup, kPeerIp));
  EXPECT_EQ(0, Call(only_one, GroupCall::kJoinSource, kGroup, kPeerIp));
  Receive(kGroup, 4000, kPeerIp);
  EXPECT_EQ("1.1", Waiting());
  Receive(kGroup, 4000, kSecondPeer);
  EXPECT_EQ("11.", Waiting());
  EXPECT_EQ(0, Call(but_one, GroupCall::kUnblockSource, kGroup, kPeerIp));
  EXPECT_EQ(0, Call(only_one, GroupCall::kJoinSource, kGroup, kSecondPeer));
  EXPECT_EQ(0, Call(only_one, GroupCall::kLeaveSource, kGroup, kPeerIp));
  Receive(kGroup, 4000, kPeerIp);
  EXPECT_EQ("11.", Waiting());
  Receive(kGroup, 4000, kSecondPeer);
  EXPECT_EQ("111", Waiting());
  EXPECT_EQ(0, Call(only_one, GroupCall::kLeaveSource, kGroup, kSecondPeer));  // the last one: RFC 3376 §3.1
  EXPECT_EQ(EADDRNOTAVAIL, Call(only_one, GroupCall::kLeave, kGroup));
  Receive(kGroup, 4000, kSecondPeer);
  EXPECT_EQ("11.", Waiting());
}

// A socket that is connected, or bound to a group or another address, gets of a group what fits.
TEST_F(UdpDelivery, GroupsAndAddresses) {
  Bind({V4(kGroup), 7});
  Bind({V4(kHostIp), 7});
  UdpSock* connected = Bind({V4(0), 7});
  Bind({V4(0), 7});
  Bind({{}, 7});
  for (auto& sock : socks_) EXPECT_EQ(0, Call(sock.get(), GroupCall::kJoin, kGroup));
  for (auto& sock : socks_) EXPECT_EQ(0, Call(sock.get(), GroupCall::kJoin, kOther));
  // Connecting takes an address of ours (as on Linux); what is sent to the group is then not for it.
  EXPECT_EQ(0, table().Connect(*connected, {V4(kPeerIp), 4000}));
  Receive(kGroup);
  EXPECT_EQ("1..11", Waiting());
  Receive(kOther);
  EXPECT_EQ("...11", Waiting());
  Receive(kHostIp);
  EXPECT_EQ("..1..", Waiting());
}

TEST_F(UdpDelivery, BroadcastGoesToAll) {
  Bind({{}, 7});
  Bind({V4(0), 7});
  Bind({V4(kHostIp), 7});
  Bind({V4(0xffffffff), 7});
  Bind({V4(0x0a0000ff), 7});
  Receive(0xffffffff);
  EXPECT_EQ("11.1.", Waiting());
  Receive(0x0a0000ff);
  EXPECT_EQ("11..1", Waiting());
  while (!socks_.empty()) Unbind(socks_.front().get());
  Receive(0xffffffff);
  EXPECT_STREQ("kUdpNotMember", Name(host_.last()));
  EXPECT_EQ("", host_.Sent());
}

// A member that does not read loses what it has no room for, and only it.
TEST_F(UdpDelivery, FullQueues) {
  UdpSock* slow = Bind({{}, 7}, {.reuse_address = true, .receive_queue = 4});
  UdpSock* quick = Bind({{}, 7});
  EXPECT_EQ(0, Call(slow, GroupCall::kJoin, kGroup));
  EXPECT_EQ(0, Call(quick, GroupCall::kJoin, kGroup));
  for (int i = 0; i < 10; ++i) {
    Receive(kGroup);
    EXPECT_STREQ("kConsumed", Name(host_.last()));
    quick->receive_queue.Pop();
  }
  EXPECT_EQ(4u, slow->receive_queue.size());
  EXPECT_EQ(6u, slow->dropped);
  EXPECT_EQ(0u, quick->dropped);
  Unbind(quick);
  Receive(kGroup);
  EXPECT_STREQ("kUdpQueueFull", Name(host_.last()));
}

// RFC 3678 §5.1, and what Linux answers.
TEST_F(UdpDelivery, ErrorsOfGroupCalls) {
  UdpSock* sock = Bind({{}, 7});
  using enum GroupCall;
  struct {
    GroupCall call;
    uint32_t group, source;
    uint32_t interface;
    int error;
  } const steps[] = {
      {kJoin, kHostIp, 0, 0, EINVAL},
      {kJoin, kGroup, 0, 9, ENODEV},
      {kLeave, kGroup, 0, 0, EADDRNOTAVAIL},
      {kBlockSource, kGroup, kPeerIp, 0, EINVAL},
      {kLeaveSource, kGroup, kPeerIp, 0, EINVAL},
      {kJoin, kGroup, 0, 1, 0},
      {kJoin, kGroup, 0, 0, EADDRINUSE},
      {kUnblockSource, kGroup, kPeerIp, 0, EADDRNOTAVAIL},
      {kBlockSource, kGroup, kPeerIp, 0, 0},
      {kBlockSource, kGroup, kPeerIp, 0, EADDRNOTAVAIL},
      {kJoinSource, kGroup, kPeerIp, 0, EINVAL},
      {kLeaveSource, kGroup, kPeerIp, 0, EINVAL},
      {kUnblockSource, kGroup, kPeerIp, 0, 0},
      {kLeave, kGroup, 0, 1, 0},
      {kLeave, kGroup, 0, 1, EADDRNOTAVAIL},
      {kJoinSource, kGroup, kPeerIp, 0, 0},
      {kJoinSource, kGroup, kPeerIp, 0, EADDRNOTAVAIL},
      {kJoin, kGroup, 0, 0, EADDRINUSE},
      {kBlockSource, kGroup, kSecondPeer, 0, EINVAL},
      {kLeaveSource, kGroup, kSecondPeer, 0, EADDRNOTAVAIL},
      {kLeaveSource, kGroup, kPeerIp, 0, 0},
      {kLeave, kGroup, 0, 0, EADDRNOTAVAIL},
  };
  for (size_t i = 0; i < std::size(steps); ++i) {
    const auto& s = steps[i];
    EXPECT_EQ(s.error, Call(sock, s.call, s.group, s.source, s.interface)) << "step " << i;
  }
  EXPECT_EQ(EINVAL, UdpGroupCall(table(), *sock, kJoinSource, V4(kGroup), *IpAddress::Parse("fd00::2"), 0));
  for (uint32_t i = 0; i < netstack::MulticastFilter::kMaxSources4; ++i) {
    EXPECT_EQ(0, Call(sock, kJoinSource, kGroup, kPeerIp + i));
  }
  EXPECT_EQ(ENOBUFS, Call(sock, kJoinSource, kGroup, kPeerIp + 99));
  for (uint32_t i = 1; i < UdpSock::kMaxMemberships; ++i) EXPECT_EQ(0, Call(sock, kJoin, kGroup + i));
  EXPECT_EQ(ENOBUFS, Call(sock, kJoin, kGroup + 99));
  // And of the interface.
  size_t joined = UdpSock::kMaxMemberships;
  for (int n = 0; n < 20; ++n) {
    UdpSock* more = Bind({{}, 7});
    for (uint32_t i = 0; i < UdpSock::kMaxMemberships; ++i) {
      joined += Call(more, kJoin, 0xef020000 + static_cast<uint32_t>(n) * 256 + i) == 0;
    }
  }
  EXPECT_EQ(netstack::GroupTable::kMaxGroups, joined);
  Unbind(sock);
  EXPECT_EQ(0, Call(socks_.back().get(), kJoin, kOther)) << "there is room again";
}

// IP_MULTICAST_LOOP and IP_MULTICAST_TTL: members on this host hear what is sent to the group, the sender's socket too.
TEST_F(UdpDelivery, WhatIsSentToAGroup) {
  UdpSock* sender = Bind({{}, 7});
  UdpSock* member = Bind({{}, 7});
  UdpSock* other_port = Bind({{}, 8});
  for (UdpSock* sock : {sender, member, other_port}) EXPECT_EQ(0, Call(sock, GroupCall::kJoin, kGroup));
  struct {
    const char* name;
    uint8_t ttl;
    bool loop;
    std::optional<uint8_t> own_ttl;
    const char* waiting;
    int sent_ttl;  // 0: nothing is sent
  } const cases[] = {{"as it is", 1, true, {}, "11.", 1},
                     {"no loop", 1, false, {}, "...", 1},
                     {"farther", 9, true, {}, "11.", 9},
                     {"this host alone", 0, true, {}, "11.", 0},
                     {"nobody at all", 0, false, {}, "...", 0},
                     {"this once", 1, true, uint8_t{200}, "11.", 200}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    sender->multicast_ttl = c.ttl;
    sender->multicast_loop = c.loop;
    const uint32_t free = host_.pool().free_count();
    EXPECT_EQ(0, Send(sender, {V4(kGroup), 7}, {.ttl = c.own_ttl}));
    if (!sender->receive_queue.empty()) {
      EXPECT_EQ(free - 1, host_.pool().free_count()) << "one frame for all";
      EXPECT_EQ(c.waiting, Waiting(/*drop=*/false));
      const Datagram datagram = sender->receive_queue.Pop();
      EXPECT_EQ("10.0.0.1:7", datagram.peer.ToString());
      Bytes bytes(5);
      datagram.data.CopyTo(bytes);
      EXPECT_EQ(Filler(5), bytes);
      Waiting();
    } else {
      EXPECT_EQ(c.waiting, Waiting());
    }
    ASSERT_EQ(c.sent_ttl != 0, host_.has_sent());
    if (c.sent_ttl == 0) continue;
    const Bytes frame = host_.TakeSent().frame;
    EXPECT_EQ(Ethernet({.destination = {1, 0, 0x5e, 1, 1, 1}, .source = kHostMac}, View(frame).subspan(14)), frame);
    EXPECT_EQ(c.sent_ttl, std::to_integer<int>(frame[14 + 8]));
    EXPECT_EQ(kGroup, Get32(frame, 14 + 16));
  }
}

TEST_F(UdpDelivery, WhatIsSentToABroadcastAddress) {
  UdpSock* sock = Bind({{}, 7});
  for (uint32_t to : {0xffffffffu, 0x0a0000ffu}) {
    EXPECT_EQ(EACCES, Send(sock, {V4(to), 7}));
    EXPECT_EQ("", host_.Sent());
    sock->broadcast = true;  // RFC 1122 §3.3.6: the program must mean it
    EXPECT_EQ(0, Send(sock, {V4(to), 7}));
    EXPECT_EQ("1", Waiting());
    ASSERT_TRUE(host_.has_sent());
    const Bytes frame = host_.TakeSent().frame;
    EXPECT_EQ(Ethernet({.destination = kBroadcast, .source = kHostMac}, View(frame).subspan(14)), frame);
    sock->broadcast = false;
  }
}

TEST_F(UdpDelivery, OptionsOfADatagram) {
  UdpSock* sock = Bind({{}, 7});
  const Endpoint peer{V4(kPeerIp), 4000};
  EXPECT_EQ(EINVAL, Send(sock, peer, {.source = V4(kPeerIp)}));
  EXPECT_EQ(EINVAL, Send(sock, peer, {.source = *IpAddress::Parse("fd00::1")}));
  EXPECT_EQ(EINVAL, Send(sock, peer, {.ttl = 0}));
  EXPECT_EQ(EINVAL, Send(sock, {V4(kPeerIp), 0}));
  struct {
    uint8_t ttl, tos;
    netstack::UdpSendOptions options;
    int sent_ttl, sent_tos;
  } const cases[] = {{0, 0, {}, 64, 0},
                     {9, 0x10, {}, 9, 0x10},
                     {9, 0x10, {.ttl = 3, .tos = 0}, 3, 0},
                     {0, 0, {.tos = 0xb8, .source = V4(kHostIp)}, 64, 0xb8}};
  for (const auto& c : cases) {
    sock->ttl = c.ttl;
    sock->tos = c.tos;
    EXPECT_EQ(0, Send(sock, peer, c.options));
    ASSERT_TRUE(host_.has_sent());
    const Bytes frame = host_.TakeSent().frame;
    EXPECT_EQ(c.sent_ttl, std::to_integer<int>(frame[14 + 8]));
    EXPECT_EQ(c.sent_tos, std::to_integer<int>(frame[14 + 1]));
  }
}

}  // namespace
}  // namespace weir::testing_support
