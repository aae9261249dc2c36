// Shards of one host, in memory: whichever of them a frame comes to, the one whose it is gets it, in order, and what is
// said to the sender is said once.
#include "netstack/link/hand_over.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "netstack/ip/ip_config.h"
#include "netstack/ip/neighbour.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "netstack/udp/udp_output.h"
#include "netstack/udp/udp_table.h"
#include "tests/support/inet_test_host.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::FlowShards;
using netstack::FrameExchange;
using netstack::HandOver;
using netstack::PortSpace;
using netstack::UdpSock;

constexpr runtime::SipKey kKey{1, 2};
constexpr uint16_t kPort = 7;

Endpoint Peer(uint16_t port) { return {IpAddress::V4(kPeerIp), port}; }

Bytes Datagram(uint16_t from, View payload, uint16_t to = kPort) { return Ethernet({}, Ipv4({}, Udp(from, to, payload))); }

bool IsOnePortUnreachable(const std::string& sent) {
  return sent.starts_with("icmp port-unreachable 10.0.0.1 > 10.0.0.2") && sent.find(';') == std::string::npos;
}

// One shard: what it has of the others outlives its stack, as in a host.
struct Shard {
  Shard(FlowShards& flows, FrameExchange& exchange, int self, HandOver::WakeFn wake, void* context)
      : peers(flows, exchange, self, wake, context) {
    host.Learn();
    peers.Connect(host.inet());
    host.inet().SetPeers(&peers);
  }
  ~Shard() {
    for (auto& sock : socks) host.inet().udp.Unbind(*sock);
  }

  UdpSock& Bind(const Endpoint& local = {{}, kPort}) {
    socks.push_back(std::make_unique<UdpSock>());
    EXPECT_EQ(0, host.inet().udp.Bind(*socks.back(), local));
    return *socks.back();
  }
  // What waits on its sockets, as text.
  std::string Take() {
    std::string text;
    for (auto& sock : socks) {
      while (!sock->receive_queue.empty()) {
        const netstack::Datagram datagram = sock->receive_queue.Pop();
        std::string one(datagram.data.size(), 0);
        datagram.data.CopyTo(std::as_writable_bytes(std::span(one)));
        text += (text.empty() ? "" : " ") + one;
      }
    }
    return text;
  }

  HandOver peers;
  InetTestHost host;
  std::vector<std::unique_ptr<UdpSock>> socks;
};

class Shards : public ::testing::Test {
 protected:
  explicit Shards(int count = 2) : flows_(kKey, count), exchange_(count) {
    for (int i = 0; i < count; ++i) shards_.push_back(std::make_unique<Shard>(flows_, exchange_, i, &Wake, this));
  }
  ~Shards() override { Settle(); }

  static void Wake(void* self, int, int) { ++static_cast<Shards*>(self)->wakes_; }
  // Until nobody has anything for another.
  void Settle() {
    for (int round = 0; round < 8; ++round) {
      for (auto& shard : shards_) {
        while (shard->peers.RxReady()) shard->peers.Receive(shard->host.now());
        shard->peers.Receive(shard->host.now());
        shard->host.Turn();
      }
    }
  }
  void Receive(int shard, const Bytes& frame) {
    At(shard).host.Receive(frame);
    Settle();
  }
  Shard& At(int shard) { return *shards_[static_cast<size_t>(shard)]; }
  uint64_t Counted(DropReason reason) {
    uint64_t sum = 0;
    for (auto& shard : shards_) sum += shard->host.counted(reason);
    return sum;
  }
  // What all shards sent.
  std::string Sent() {
    std::string text;
    for (auto& shard : shards_) {
      const std::string sent = shard->host.Sent();
      if (!sent.empty()) text += (text.empty() ? "" : "; ") + sent;
    }
    return text;
  }
  // A port of the peer from which flows to `local_port` have their home on `shard`.
  uint16_t PeerPort(int shard, uint16_t local_port = kPort, uint16_t from = 4000) {
    while (flows_.Home({IpAddress::V4(kHostIp), local_port}, Peer(from)) != shard) ++from;
    return from;
  }

  FlowShards flows_;
  FrameExchange exchange_;
  int wakes_ = 0;
  std::vector<std::unique_ptr<Shard>> shards_;
};

TEST_F(Shards, DatagramsGoToTheShardOfTheirFlow) {
  At(0).Bind();
  At(1).Bind();
  for (const int owner : {0, 1}) {
    for (const int arrival : {0, 1}) {
      Receive(arrival, Datagram(PeerPort(owner), Text("a")));
      EXPECT_EQ(owner == 0 ? "a" : "", At(0).Take());
      EXPECT_EQ(owner == 1 ? "a" : "", At(1).Take());
    }
  }
  EXPECT_EQ(2u, Counted(DropReason::kHandedOver));
  EXPECT_EQ(2, wakes_);
  EXPECT_EQ("", Sent());
}

TEST_F(Shards, AFlowStaysInOrderAndABurstWakesOnce) {
  At(0).Bind();
  At(1).Bind();
  const uint16_t port = PeerPort(1);
  std::vector<Bytes> burst;
  std::string expected;
  for (char c = 'a'; c <= 'z'; ++c) {
    burst.push_back(Datagram(port, Text(std::string(1, c))));
    expected += (expected.empty() ? "" : " ") + std::string(1, c);
  }
  At(0).host.Receive(burst);
  EXPECT_EQ(1, wakes_);
  Settle();
  EXPECT_EQ(expected, At(1).Take());
}

TEST_F(Shards, WhatIsUnderWayIsBounded) {
  At(1).Bind();
  const uint16_t port = PeerPort(1);
  const uint32_t room = FrameExchange::RingSize(2);
  // Fewer frames than the ring has room for would be another bound.
  uint32_t sent = 0;
  while (At(0).host.pool().free_count() > 0 && sent < room + 10) {
    At(0).host.Receive(Datagram(port, Text("x")));
    ++sent;
  }
  const uint64_t given = At(0).host.counted(DropReason::kHandedOver);
  EXPECT_LE(given, room);
  EXPECT_EQ(sent, given + At(0).host.counted(DropReason::kHandOverFull) + At(0).host.lost_for_frames());
  EXPECT_EQ(At(0).host.pool().outstanding(), given);
  size_t got = 0;
  while (At(1).peers.RxReady()) {
    At(1).peers.Receive(At(1).host.now());
    At(1).host.Turn();
    const std::string text = At(1).Take();
    got += (text.size() + 1) / 2;
  }
  EXPECT_EQ(given, got);
  Settle();  // and the frames come home
  EXPECT_EQ(0u, At(0).host.pool().outstanding());
  Receive(0, Datagram(port, Text("y")));
  EXPECT_EQ("y", At(1).Take());
}

TEST(HandOverRing, IsFullAtItsSizeAndTakesPacketsWhole) {
  netstack::HandOverRing ring(4);
  std::array<runtime::Frame, 4> frames;
  const auto packet = [&](size_t count) {
    std::vector<netstack::HandedFrame> pieces(count);
    for (size_t i = 0; i < count; ++i) pieces[i] = {.frame = &frames[i], .continued = i + 1 < count};
    return pieces;
  };
  EXPECT_TRUE(ring.Push(packet(3)));
  EXPECT_FALSE(ring.Push(packet(2)));
  EXPECT_TRUE(ring.Push(packet(1)));
  EXPECT_FALSE(ring.Push(packet(1)));
  EXPECT_EQ(4u, ring.available());
  ring.Release(3);
  EXPECT_FALSE(ring.Push(packet(1)));  // not taken back yet
  size_t back = 0;
  ring.Reclaim([&](const netstack::HandedFrame&) { ++back; });
  EXPECT_EQ(3u, back);
  EXPECT_TRUE(ring.Push(packet(3)));
  EXPECT_EQ(4u, ring.available());
  ring.ReclaimAll([&](const netstack::HandedFrame&) { ++back; });
  EXPECT_EQ(7u, back);
}

TEST_F(Shards, ASocketOnOneShardGetsTheDatagramsOfAllFlows) {
  for (const int owner : {0, 1}) {
    At(owner).Bind({{}, 9});
    for (const int home : {0, 1}) {
      for (const int arrival : {0, 1}) {
        Receive(arrival, Datagram(PeerPort(home, 9), Text("b"), 9));
        EXPECT_EQ("b", At(owner).Take()) << home << arrival;
      }
    }
    At(owner).host.inet().udp.Unbind(*At(owner).socks.back());
    At(owner).socks.pop_back();
  }
  EXPECT_EQ("", Sent());
}

TEST_F(Shards, WhatNoSocketIsForIsAnsweredOnce) {
  for (const int home : {0, 1}) {
    for (const int arrival : {0, 1}) {
      Receive(arrival, Datagram(PeerPort(home, 9), Text("c"), 9));
      EXPECT_TRUE(IsOnePortUnreachable(Sent()));
    }
  }
  EXPECT_EQ(4u, Counted(DropReason::kUdpNoSocket));
}

// Both use the port, but the socket that the datagram is for is not on the shard that is its home.
TEST_F(Shards, AStrayIsPassedOn) {
  const uint16_t port = PeerPort(1);
  At(0).Bind();
  ASSERT_EQ(0, At(0).host.inet().udp.Connect(*At(0).socks.back(), Peer(port)));
  At(1).Bind();
  ASSERT_EQ(0, At(1).host.inet().udp.Connect(*At(1).socks.back(), Peer(PeerPort(0))));
  for (const int arrival : {0, 1}) {
    Receive(arrival, Datagram(port, Text("d")));
    EXPECT_EQ("d", At(0).Take());
    Receive(arrival, Datagram(PeerPort(0), Text("e")));
    EXPECT_EQ("e", At(1).Take());
  }
  // For neither: each had it, and it is answered once.
  uint16_t third = port;
  while (third == port || third == PeerPort(0)) ++third;
  Receive(0, Datagram(third, Text("f")));
  EXPECT_TRUE(IsOnePortUnreachable(Sent()));
}

TEST_F(Shards, EchoIsAnsweredOnceWhateverItsSize) {
  for (const int arrival : {0, 1}) {
    Receive(arrival, Ethernet({}, Ipv4({.protocol = 1}, IcmpEcho(8, 1, 2, Filler(56)))));
    EXPECT_EQ("icmp echo-reply 10.0.0.1 > 10.0.0.2 id 1 seq 2 56 bytes", Sent());
    const Bytes echo = IcmpEcho(8, 1, 3, Filler(2000));
    const size_t half = 1000 / 8 * 8;
    constexpr uint16_t kMore = 0x2000;
    Receive(arrival, Ethernet({}, Ipv4({.protocol = 1, .fragment = kMore}, View(echo).first(half))));
    Receive(1 - arrival, Ethernet({}, Ipv4({.protocol = 1, .fragment = half / 8}, View(echo).subspan(half))));
    // In two fragments.
    size_t answers = 0;
    for (auto& shard : shards_) {
      for (; shard->host.has_sent(); ++answers) shard->host.TakeSent();
    }
    EXPECT_EQ(2u, answers);
  }
}

TEST_F(Shards, ADatagramInFragmentsGoesToItsFlow) {
  At(0).Bind();
  At(1).Bind();
  for (const int owner : {0, 1}) {
    const Bytes udp = Udp(PeerPort(owner), kPort, Text("in two pieces that come to different queues"));
    constexpr uint16_t kMore = 0x2000;
    const auto id = static_cast<uint16_t>(100 + owner);
    Receive(0, Ethernet({}, Ipv4({.id = id, .fragment = kMore}, View(udp).first(24))));
    Receive(1, Ethernet({}, Ipv4({.id = id, .fragment = 3}, View(udp).subspan(24))));
    EXPECT_EQ("in two pieces that come to different queues", At(owner).Take());
    EXPECT_EQ("", At(1 - owner).Take());
  }
  EXPECT_EQ(2u, Counted(DropReason::kOtherShard));
}

TEST_F(Shards, APacketInSeveralFramesGoesWhole) {
  constexpr uint16_t kMore = 0x2000;
  At(0).Bind();
  At(1).Bind();
  const Bytes payload = Filler(5000), too_long = Filler(15000);
  const std::string text(reinterpret_cast<const char*>(payload.data()), payload.size());
  uint64_t refused = 0;
  for (const int owner : {0, 1}) {
    for (const int arrival : {0, 1}) {
      Receive(arrival, Datagram(PeerPort(owner), payload));
      EXPECT_EQ(text, At(owner).Take());
      Receive(arrival, Datagram(PeerPort(owner), too_long));
      EXPECT_EQ(++refused, Counted(DropReason::kEthernetTooLong));
      // The same in fragments, which come to both.
      const Bytes udp = Udp(PeerPort(owner), kPort, payload);
      const auto id = static_cast<uint16_t>(100 + 2 * owner + arrival);
      Receive(arrival, Ethernet({}, Ipv4({.id = id, .fragment = kMore}, View(udp).first(4000))));
      Receive(arrival, Ethernet({}, Ipv4({.id = id, .fragment = 500}, View(udp).subspan(4000))));
      EXPECT_EQ(text, At(owner).Take());
      EXPECT_EQ("", At(1 - owner).Take());
      Receive(arrival, Ethernet({}, Ipv4({.id = id, .fragment = kMore}, too_long)));
      EXPECT_EQ(refused += 2, Counted(DropReason::kEthernetTooLong));
    }
  }
  for (auto& shard : shards_) EXPECT_EQ(0u, shard->host.pool().outstanding());
}

TEST_F(Shards, ArpIsAnsweredOnceAndAnswersReachWhoAsked) {
  for (const int arrival : {0, 1}) {
    Receive(arrival, Ethernet({.type = 0x0806}, Arp({})));
    EXPECT_EQ("arp 10.0.0.1 is-at 020000000001", Sent());
  }
  // Shard 1 asks for another neighbour, and the answer comes to shard 0's queue.
  constexpr uint32_t kThird = 0x0a000003;
  UdpSock& sock = At(1).Bind();
  ASSERT_EQ(DropReason::kConsumed,
            UdpSendmsg(At(1).host.inet().udp, sock, std::span<const iovec>(), {IpAddress::V4(kThird), 9}, At(1).host.now()));
  At(1).host.Turn();
  EXPECT_EQ("arp who-has 10.0.0.3 tell 10.0.0.1", At(1).host.Sent());
  const Mac third = {2, 0, 0, 0, 0, 3};
  Receive(0, Ethernet({.source = third, .type = 0x0806}, Arp({.operation = 2, .sender_mac = third, .sender_ip = kThird})));
  EXPECT_EQ("udp 10.0.0.1:7 > 10.0.0.3:9 0 bytes", At(1).host.Sent());
  EXPECT_EQ("", At(0).host.Sent());
}

TEST_F(Shards, AnIcmpErrorGoesToTheFlowThatItQuotes) {
  for (const int owner : {0, 1}) {
    UdpSock& sock = At(owner).Bind({{}, 0});  // a port of its own
    ASSERT_EQ(0, At(owner).host.inet().udp.Connect(sock, Peer(9)));
    const Bytes quoted = Ipv4({.source = kHostIp, .destination = kPeerIp}, Udp(sock.local.port, 9, {}, {kHostIp, kPeerIp}));
    Bytes icmp = Bytes(8);
    icmp[0] = std::byte{3};
    icmp[1] = std::byte{3};
    Append(icmp, quoted);
    Put16(icmp, 2, static_cast<uint16_t>(~NaiveSum(icmp)));
    Receive(1 - owner, Ethernet({}, Ipv4({.protocol = 1}, icmp)));
    EXPECT_EQ(ECONNREFUSED, sock.receive_queue.error);
  }
}

TEST_F(Shards, AnEchoReplyGoesToWhoSentTheRequest) {
  for (const int owner : {0, 1}) {
    UdpSock sock;
    ASSERT_EQ(0, At(owner).host.inet().ping.Bind(sock, {{}, 0}));
    const uint16_t id = sock.local.port;
    Receive(1 - owner, Ethernet({}, Ipv4({.protocol = 1}, IcmpEcho(0, id, 1, Filler(56)))));
    EXPECT_FALSE(sock.receive_queue.empty());
    EXPECT_TRUE(flows_.Users(PortSpace::kUdp, id) == 0);  // identifiers are no ports
    At(owner).host.inet().ping.Unbind(sock);
  }
}

TEST_F(Shards, ConnectionsComeBackToTheShardThatOpenedThem) {
  for (const int shard : {0, 1}) {
    netstack::TcpContext& tcp = At(shard).host.inet().tcp;
    for (uint16_t n = 0; n < 50; ++n) {
      int error = 0;
      netstack::TcpSock* sock = TcpConnect(tcp, Peer(static_cast<uint16_t>(80 + n)), At(shard).host.now(), &error);
      ASSERT_NE(nullptr, sock);
      EXPECT_TRUE(At(shard).peers.Owns(PortSpace::kTcp, sock->local, sock->remote));
    }
  }
}

// Only one shard listens; whichever the home of the flow is, it gets the SYN, and a segment for no port is reset once.
TEST_F(Shards, AListenerOnOneShard) {
  netstack::TcpListenSock listener;
  ASSERT_EQ(0, TcpListen(At(1).host.inet().tcp, listener, {{}, 80}, 16));
  for (const int home : {0, 1}) {
    Receive(0, Ethernet({}, Ipv4({.protocol = 6}, Tcp({.source_port = PeerPort(home, 80), .flags = 0x02}, {}))));
    ASSERT_TRUE(At(1).host.has_sent()) << home;
    constexpr auto kSynAck = std::byte{0x12};
    EXPECT_EQ(kSynAck, Parse(At(1).host.TakeSent().frame).transport_bytes()[13]);
    EXPECT_FALSE(At(0).host.has_sent());
  }
  TcpUnlisten(At(1).host.inet().tcp, listener, At(1).host.now());
  Settle();
  Sent();
  for (const int home : {0, 1}) {
    Receive(0, Ethernet({}, Ipv4({.protocol = 6},
                                 Tcp({.source_port = PeerPort(home, 81), .destination_port = 81, .flags = 0x02}, {}))));
    EXPECT_EQ(home == 0, At(0).host.has_sent());
    EXPECT_EQ(home == 1, At(1).host.has_sent());
    Sent();
  }
}

TEST_F(Shards, AShardWithoutAQueueSendsThroughAnother) {
  UdpSock& sock = At(1).Bind();
  const std::string text = "out";
  const iovec data{const_cast<char*>(text.data()), text.size()};
  const auto send = [&] {
    return UdpSendmsg(At(1).host.inet().udp, sock, {&data, 1}, Peer(9), At(1).host.now());
  };
  ASSERT_EQ(DropReason::kConsumed, send());
  At(1).peers.Transmit(At(1).host.interface(), 0);
  EXPECT_TRUE(At(1).host.interface().device.tx_empty());
  Settle();
  EXPECT_EQ("udp 10.0.0.1:7 > 10.0.0.2:9 3 bytes", At(0).host.Sent());
  EXPECT_EQ(0u, At(1).host.pool().outstanding());
  EXPECT_EQ(1u, At(0).peers.counters().sent_for);
}

TEST_F(Shards, ConfigurationIsFollowed) {
  netstack::IpContext& first = At(0).host.inet().ip;
  netstack::IpContext& second = At(1).host.inet().ip;
  const uint32_t version = first.config_version();
  const IpPrefix added{IpAddress::V4(0x0a010001), 16};
  ASSERT_TRUE(first.AddAddress(At(0).host.interface(), {added}));
  ASSERT_TRUE(first.routes.Add({.prefix = {IpAddress::V4(0), 0}, .out = &At(0).host.interface(),
                                .gateway = IpAddress::V4(kPeerIp), .metric = 5}));
  At(0).host.interface().hop_limit = 17;
  EXPECT_NE(version, first.config_version());
  FollowIpConfig(second, ReadIpConfig(first));
  EXPECT_TRUE(second.IsLocal(added.ip));
  ASSERT_NE(nullptr, second.routes.Lookup(IpAddress::V4(0x08080808)));
  EXPECT_EQ(&At(1).host.interface(), second.routes.Lookup(IpAddress::V4(0x08080808))->out);
  EXPECT_EQ(17, At(1).host.interface().hop_limit);
  EXPECT_EQ(first.routes.routes().size(), second.routes.routes().size());
  first.RemoveAddress(At(0).host.interface(), IpAddress::V4(kHostIp));
  FollowIpConfig(second, ReadIpConfig(first));
  ASSERT_EQ(1u, At(1).host.interface().addresses().size());
  EXPECT_EQ(added, At(1).host.interface().addresses()[0].prefix);
  EXPECT_EQ(first.routes.routes().size(), second.routes.routes().size());
}

// On threads of their own: one gets everything, the other has the socket. For --config=tsan too.
TEST(HandOverThreads, EverythingArrivesOnceAndInOrder) {
  constexpr uint32_t kDatagrams = 20000;
  FlowShards flows(kKey, 2);
  FrameExchange exchange(2);
  std::atomic<int> ready{0};
  std::atomic<bool> all_sent{false}, all_taken{false};
  uint64_t given = 0, full = 0, taken = 0, dropped = 0;
  bool in_order = true;
  const auto no_wake = [](void*, int, int) {};
  std::thread second([&] {
    Shard shard(flows, exchange, 1, no_wake, nullptr);
    UdpSock& sock = shard.Bind();
    ++ready;
    uint32_t last = 0;
    for (bool done = false; !done;) {
      done = all_sent;
      while (shard.peers.RxReady()) {
        shard.peers.Receive(shard.host.now());
        shard.host.Turn();
        while (!sock.receive_queue.empty()) {
          uint32_t number;
          const netstack::Datagram datagram = sock.receive_queue.Pop();
          datagram.data.CopyTo(std::as_writable_bytes(std::span(&number, 1)));
          in_order = in_order && number > last;
          last = number;
          ++taken;
        }
      }
    }
    dropped = sock.dropped + shard.host.counted(DropReason::kHandOverNoFrame);
    all_taken = true;
  });
  {
    Shard shard(flows, exchange, 0, no_wake, nullptr);
    while (ready == 0) std::this_thread::yield();
    for (uint32_t n = 1; n <= kDatagrams; ++n) {
      shard.host.Receive(Datagram(4000, std::as_bytes(std::span(&n, 1))));
      if (n % 16 == 0) shard.peers.Receive(shard.host.now());
    }
    all_sent = true;
    while (!all_taken) std::this_thread::yield();
    shard.peers.Receive(shard.host.now());
    given = shard.host.counted(DropReason::kHandedOver);
    full = shard.host.counted(DropReason::kHandOverFull) + shard.host.lost_for_frames();
  }
  second.join();
  EXPECT_TRUE(in_order);
  EXPECT_EQ(kDatagrams, given + full);
  EXPECT_EQ(given, taken + dropped);
  EXPECT_GT(taken, 0u);
}

}  // namespace
}  // namespace weir::testing_support
