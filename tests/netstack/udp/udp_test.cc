// UDP: RFC 768, RFC 1122 §4.1.
#include <gtest/gtest.h>

#include <cerrno>

#include "netstack/udp/udp_output.h"
#include "netstack/udp/udp_table.h"
#include "tests/support/inet_test_host.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::ReadySock;
using netstack::Datagram;
using netstack::UdpSock;

const char* Name(DropReason reason) { return netstack::kDropReasonNames[static_cast<size_t>(reason)]; }

class Udp4 : public ::testing::Test {
 protected:
  Udp4() {
    host_.Learn();
    EXPECT_EQ(0, host_.inet().udp.Bind(sock_, {{}, 7}));
    sock_.owner = this;
    sock_.on_ready = [](ReadySock& sock, uint8_t events) { static_cast<Udp4*>(sock.owner)->events_ |= events; };
  }
  ~Udp4() override { host_.inet().udp.Unbind(sock_); }

  static Bytes BytesOf(const Datagram& datagram) {
    Bytes bytes(datagram.data.size());
    datagram.data.CopyTo(bytes);
    return bytes;
  }
  // The oldest datagram's bytes; gives its frame back.
  Bytes Take() { return BytesOf(sock_.receive_queue.Pop()); }

  InetTestHost host_;
  UdpSock sock_;
  uint8_t events_ = 0;
};

TEST_F(Udp4, DatagramsArrive) {
  for (size_t n : {0, 1, 2, 100, 1471, 1472}) {
    events_ = 0;
    host_.Receive(Ethernet({}, Ipv4({}, Udp(4000, 7, Filler(n)))));
    EXPECT_STREQ("kConsumed", Name(host_.last()));
    EXPECT_EQ(ReadySock::kReadable, events_);
    ASSERT_EQ(1u, sock_.receive_queue.size());
    const Datagram datagram = sock_.receive_queue.Pop();
    EXPECT_EQ("10.0.0.2:4000", datagram.peer.ToString());
    EXPECT_EQ("10.0.0.1:7", datagram.local.ToString());
    EXPECT_EQ(Filler(n), BytesOf(datagram));
  }
}

// IPV6_V6ONLY: "::" is then for IPv6 alone, and leaves room for a socket of IPv4 beside it.
TEST(Udp, V6Only) {
  InetTestHost host;
  host.Learn();
  netstack::UdpTable& udp = host.inet().udp;
  UdpSock six, both, four;
  six.v6only = true;
  ASSERT_EQ(0, udp.Bind(six, {{}, 9}));
  EXPECT_EQ(EADDRINUSE, udp.Bind(both, {{}, 9}));
  host.Receive(Ethernet({}, Ipv4({}, Udp(4000, 9, Filler(1)))));
  EXPECT_STREQ("kUdpNoSocket", Name(host.last()));
  host.Sent();
  ASSERT_EQ(0, udp.Bind(four, {IpAddress::V4(0), 9}));
  host.Receive(Ethernet({}, Ipv4({}, Udp(4000, 9, Filler(1)))));
  EXPECT_EQ(1u, four.receive_queue.size());
  EXPECT_TRUE(six.receive_queue.empty());
  udp.Unbind(six);
  udp.Unbind(four);
}

TEST_F(Udp4, LengthField) {
  struct {
    int length;
    const char* reason;
  } const cases[] = {{0, "kUdpTruncated"}, {7, "kUdpTruncated"}, {8, "kConsumed"}, {18, "kConsumed"},
                     {19, "kUdpTruncated"}, {65535, "kUdpTruncated"}};
  for (const auto& c : cases) {
    Bytes udp = Udp(4000, 7, Filler(10));
    Put16(udp, 4, static_cast<uint16_t>(c.length));
    Put16(udp, 6, 0);  // no checksum: only the length is looked at
    host_.Receive(Ethernet({}, Ipv4({}, udp)));
    EXPECT_STREQ(c.reason, Name(host_.last())) << c.length;
    if (host_.last() == DropReason::kConsumed) EXPECT_EQ(Filler(static_cast<size_t>(c.length) - 8), Take());
  }
  // Shorter than the IP packet, with the checksum of what it says: the rest is no part of it.
  Bytes udp = Udp(4000, 7, Filler(4));
  Append(udp, Filler(9));
  host_.Receive(Ethernet({}, Ipv4({}, udp)));
  EXPECT_STREQ("kConsumed", Name(host_.last()));
  EXPECT_EQ(Filler(4), Take());
}

TEST_F(Udp4, Checksum) {
  Bytes udp = Udp(4000, 7, Filler(11));
  Bytes none = udp;
  Put16(none, 6, 0);
  host_.Receive(Ethernet({}, Ipv4({}, none)));  // RFC 768: the sender made none
  EXPECT_STREQ("kConsumed", Name(host_.last()));
  EXPECT_EQ(Filler(11), Take());
  for (size_t bit = 0; bit < udp.size() * 8; ++bit) {
    if (bit / 8 == 4 || bit / 8 == 5) continue;  // the length: another test
    Bytes wrong = udp;
    wrong[bit / 8] ^= std::byte(1 << bit % 8);
    host_.Receive(Ethernet({}, Ipv4({}, wrong)));
    ASSERT_STREQ("kUdpChecksum", Name(host_.last())) << bit;
  }
  // The pseudo-header counts: the same datagram from another source.
  host_.Receive(Ethernet({}, Ipv4({.source = 0x0a000003}, udp)));
  EXPECT_STREQ("kUdpChecksum", Name(host_.last()));
}

TEST_F(Udp4, FullQueue) {
  const Bytes frame = Ethernet({}, Ipv4({}, Udp(4000, 7, Filler(1))));
  for (size_t i = 0; i < netstack::UdpBindOptions::kReceiveQueue; ++i) {
    host_.Receive(frame);
    ASSERT_STREQ("kConsumed", Name(host_.last()));
  }
  host_.Receive(frame);
  EXPECT_STREQ("kUdpQueueFull", Name(host_.last()));
  Take();
  host_.Receive(frame);
  EXPECT_STREQ("kConsumed", Name(host_.last()));
}

// Sockets that nobody reads cannot take the last frames: receiving and answering goes on for all others.
TEST(UdpPool, UnreadDatagramsLeaveAReserve) {
  InetTestHost host({.frames = 128});
  host.Learn();
  UdpSock sock;
  ASSERT_EQ(0, host.inet().udp.Bind(sock, {{}, 7}));
  for (int i = 0; i < 200; ++i) host.Receive(Ethernet({}, Ipv4({}, Udp(4000, 7, Filler(1)))));
  EXPECT_STREQ("kUdpQueueFull", Name(host.last()));
  EXPECT_EQ(0u, host.lost_for_frames());
  EXPECT_LE(128u / 16, host.pool().free_count());
  host.Receive(Ethernet({}, Ipv4({.protocol = 1}, IcmpEcho(8, 1, 1, {}))));
  EXPECT_EQ("icmp echo-reply 10.0.0.1 > 10.0.0.2 id 1 seq 1 0 bytes", host.Sent());
  host.inet().udp.Unbind(sock);
}

TEST_F(Udp4, Send) {
  for (size_t n : {0, 1, 1471, 1472, 1473}) {
    runtime::Frame* frame = host_.pool().Alloc();
    const Bytes payload = Filler(n);
    std::copy(payload.begin(), payload.end(), frame->data);
    frame->len = static_cast<uint32_t>(n);
    const DropReason reason =
        UdpSendmsg(host_.inet().udp, sock_, frame, {IpAddress::V4(kPeerIp), 4000}, host_.now());
    host_.Turn();
    EXPECT_STREQ("kConsumed", Name(reason));
    if (n == 1473) {  // does not fit: fragment_test.cc looks at what it becomes
      EXPECT_EQ(1514u, host_.TakeSent().frame.size());
      EXPECT_EQ(35u, host_.TakeSent().frame.size());
      continue;
    }
    EXPECT_EQ("udp 10.0.0.1:7 > 10.0.0.2:4000 " + std::to_string(n) + " bytes", host_.Sent());
  }
  EXPECT_EQ(1472u, UdpMaxPayload(host_.inet().udp, {IpAddress::V4(kPeerIp), 9}));
}

// RFC 768: a checksum that comes out as zero is sent as all ones.
TEST_F(Udp4, NoChecksumIsNeverSent) {
  for (uint32_t word = 0; word <= 0xffff; ++word) {
    runtime::Frame* frame = host_.pool().Alloc();
    frame->data[0] = std::byte(word >> 8);
    frame->data[1] = std::byte(word);
    frame->len = 2;
    EXPECT_EQ(DropReason::kConsumed,
              UdpSendmsg(host_.inet().udp, sock_, frame, {IpAddress::V4(kPeerIp), 4000}, host_.now()));
    host_.Turn();
    const Packet packet = Parse(host_.TakeSent().frame);
    ASSERT_TRUE(packet.ok) << packet.problem << " " << word;
  }
}

TEST_F(Udp4, ForwardingWhatWasReceivedCopiesNothing) {
  host_.Receive(Ethernet({}, Ipv4({}, Udp(4000, 7, Filler(1472)))));
  Datagram datagram = sock_.receive_queue.Pop();
  std::span<std::byte> bytes;
  runtime::Frame* frame = datagram.data.PopFront(&bytes);
  frame->data = bytes.data();
  frame->len = static_cast<uint32_t>(bytes.size());
  EXPECT_EQ(DropReason::kConsumed, UdpSendmsg(host_.inet().udp, sock_, frame, datagram.peer, host_.now()));
  host_.Turn();
  const Packet packet = Parse(host_.TakeSent().frame);
  EXPECT_TRUE(packet.ok) << packet.problem;
  const View payload = packet.payload_bytes();
  EXPECT_EQ(Filler(1472), Bytes(payload.begin(), payload.end()));
}

TEST(UdpBind, Rules) {
  InetTestHost host;
  netstack::UdpTable& table = host.inet().udp;
  UdpSock a, b, c, d;
  EXPECT_EQ(0, table.Bind(a, {{}, 7}));
  EXPECT_EQ(IpAddress(), a.local.ip);  // of both families
  EXPECT_EQ(EADDRINUSE, table.Bind(b, {IpAddress::V4(kHostIp), 7}));
  EXPECT_EQ(EADDRNOTAVAIL, table.Bind(b, {IpAddress::V4(kPeerIp), 8}));
  EXPECT_EQ(0, table.Bind(b, {{}, 7 + 1024}));  // the same bucket
  EXPECT_EQ(0, table.Bind(c, {{}, 0}));
  EXPECT_EQ(0, table.Bind(d, {{}, 0}));
  EXPECT_NE(c.local.port, d.local.port);
  EXPECT_LE(32768, c.local.port);
  EXPECT_GT(61000, c.local.port);
  EXPECT_EQ(&a, table.Lookup({IpAddress::V4(kHostIp), 7}));
  EXPECT_EQ(&b, table.Lookup({IpAddress::V4(kHostIp), 7 + 1024}));
  table.Unbind(a);
  EXPECT_EQ(nullptr, table.Lookup({IpAddress::V4(kHostIp), 7}));
  EXPECT_EQ(&b, table.Lookup({IpAddress::V4(kHostIp), 7 + 1024}));
  EXPECT_EQ(0, table.Bind(a, {IpAddress::V4(kHostIp), 7}));
  for (UdpSock* sock : {&a, &b, &c, &d}) table.Unbind(*sock);
}

// Unbound with datagrams queued and a wake-up pending: both go, and the frames come back (the host checks).
TEST(UdpBind, UnboundWhileReady) {
  InetTestHost host;
  UdpSock sock;
  ASSERT_EQ(0, host.inet().udp.Bind(sock, {{}, 7}));
  host.Receive(Ethernet({}, Ipv4({}, Udp(4000, 7, Filler(1)))));
  host.inet().ip.Ready(sock, ReadySock::kReadable);
  host.inet().udp.Unbind(sock);
  EXPECT_FALSE(sock.linked());
}

// A device that leaves checksums to others (DESIGN §6): the partial one is right there, and nothing else is.
TEST(UdpPartial, OnlyWhereTheDeviceSaysSo) {
  for (bool partial : {false, true}) {
    InetTestHost host({.partial_checksums = partial});
    host.Learn();
    UdpSock sock;
    ASSERT_EQ(0, host.inet().udp.Bind(sock, {{}, 7}));
    Bytes udp = Udp(4000, 7, Filler(5));
    Bytes pseudo;
    Append32(pseudo, kPeerIp);
    Append32(pseudo, kHostIp);
    Append16(pseudo, 17);
    Append16(pseudo, static_cast<uint16_t>(udp.size()));
    Put16(udp, 6, NaiveSum(pseudo));
    host.Receive(Ethernet({}, Ipv4({}, udp)));
    EXPECT_STREQ(partial ? "kConsumed" : "kUdpChecksum", Name(host.last()));
    host.inet().udp.Unbind(sock);
  }
}

}  // namespace
}  // namespace weir::testing_support
