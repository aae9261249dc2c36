// The checks that come before any connection: RFC 9293 §3.1, at every length and for every bit.
#include <gtest/gtest.h>

#include "tests/support/inet_test_host.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;

const char* Name(DropReason reason) { return netstack::kDropReasonNames[static_cast<size_t>(reason)]; }

Bytes Frame(View tcp) { return Ethernet({}, Ipv4({.protocol = 6}, tcp)); }

TEST(Segment, DataOffset) {
  InetTestHost host;
  host.Learn();
  for (size_t payload : {0, 1, 20, 40, 41}) {
    for (int words = 0; words < 16; ++words) {
      Bytes tcp = Tcp({.flags = 4}, Filler(payload));
      tcp[12] = std::byte(words << 4);
      FixTransportChecksum(tcp, 6, {});
      host.Receive(Frame(tcp));
      const bool good = words >= 5 && static_cast<size_t>(words) * 4 <= tcp.size();
      EXPECT_STREQ(good ? "kTcpNoSocket" : "kTcpHeaderLength", Name(host.last())) << words << " of " << tcp.size();
    }
  }
  EXPECT_EQ("", host.Sent());
}

TEST(Segment, EveryBitIsUnderTheChecksum) {
  InetTestHost host;
  host.Learn();
  const Bytes good = Tcp({.seq = 1, .flags = 2}, Filler(7));
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    if (bit / 8 == 12) continue;  // the data offset: see above
    Bytes wrong = good;
    wrong[bit / 8] ^= std::byte(1 << bit % 8);
    host.Receive(Frame(wrong));
    ASSERT_STREQ("kTcpChecksum", Name(host.last())) << bit;
  }
  host.Receive(Ethernet({}, Ipv4({.protocol = 6, .source = 0x0a000003}, good)));  // and so are the addresses
  EXPECT_STREQ("kTcpChecksum", Name(host.last()));
  EXPECT_EQ("", host.Sent());
}

// RFC 1122 §4.2.2.7: unlike UDP, TCP always has a checksum.
TEST(Segment, NoChecksumIsWrong) {
  InetTestHost host;
  Bytes tcp = Tcp({.flags = 2}, {});
  Put16(tcp, 16, 0);
  host.Receive(Frame(tcp));
  EXPECT_STREQ("kTcpChecksum", Name(host.last()));
}

TEST(Segment, PartialChecksumOnlyWhereTheDeviceSaysSo) {
  for (bool partial : {false, true}) {
    InetTestHost host({.partial_checksums = partial});
    host.Learn();
    Bytes tcp = Tcp({.flags = 2}, {}), pseudo;
    Append32(pseudo, kPeerIp);
    Append32(pseudo, kHostIp);
    Append16(pseudo, 6);
    Append16(pseudo, static_cast<uint16_t>(tcp.size()));
    Put16(tcp, 16, NaiveSum(pseudo));
    host.Receive(Frame(tcp));
    EXPECT_STREQ(partial ? "kTcpNoSocket" : "kTcpChecksum", Name(host.last()));
    EXPECT_EQ(partial ? "tcp 10.0.0.1:80 > 10.0.0.2:40000 0 bytes" : "", host.Sent());
  }
}

// RFC 9293 §3.10.7.1. Any flags at a closed port: a reset is never answered, everything else is answered by one.
TEST(Segment, EveryFlagCombinationAtAClosedPort) {
  InetTestHost host;
  host.Learn();
  for (int flags = 0; flags < 64; ++flags) {
    host.Receive(Frame(Tcp({.flags = static_cast<uint8_t>(flags)}, {})));
    const bool rst = flags & 4;
    EXPECT_STREQ("kTcpNoSocket", Name(host.last())) << flags;
    EXPECT_EQ(rst ? "" : "tcp 10.0.0.1:80 > 10.0.0.2:40000 0 bytes", host.Sent()) << flags;
  }
}

}  // namespace
}  // namespace weir::testing_support
