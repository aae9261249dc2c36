// Packets that are larger than a frame of the pool, in and out: they come as several frames, as an AF_XDP ring gives them,
// and leave so.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "netstack/udp/udp_output.h"
#include "tests/netstack/ip/fragment_host.h"
#include "tests/support/random.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;

constexpr uint32_t kJumbo = 9000;
constexpr bool kBoth[] = {true, false};

Bytes Packet4(uint8_t protocol, View payload) { return Ethernet({}, Ipv4({.protocol = protocol}, payload)); }
Bytes Packet6(uint8_t protocol, View payload) {
  return Ethernet({.type = 0x86dd}, Ipv6({.protocol = protocol}, payload));
}
Bytes DatagramFrame(bool v4, View payload) {
  return v4 ? Packet4(17, Datagram(true, payload)) : Packet6(17, Datagram(false, payload));
}
DropReason Send(FragmentHost& host, uint32_t to, View payload) {
  const iovec piece{const_cast<std::byte*>(payload.data()), payload.size()};
  const DropReason reason =
      UdpSendmsg(host.inet().udp, host.sock(), std::span(&piece, 1), {IpAddress::V4(to), 4000}, host.now());
  host.Turn();
  return reason;
}

TEST(Jumbo, Pings) {
  testing::Random random;
  FragmentHost host({.mtu = kJumbo});
  for (int round = 0; round < 400; ++round) {
    const size_t n = round < 30 ? 1700 + static_cast<size_t>(round) * 4 : random.Below(kJumbo - 47);
    const Bytes body = Filler(n);
    host.Receive(Packet4(1, IcmpEcho(8, 7, 9, body)));
    ASSERT_EQ(DropReason::kConsumed, host.last()) << n;
    const Packet reply = Parse(host.TakeSent().frame);
    ASSERT_TRUE(reply.ok) << reply.problem;
    const View icmp = reply.transport_bytes();
    const Bytes expected = IcmpEcho(0, 7, 9, body);
    ASSERT_TRUE(std::ranges::equal(icmp, expected)) << n;
    host.Receive(Packet6(58, Icmp6({.type = 128}, body)));
    ASSERT_EQ(DropReason::kConsumed, host.last()) << n;
    ASSERT_EQ("icmp6 129/0 fd00::1 > fd00::2 hop 64: " + std::to_string(n) + " bytes",
              Describe6(host.TakeSent().frame));
    ASSERT_FALSE(host.has_sent());
  }
}

TEST(Jumbo, DatagramsIn) {
  testing::Random random;
  FragmentHost host({.mtu = kJumbo});
  for (int round = 0; round < 400; ++round) {
    const bool v4 = random.OneIn(2);
    const Bytes payload = Filler(round < 60 ? 1700 + static_cast<size_t>(round) * 2 : random.Below(kJumbo - 47));
    Bytes frame = DatagramFrame(v4, payload);
    if (random.OneIn(4)) frame.resize(std::max(frame.size(), size_t{14 + kJumbo}));  // behind the packet is padding
    host.Receive(frame);
    ASSERT_EQ(payload, host.TakeDatagram()) << payload.size();
  }
}

TEST(Jumbo, EveryByteIsInTheChecksum) {
  for (const bool v4 : kBoth) {
    FragmentHost host({.mtu = kJumbo});
    const Bytes good = DatagramFrame(v4, Filler(5000));
    const size_t from = good.size() - 5000;
    for (size_t at = from; at < good.size(); at += 61) {
      Bytes bad = good;
      bad[at] ^= std::byte{0x10};
      EXPECT_EQ("kUdpChecksum", host.Take(bad)) << at;
    }
    EXPECT_EQ("kConsumed", host.Take(good));
    host.TakeDatagram();
  }
}

// What a veth peer leaves to its device; in fragments there is no such thing.
TEST(Jumbo, PartialChecksums) {
  for (const bool partial : kBoth) {
    FragmentHost host({.mtu = kJumbo, .partial_checksums = partial});
    const Bytes payload = Filler(7000);
    Bytes udp = Datagram(true, payload);
    Bytes pseudo;
    Append32(pseudo, kPeerIp);
    Append32(pseudo, kHostIp);
    Append16(pseudo, 17);
    Append16(pseudo, static_cast<uint16_t>(udp.size()));
    Put16(udp, 6, NaiveSum(pseudo));
    EXPECT_EQ(partial ? "kConsumed" : "kUdpChecksum", host.Take(Packet4(17, udp)));
    EXPECT_EQ(partial ? payload : Bytes(), host.TakeDatagram());
    for (const Bytes& frame : Cut({.id = 7}, udp, 4000)) host.Receive(frame);
    EXPECT_EQ(DropReason::kUdpChecksum, host.last());
  }
}

TEST(Jumbo, Lengths) {
  FragmentHost host({.mtu = kJumbo});
  const Bytes good = DatagramFrame(true, Filler(6000));
  for (const size_t cut : {size_t{1}, size_t{1792}, size_t{4000}}) {
    EXPECT_EQ("kIpTruncated", host.Take(Bytes(good.begin(), good.end() - static_cast<ptrdiff_t>(cut))));
    const Bytes six = DatagramFrame(false, Filler(6000));
    EXPECT_EQ("kIpTruncated", host.Take(Bytes(six.begin(), six.end() - static_cast<ptrdiff_t>(cut))));
  }
  // Of a short packet in a long frame nothing is left behind the first.
  Bytes padded = DatagramFrame(true, Filler(10));
  padded.resize(5000);
  EXPECT_EQ("kConsumed", host.Take(padded));
  EXPECT_EQ(Filler(10), host.TakeDatagram());
  // A packet that ends where a frame does, and around it.
  for (size_t n = 1792 - 42 - 9; n < 1792 - 42 + 9; ++n) {
    EXPECT_EQ("kConsumed", host.Take(DatagramFrame(true, Filler(n))));
    EXPECT_EQ(Filler(n), host.TakeDatagram());
  }
}

TEST(Jumbo, TooManyFrames) {
  FragmentHost host({.mtu = 16000});
  constexpr size_t kMost = netstack::kMaxPacketFrames * (2048 - 256);
  const Bytes fits = DatagramFrame(true, Filler(kMost - 42));
  EXPECT_EQ("kConsumed", host.Take(fits));
  EXPECT_EQ(Filler(kMost - 42), host.TakeDatagram());
  EXPECT_EQ("kEthernetTooLong", host.Take(DatagramFrame(true, Filler(kMost - 41))));
  EXPECT_EQ("kEthernetTooLong", host.Take(Bytes(60000)));
  EXPECT_FALSE(host.has_datagram());
}

// Anything in the first frame, anything behind: frames and timers are the host's own business to check.
TEST(Jumbo, AnyBytes) {
  testing::Random random;
  FragmentHost host({.mtu = kJumbo});
  for (int round = 0; round < 3000; ++round) {
    const bool v4 = random.OneIn(2);
    const auto id = static_cast<uint32_t>(random.Below(4));
    Bytes frame = random.OneIn(2) ? DatagramFrame(v4, Filler(random.Below(9000)))
                                  : Cut({.v4 = v4, .id = id}, Filler(20000), 8000)[random.Below(3)];
    for (int changes = static_cast<int>(random.Below(4)); changes > 0; --changes) {
      frame[12 + random.Below(60)] = std::byte(random.Below(256));
    }
    if (random.OneIn(3)) frame.resize(14 + random.Below(10000));
    host.Receive(frame);
    while (host.has_sent()) host.TakeSent();
    while (host.has_datagram()) static_cast<void>(host.sock().receive_queue.Pop());
  }
  host.AdvanceTo(host.now() + 100 * kSecond);  // incomplete datagrams
  while (host.has_sent()) host.TakeSent();
}

// Each fragment is in several frames.
TEST(Jumbo, Fragments) {
  testing::Random random;
  FragmentHost host({.mtu = kJumbo, .frames = 4096});
  for (int round = 0; round < 200; ++round) {
    const bool v4 = random.OneIn(2);
    const Bytes payload = Filler(9000 + random.Below(65507 - 9000 - 40));
    std::vector<Bytes> frames =
        Cut({.v4 = v4, .id = static_cast<uint32_t>(round + 1)}, Datagram(v4, payload), 8 * (300 + random.Below(800)));
    for (size_t i = frames.size(); i > 1; --i) std::swap(frames[i - 1], frames[random.Below(i)]);
    if (random.OneIn(2)) frames.insert(frames.begin(), frames.front());  // the network doubles one
    for (const Bytes& frame : frames) {
      host.Receive(frame);
      ASSERT_TRUE(host.last() == DropReason::kConsumed || host.last() == DropReason::kIpFragmentDuplicate)
          << netstack::kDropReasonNames[static_cast<size_t>(host.last())];
    }
    ASSERT_EQ(payload, host.TakeDatagram()) << round;
    ASSERT_EQ(0u, host.reassembly().datagrams());
  }
}

TEST(Jumbo, DatagramsOut) {
  for (const size_t n : {1892u, 1893u, 1920u, 1921u, 3968u, 3969u, 5000u, 8971u, 8972u}) {
    FragmentHost host({.mtu = kJumbo});
    const Bytes payload = Filler(n);
    ASSERT_EQ(DropReason::kConsumed, Send(host, kPeerIp, payload)) << n;
    const Packet sent = Parse(host.TakeSent().frame);
    EXPECT_TRUE(sent.ok) << sent.problem;
    EXPECT_TRUE(std::ranges::equal(sent.payload_bytes(), payload)) << n;
    EXPECT_FALSE(host.has_sent()) << n;
    host.CompleteTx();
  }
  FragmentHost host({.mtu = kJumbo});
  ASSERT_EQ(DropReason::kConsumed, Send(host, kPeerIp, Filler(8973)));
  EXPECT_EQ(Udp(7, 4000, Filler(8973), {kHostIp, kPeerIp}), host.Join());
}

// To a neighbour whose address is not known yet it waits as a whole, and goes as one packet; or ends as one.
TEST(Jumbo, WaitsForTheNeighbour) {
  FragmentHost host({.mtu = kJumbo});
  const uint32_t other = kPeerIp + 1;
  for (const size_t n : {8000u, 10u, 4000u}) ASSERT_EQ(DropReason::kConsumed, Send(host, other, Filler(n)));
  EXPECT_EQ("arp who-has 10.0.0.3 tell 10.0.0.1", host.Sent());
  host.Receive(Ethernet({.type = 0x0806}, Arp({.operation = 2, .sender_ip = other, .target_mac = kHostMac})));
  EXPECT_EQ("udp 10.0.0.1:7 > 10.0.0.3:4000 8000 bytes; udp 10.0.0.1:7 > 10.0.0.3:4000 10 bytes; "
            "udp 10.0.0.1:7 > 10.0.0.3:4000 4000 bytes",
            host.Sent());
  // As many as may wait, by frames: five for each.
  size_t waiting = 0;
  while (Send(host, other + 1, Filler(8900)) == DropReason::kConsumed) ++waiting;
  EXPECT_EQ(netstack::Neighbour::kMaxPending / 5, waiting);
  host.AdvanceTo(host.now() + 5 * kSecond);
  EXPECT_EQ(waiting, host.counted(DropReason::kNeighbourFailed));
  host.Sent();
}

// All of it or nothing: for want of frames, and of room in the device's queue.
TEST(Jumbo, AllOrNothing) {
  FragmentHost host({.mtu = kJumbo, .frames = 128});
  std::vector<runtime::Frame*> taken;
  while (host.pool().free_count() > 128 / 8 + 4) taken.push_back(host.pool().Alloc());
  EXPECT_EQ(DropReason::kTxNoFrame, Send(host, kPeerIp, Filler(8900)));
  EXPECT_FALSE(host.has_sent());
  EXPECT_EQ(DropReason::kConsumed, Send(host, kPeerIp, Filler(1000)));
  EXPECT_EQ("udp 10.0.0.1:7 > 10.0.0.2:4000 1000 bytes", host.Sent());
  runtime::Unref(taken.back());
  taken.pop_back();
  EXPECT_EQ(DropReason::kConsumed, Send(host, kPeerIp, Filler(8900)));
  EXPECT_EQ("udp 10.0.0.1:7 > 10.0.0.2:4000 8900 bytes", host.Sent());
  for (runtime::Frame* frame : taken) runtime::Unref(frame);

  FragmentHost full({.mtu = kJumbo, .frames = 8192});
  netstack::NetDevice& device = full.interface().device;
  const auto free = [&] { return full.pool().free_count(); };
  while (device.tx_size() < netstack::NetDevice::kTxQueue - 4) {
    runtime::Frame* frame = full.pool().Alloc();
    frame->len = 60;
    ASSERT_EQ(DropReason::kConsumed, device.Queue(frame));
  }
  const uint32_t before = free();
  const Bytes payload = Filler(8900);
  const iovec piece{const_cast<std::byte*>(payload.data()), payload.size()};
  EXPECT_EQ(DropReason::kTxQueueFull, UdpSendmsg(full.inet().udp, full.sock(), std::span(&piece, 1),
                                                 {IpAddress::V4(kPeerIp), 4000}, full.now()));
  EXPECT_EQ(before, free());
  full.Turn();
  while (full.has_sent()) full.TakeSent();
}

// While the device has one of its frames, none of them may change: they come back by themselves.
TEST(Jumbo, HeldByTheDevice) {
  FragmentHost host({.mtu = kJumbo, .hold_tx = true});
  host.CompleteTx();
  const uint32_t free = host.pool().free_count();
  ASSERT_EQ(DropReason::kConsumed, Send(host, kPeerIp, Filler(8900)));
  EXPECT_EQ(free - 5, host.pool().free_count());
  host.CompleteTx();
  EXPECT_EQ(free, host.pool().free_count());
  EXPECT_EQ("udp 10.0.0.1:7 > 10.0.0.2:4000 8900 bytes", host.Sent());
}

// RFC 1191: a narrower path, and what is larger than it is cut.
TEST(Jumbo, NarrowerPath) {
  FragmentHost host({.mtu = kJumbo});
  ASSERT_TRUE(host.inet().ip.path_mtu.Lower(IpAddress::V4(kPeerIp), 1500, 9000, 9000, host.now()));
  ASSERT_EQ(DropReason::kConsumed, Send(host, kPeerIp, Filler(8900)));
  EXPECT_EQ(Udp(7, 4000, Filler(8900), {kHostIp, kPeerIp}), host.Join());
  host.AdvanceTo(host.now() + 2 * netstack::PathMtuCache::kExpiry);
}

}  // namespace
}  // namespace weir::testing_support
