// Options of IPv4 packets: RFC 791 §3.1, RFC 1122 §3.2.1.8, §3.2.2.5, §3.2.2.6 and §3.2.2.8. What is expected was seen of
// Linux 6.18, sent the same packets.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "absl/strings/escaping.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/random.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;

// Followed by zeros, up to a multiple of four bytes, and `size`.
Bytes Hex(const std::string& hex, size_t size = 0) {
  std::string padded = hex;
  padded.resize(std::max(2 * size, (hex.size() + 7) / 8 * 8), '0');
  const std::string raw = absl::HexStringToBytes(padded);
  Bytes bytes(raw.size());
  std::memcpy(bytes.data(), raw.data(), raw.size());
  return bytes;
}

std::string HexOf(View bytes) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// The options of an echo reply to a request with `options`.
std::string Answered(InetTestHost& host, const std::string& options, size_t size = 0) {
  host.Receive(Ethernet({}, Ipv4({.protocol = 1, .options = Hex(options, size)}, IcmpEcho(8, 1, 2, Filler(8)))));
  EXPECT_EQ(DropReason::kConsumed, host.last()) << options;
  if (!host.has_sent()) return "nothing";
  const Packet reply = Parse(host.TakeSent().frame);
  EXPECT_TRUE(reply.ok) << reply.problem;
  const size_t header = std::to_integer<size_t>(reply.frame[14] & std::byte{0xf}) * 4;
  return HexOf(View(reply.frame).subspan(34, header - 20));
}

// RFC 1122 §3.2.2.6: the recorded route is that of the whole way. ping -R shows the answering host twice.
TEST(IpOptions, RecordRouteInAnEchoReply) {
  InetTestHost host;
  host.Learn();
  EXPECT_EQ("0707080a00000100", Answered(host, "070704", 8));
  EXPECT_EQ("070b0c0a0000010a00000100", Answered(host, "070b04", 12));
  EXPECT_EQ("070f100a0000020a0000010a00000100", Answered(host, "070f080a000002", 16));
  EXPECT_EQ("07030400", Answered(host, "070304"));                  // no room from the beginning
  EXPECT_EQ("0707080102030400", Answered(host, "07070801020304"));  // none left
  EXPECT_EQ("", Answered(host, "01010101"));
  EXPECT_EQ("", Answered(host, "94040000"));
  EXPECT_EQ("0707080a00000100", Answered(host, "9404000001070704", 12));  // the others are not said again
}

// RFC 791 §3.1, RFC 1122 §3.2.2.6. `host` says its own time, with the bit that marks it as such.
TEST(IpOptions, TimestampInAnEchoReply) {
  InetTestHost host({.start_ns = 0x1234 * kMillisecond});
  host.Learn();
  EXPECT_EQ("44080900" "80001234", Answered(host, "44080500", 8));
  EXPECT_EQ("440c0d00" "80001234" "80001234", Answered(host, "440c0500", 12));
  EXPECT_EQ("440c0d01" "0a000001" "80001234", Answered(host, "440c0501", 12));
  EXPECT_EQ("440c0d03" "0a000001" "80001234", Answered(host, "440c05030a000001", 12));
  EXPECT_EQ("440c0503" "0a000009" "00000000", Answered(host, "440c05030a000009", 12));  // somebody else's turn
  EXPECT_EQ("44040510", Answered(host, "44040500"));
  EXPECT_EQ("440809f0" "00000000", Answered(host, "440809e000000000"));
}

// RFC 1122 §3.2.2.5: who sent a malformed option is told where it is wrong (ip_options_compile).
TEST(IpOptions, ParameterProblem) {
  struct {
    const char* options;
    int pointer;
  } const cases[] = {
      {"0700", 20},
      {"0701", 20},
      {"010107ff", 22},
      {"01010107", 23},
      {"07020000", 21},
      {"0707030000000000", 22},
      {"0707050000000000", 22},
      {"0707070000000000", 22},
      {"0707040000000001" "07070400" "00000000", 28},  // twice
      {"44030500", 21},
      {"4408040000000000", 22},
      {"4408060000000000", 22},
      {"4408050100000000", 22},
      {"440809f000000000", 23},
      {"94030000", 21},
      {"8200", 20},
      {"0707ff0000000000", 0},  // long full
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.options);
    InetTestHost host;
    host.Learn();
    for (uint8_t protocol : {1, 17}) {
      const Bytes body = protocol == 1 ? IcmpEcho(8, 1, 2, Filler(8)) : Udp(4000, 9, Filler(8));
      host.Receive(Ethernet({}, Ipv4({.protocol = protocol, .options = Hex(c.options)}, body)));
      if (c.pointer == 0) {
        host.Sent();
        EXPECT_NE(DropReason::kIpOptions, host.last());
        continue;
      }
      EXPECT_EQ(DropReason::kIpOptions, host.last());
      ASSERT_TRUE(host.has_sent());
      const Packet error = Parse(host.TakeSent().frame);
      const View icmp = error.transport_bytes();
      EXPECT_EQ("0c00", HexOf(icmp.first(2)));
      EXPECT_EQ(c.pointer, std::to_integer<int>(icmp[4]));
    }
  }
}

// RFC 7126 §4.3, §4.4: silently.
TEST(IpOptions, SourceRoutesAreRefused) {
  InetTestHost host;
  host.Learn();
  for (const char* options : {"8307040a000063", "8907040a000063", "01830304"}) {
    host.Receive(Ethernet({}, Ipv4({.protocol = 1, .options = Hex(options)}, IcmpEcho(8, 1, 2, Filler(8)))));
    EXPECT_EQ(DropReason::kIpOptions, host.last());
    EXPECT_EQ("", host.Sent());
  }
}

// A reply that fits the path without its options only goes without them: fragments have none either.
TEST(IpOptions, LeftOutWhereTheyDoNotFit) {
  InetTestHost host({.mtu = 600});
  host.Learn();
  for (const size_t n : {564u - 8, 565u - 8, 580u - 8}) {  // of the ICMP message with 16 bytes of options
    host.Receive(Ethernet({}, Ipv4({.protocol = 1, .options = Hex("070f04", 16)}, IcmpEcho(8, 1, 2, Filler(n)))));
    EXPECT_EQ(DropReason::kConsumed, host.last());
    ASSERT_TRUE(host.has_sent()) << n;
    const Packet reply = Parse(host.TakeSent().frame);
    EXPECT_TRUE(reply.ok) << reply.problem;
    EXPECT_EQ(n == 564 - 8 ? 36u : 20u, reply.transport - reply.network);
    EXPECT_FALSE(host.has_sent());
    EXPECT_EQ(host.pool().size(), host.pool().free_count());
  }
}

// Every two bytes of every option: nothing is read or written beyond the header.
TEST(IpOptions, AnyBytes) {
  InetTestHost host;
  host.Learn();
  testing::Random random;
  for (int i = 0; i < 20000; ++i) {
    Bytes options(4 * (1 + random.Below(10)));
    for (std::byte& byte : options) byte = std::byte(random.Below(2) == 0 ? random.Below(16) : random.Below(256));
    const uint8_t kinds[] = {7, 0x44, 0x94};
    options[0] = std::byte(kinds[random.Below(3)]);
    host.Receive(Ethernet({}, Ipv4({.protocol = 1, .options = options}, IcmpEcho(8, 1, 2, Filler(8)))));
    while (host.has_sent()) EXPECT_TRUE(Parse(host.TakeSent().frame).ok);
  }
}

// RFC 792, RFC 1122 §3.2.2.8: what was sent, and when it came and left.
TEST(Icmp, Timestamp) {
  InetTestHost host({.start_ns = 0x1234 * kMillisecond});
  host.Learn();
  for (size_t n : {0, 11, 12, 40}) {
    Bytes message = IcmpEcho(13, 7, 9, Filler(n));
    const std::string request = HexOf(message);
    host.Receive(Ethernet({}, Ipv4({.protocol = 1}, message)));
    if (n < 12) {
      EXPECT_EQ(DropReason::kIcmpTruncated, host.last());
      continue;
    }
    const Packet reply = Parse(host.TakeSent().frame);
    EXPECT_TRUE(reply.ok) << reply.problem;
    const std::string icmp = HexOf(reply.transport_bytes());
    EXPECT_EQ("0e00", icmp.substr(0, 4));
    EXPECT_EQ(request.substr(8, 16) + "80001234" + "80001234", icmp.substr(8));
  }
}

}  // namespace
}  // namespace weir::testing_support
