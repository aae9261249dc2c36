// The wire formats: parsed as the standards say, at every truncation, and emitted as another implementation reads them.
#include <gtest/gtest.h>

#include <iterator>

#include "netstack/wire/arp.h"
#include "netstack/wire/ethernet.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/tcp.h"
#include "netstack/wire/udp.h"
#include "tests/support/packets.h"
#include "tests/support/random.h"

namespace weir::testing_support {
namespace {

using netstack::ArpPacket;
using netstack::EthernetHeader;
using netstack::Ipv4Header;
using netstack::TcpHeader;
using netstack::TcpOptions;
using netstack::VlanTags;

struct TagCase {
  const char* name;
  std::vector<uint32_t> tags;
  VlanTags vlan;
  uint16_t type;
  size_t size;
};

const TagCase kTagCases[] = {
    {"none", {}, {}, 0x0800, 14},
    {"one", {0x81000005}, {1, {5}}, 0x0800, 18},
    {"one, with priority and DEI", {0x8100f005}, {1, {5}}, 0x0800, 18},
    {"only priority", {0x81006000}, {}, 0x0800, 18},
    {"two", {0x88a80007, 0x81000005}, {2, {7, 5}}, 0x0800, 22},
    {"two C-tags", {0x81000007, 0x81000005}, {2, {7, 5}}, 0x0800, 22},
    {"priority outside", {0x81002000, 0x81000005}, {1, {5}}, 0x0800, 22},
    {"highest VID", {0x81000fff}, {1, {0xfff}}, 0x0800, 18},
    {"three", {0x88a80007, 0x81000005, 0x81000006}, {2, {7, 5}}, 0x8100, 22},  // the third is a type nobody takes
};

TEST(Ethernet, TagsAndTruncation) {
  for (const TagCase& c : kTagCases) {
    SCOPED_TRACE(c.name);
    const Bytes frame = Ethernet({.tags = c.tags}, Filler(20));
    for (size_t length = 0; length <= frame.size(); ++length) {
      EthernetHeader header;
      ASSERT_EQ(length >= c.size, header.Parse(View(frame).first(length))) << length;
      if (length < c.size) continue;
      EXPECT_EQ(c.vlan, header.vlan);
      EXPECT_EQ(c.type, header.ether_type);
      EXPECT_EQ(c.size, header.size);
      EXPECT_EQ(kHostMac, header.destination.bytes);
      EXPECT_EQ(kPeerMac, header.source.bytes);
    }
  }
}

TEST(Ethernet, Emit) {
  for (const VlanTags& vlan : {VlanTags{}, VlanTags{1, {5}}, VlanTags{2, {7, 5}}}) {
    Bytes frame(netstack::EthernetHeaderSize(vlan));
    netstack::EmitEthernet(frame.data(), {kPeerMac}, {kHostMac}, vlan, 0x0806);
    std::vector<uint32_t> tags;
    if (vlan.count == 1) tags = {0x81000005};
    if (vlan.count == 2) tags = {0x88a80007, 0x81000005};
    EXPECT_EQ(Ethernet({.destination = kPeerMac, .source = kHostMac, .tags = tags, .type = 0x0806}, {}), frame);
  }
}

TEST(Ethernet, Addresses) {
  EXPECT_TRUE(netstack::kBroadcastMac.is_multicast());
  EXPECT_TRUE((netstack::MacAddress{{1, 0, 0x5e, 0, 0, 1}}.is_multicast()));
  EXPECT_FALSE(netstack::MacAddress{kHostMac}.is_multicast());
  EXPECT_TRUE(netstack::MacAddress{}.is_zero());
}

TEST(Arp, ParseAndEmit) {
  const Bytes arp = Arp({.operation = 2, .target_mac = kHostMac});
  ArpPacket packet;
  ASSERT_TRUE(packet.Parse(arp.data()));
  EXPECT_EQ(2, packet.operation);
  EXPECT_EQ(kPeerMac, packet.sender_mac.bytes);
  EXPECT_EQ(kPeerIp, packet.sender_ip);
  EXPECT_EQ(kHostMac, packet.target_mac.bytes);
  EXPECT_EQ(kHostIp, packet.target_ip);
  Bytes emitted(ArpPacket::kSize);
  packet.Emit(emitted.data());
  EXPECT_EQ(arp, emitted);
  for (size_t byte = 0; byte < 6; ++byte) {  // hardware and protocol, their types and lengths
    Bytes wrong = arp;
    wrong[byte] ^= std::byte{1};
    EXPECT_FALSE(packet.Parse(wrong.data())) << byte;
  }
}

TEST(Ipv4, ParseAndEmit) {
  Bytes ip = Ipv4({.protocol = 6, .tos = 0xb8, .fragment = 0x4000, .ttl = 3}, Filler(5));
  Ipv4Header header;
  header.Parse(ip.data());
  EXPECT_EQ(4, header.version);
  EXPECT_EQ(20, header.header_size);
  EXPECT_EQ(0xb8, header.tos);
  EXPECT_EQ(25, header.total_length);
  EXPECT_EQ(0x1234, header.id);
  EXPECT_EQ(3, header.ttl);
  EXPECT_EQ(6, header.protocol);
  EXPECT_EQ(kPeerIp, header.source);
  EXPECT_EQ(kHostIp, header.destination);
  EXPECT_FALSE(header.is_fragment());  // DF is none
  Bytes emitted(20);
  header.Emit(emitted.data());
  ip.resize(20);
  EXPECT_EQ(ip, emitted);
  for (uint16_t fragment : {0x2000, 0x0001, 0x1fff, 0x2001}) {
    header.fragment = fragment;
    EXPECT_TRUE(header.is_fragment()) << fragment;
  }
}

TEST(Tcp, ParseAndEmit) {
  const Bytes tcp = Tcp({.seq = 0x01020304, .ack = 0xfffefdfc, .flags = 0x3f, .window = 0x1234,
                         .options = Bytes(12, std::byte{1})}, {});
  TcpHeader header;
  header.Parse(tcp.data());
  EXPECT_EQ(40000, header.source_port);
  EXPECT_EQ(80, header.destination_port);
  EXPECT_EQ(0x01020304u, header.seq);
  EXPECT_EQ(0xfffefdfcu, header.ack);
  EXPECT_EQ(32, header.header_size);
  EXPECT_EQ(0x3f, header.flags);
  EXPECT_EQ(0x1234, header.window);
  Bytes emitted(20);
  header.Emit(emitted.data());
  Bytes expected(tcp.begin(), tcp.begin() + 20);
  Put32(expected, 16, 0);
  EXPECT_EQ(expected, emitted);
}

TEST(Udp, ParseAndEmit) {
  const Bytes udp = Udp(1000, 2000, Filler(3));
  netstack::UdpHeader header;
  header.Parse(udp.data());
  EXPECT_EQ(1000, header.source_port);
  EXPECT_EQ(2000, header.destination_port);
  EXPECT_EQ(11, header.length);
}

Bytes Hex(std::initializer_list<int> values) {
  Bytes bytes;
  for (int value : values) bytes.push_back(std::byte(value));
  return bytes;
}

struct OptionCase {
  const char* name;
  Bytes bytes;
  int mss;    // -1: none
  int scale;  // -1: none
};

const OptionCase kOptionCases[] = {
    {"none", {}, -1, -1},
    {"both", Hex({2, 4, 5, 0xb4, 1, 3, 3, 7}), 1460, 7},
    {"as Linux sends them", Hex({2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}), 1460, 7},
    {"behind the end", Hex({0, 2, 4, 5, 0xb4}), -1, -1},
    {"only padding", Hex({1, 1, 1, 1}), -1, -1},
    {"length 0", Hex({2, 4, 5, 0xb4, 9, 0, 3, 3, 7, 0}), 1460, -1},
    {"length 1", Hex({2, 4, 5, 0xb4, 9, 1, 3, 3, 7, 0}), 1460, -1},
    {"beyond the end", Hex({3, 3, 7, 2, 5, 5, 0xb4}), -1, 7},
    {"kind without length", Hex({3, 3, 7, 2}), -1, 7},
    {"MSS of wrong length", Hex({2, 3, 5, 3, 3, 7}), -1, 7},
    {"MSS of length 2", Hex({2, 2, 3, 3, 7}), -1, 7},
    {"scale of wrong length", Hex({3, 4, 7, 7, 2, 4, 5, 0xb4}), 1460, -1},
    {"repeated: the last counts", Hex({2, 4, 1, 0, 2, 4, 5, 0xb4, 3, 3, 1, 3, 3, 2}), 1460, 2},
    {"scale 14", Hex({3, 3, 14}), -1, 14},
    {"scale 15", Hex({3, 3, 15}), -1, 14},
    {"scale 255", Hex({3, 3, 255}), -1, 14},
    {"unknown, of 14 bytes", Hex({99, 14, 2, 4, 5, 0xb4, 3, 3, 7, 2, 4, 5, 0xb4, 3, 1, 3, 3, 2}), -1, 2},
    {"unknown, of 255 bytes", Hex({99, 255, 2, 4, 5, 0xb4}), -1, -1},
};

TEST(TcpOptions, Cases) {
  for (const OptionCase& c : kOptionCases) {
    SCOPED_TRACE(c.name);
    TcpOptions options;
    options.Parse(c.bytes);
    EXPECT_EQ(c.mss, options.has_mss ? options.mss : -1);
    EXPECT_EQ(c.scale, options.has_window_scale ? options.window_scale : -1);
  }
}

// Every truncation, and any bytes: it ends, and reads nothing beyond (the sanitizers watch).
TEST(TcpOptions, TruncatedAndRandom) {
  for (const OptionCase& c : kOptionCases) {
    for (size_t length = 0; length <= c.bytes.size(); ++length) {
      const Bytes exact(c.bytes.begin(), c.bytes.begin() + static_cast<ptrdiff_t>(length));
      TcpOptions options;
      options.Parse(exact);
    }
  }
  testing::Random random;
  for (int i = 0; i < 200000; ++i) {
    Bytes bytes(random.Below(41));
    for (std::byte& byte : bytes) byte = std::byte(random.OneIn(2) ? random.Below(6) : random.Below(256));
    TcpOptions options;
    options.Parse(bytes);
    ASSERT_GE(14, options.window_scale);
  }
}

TEST(TcpOptions, Emit) {
  std::byte out[40];
  EXPECT_EQ(0u, TcpOptions{}.Emit(out));
  EXPECT_EQ(4u, (TcpOptions{.has_mss = true, .mss = 1460}.Emit(out)));
  EXPECT_EQ(Hex({2, 4, 5, 0xb4}), Bytes(out, out + 4));
  EXPECT_EQ(8u, (TcpOptions{.has_mss = true, .has_window_scale = true, .mss = 1460, .window_scale = 7}.Emit(out)));
  EXPECT_EQ(Hex({2, 4, 5, 0xb4, 1, 3, 3, 7}), Bytes(out, out + 8));
}

}  // namespace
}  // namespace weir::testing_support
