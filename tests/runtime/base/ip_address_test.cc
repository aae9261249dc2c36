#include "runtime/base/ip_address.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(IpAddress, ParsesBothFamilies) {
  const IpAddress v4 = *IpAddress::Parse("10.1.2.3");
  EXPECT_TRUE(v4.is_v4());
  EXPECT_EQ(v4.v4(), 0x0a010203u);
  EXPECT_EQ(v4, IpAddress::V4(0x0a010203));
  EXPECT_EQ(v4.ToString(), "10.1.2.3");
  const IpAddress v6 = *IpAddress::Parse("fe80::1:2");
  EXPECT_FALSE(v6.is_v4());
  EXPECT_EQ(v6.ToString(), "fe80::1:2");
  // RFC 4291 §2.5.5.2: the IPv4-mapped form is that IPv4 address.
  EXPECT_EQ(*IpAddress::Parse("::ffff:10.1.2.3"), v4);
}

TEST(IpAddress, RefusesWhatIsNone) {
  for (const char* text : {"", "10.0.0", "10.0.0.256", "1.2.3.4.5", "fe80::1::2", "localhost", "10.0.0.1 ", ":"}) {
    EXPECT_FALSE(IpAddress::Parse(text).ok()) << text;
  }
}

TEST(IpAddress, Any) {
  EXPECT_TRUE(IpAddress().is_any());
  EXPECT_TRUE(IpAddress::V4(0).is_any());
  EXPECT_FALSE(IpAddress().is_v4());
  EXPECT_EQ(*IpAddress::Parse("::"), IpAddress());
  EXPECT_FALSE(IpAddress::V4(1).is_any());
}

TEST(Endpoint, Parses) {
  EXPECT_EQ(*Endpoint::Parse("10.0.0.2:80"), (Endpoint{IpAddress::V4(0x0a000002), 80}));
  EXPECT_EQ(*Endpoint::Parse("[fe80::1]:8080"), (Endpoint{*IpAddress::Parse("fe80::1"), 8080}));
  EXPECT_EQ(*Endpoint::Parse(":80"), (Endpoint{IpAddress(), 80}));
  EXPECT_EQ(*Endpoint::Parse("80"), (Endpoint{IpAddress(), 80}));
  EXPECT_EQ(Endpoint::Parse("[fe80::1]:8080")->ToString(), "[fe80::1]:8080");
  EXPECT_EQ(Endpoint::Parse("10.0.0.2:80")->ToString(), "10.0.0.2:80");
}

TEST(Endpoint, RefusesWhatIsNone) {
  for (const char* text : {"", ":", "10.0.0.2:", "10.0.0.2:65536", "10.0.0.2:-1", "fe80::1:80", "10.0.0:80", "[::1]",
                           "a:b", "10.0.0.2:80x"}) {
    EXPECT_FALSE(Endpoint::Parse(text).ok()) << text;
  }
}

TEST(IpPrefix, Contains) {
  const IpPrefix net = *IpPrefix::Parse("10.0.0.2/22");
  EXPECT_EQ(net.length, 22);
  EXPECT_TRUE(net.Contains(*IpAddress::Parse("10.0.3.255")));
  EXPECT_FALSE(net.Contains(*IpAddress::Parse("10.0.4.0")));
  EXPECT_FALSE(net.Contains(*IpAddress::Parse("fe80::1")));
  const IpPrefix v6 = *IpPrefix::Parse("2001:db8::/33");
  EXPECT_TRUE(v6.Contains(*IpAddress::Parse("2001:db8:7fff::1")));
  EXPECT_FALSE(v6.Contains(*IpAddress::Parse("2001:db8:8000::1")));
  EXPECT_TRUE(IpPrefix::Parse("0.0.0.0/0")->Contains(*IpAddress::Parse("1.2.3.4")));
  EXPECT_FALSE(IpPrefix::Parse("::/0")->Contains(*IpAddress::Parse("1.2.3.4")));
  EXPECT_EQ(IpPrefix::Parse("10.0.0.1")->length, 32);
  EXPECT_EQ(IpPrefix::Parse("::1")->length, 128);
  for (const char* text : {"10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/", "/8", "10.0.0.0/x"}) {
    EXPECT_FALSE(IpPrefix::Parse(text).ok()) << text;
  }
}

// An address that differs from the prefix in one bit is in it exactly when that bit is behind the length.
TEST(IpPrefix, ContainsWhatDiffersBehindItsLength) {
  const struct {
    IpAddress ip;
    int bits;
  } families[] = {{*IpAddress::Parse("2001:db8::5a5a"), 128}, {IpAddress::V4(0x0a5a0000), 32}};
  for (const auto& [ip, bits] : families) {
    for (int length = 0; length <= bits; ++length) {
      const IpPrefix prefix{ip, length};
      for (int bit = 0; bit < bits; ++bit) {
        std::array<uint8_t, 16> bytes = ip.bytes();
        const int at = 128 - bits + bit;
        bytes[at / 8] ^= 0x80 >> at % 8;
        EXPECT_EQ(prefix.Contains(IpAddress::V6(bytes)), bit >= length) << prefix.ToString() << ", bit " << bit;
      }
    }
  }
}

}  // namespace
}  // namespace weir
