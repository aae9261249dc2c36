// The IPv6 header, the Fragment header, and the walk through extension headers (RFC 8200 §3, §4).
#include <gtest/gtest.h>

#include "netstack/wire/icmp6.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/ipv6_extensions.h"
#include "tests/support/mutate.h"

namespace weir::testing_support {
namespace {

using netstack::Ipv6ExtensionResult;
using netstack::Ipv6FragmentHeader;
using netstack::Ipv6Header;
using netstack::WalkIpv6Extensions;
using Outcome = Ipv6ExtensionResult::Outcome;

TEST(Ipv6, ParseAndEmit) {  // RFC 8200 §3
  const Bytes bytes = Hex("6a5c def1 0102 3a ff"
                          "20010db8000000000000000000000001 ff0200000000000000000001ff000002");
  Ipv6Header header;
  header.Parse(bytes.data());
  EXPECT_EQ(6, header.version);
  EXPECT_EQ(0xa5, header.traffic_class);
  EXPECT_EQ(0xcdef1u, header.flow_label);
  EXPECT_EQ(0x0102, header.payload_length);
  EXPECT_EQ(netstack::kProtocolIcmp6, header.next_header);
  EXPECT_EQ(255, header.hop_limit);
  EXPECT_EQ("2001:db8::1", header.source.ToString());
  EXPECT_EQ("ff02::1:ff00:2", header.destination.ToString());
  Bytes emitted(Ipv6Header::kSize);
  header.Emit(emitted.data());
  EXPECT_EQ(bytes, emitted);
}

TEST(Ipv6, FragmentHeader) {  // RFC 8200 §4.5
  struct Case {
    const char* hex;
    uint16_t offset;
    bool more;
  };
  for (const Case& c : {Case{"06 00 0000 12345678", 0, false}, Case{"06 00 0001 12345678", 0, true},
                        Case{"06 00 05a8 12345678", 1448, false}, Case{"06 00 fff9 12345678", 65528, true}}) {
    SCOPED_TRACE(c.hex);
    const Bytes bytes = Hex(c.hex);
    Ipv6FragmentHeader header;
    header.Parse(bytes.data());
    EXPECT_EQ(6, header.next_header);
    EXPECT_EQ(c.offset, header.offset);
    EXPECT_EQ(c.more, header.more);
    EXPECT_EQ(0x12345678u, header.id);
    Bytes emitted(Ipv6FragmentHeader::kSize);
    header.Emit(emitted.data());
    EXPECT_EQ(bytes, emitted);
  }
  Ipv6FragmentHeader header;
  header.Parse(Hex("06 ff 000e 00000000").data());  // reserved bits are ignored
  EXPECT_EQ(8, header.offset);
  EXPECT_FALSE(header.more);
}

// What a walk came to, in one line.
std::string Describe(const Ipv6ExtensionResult& r) {
  const std::string alert = r.router_alert ? " alert" : "";
  switch (r.outcome) {
    case Outcome::kUpperLayer:
      return "protocol " + std::to_string(r.protocol) + " at " + std::to_string(r.offset) + " named at " +
             std::to_string(r.next_header_offset) + alert;
    case Outcome::kFragment:
      return "fragment at " + std::to_string(r.offset) + " named at " + std::to_string(r.next_header_offset) + alert +
             " of " + std::to_string(r.fragment.next_header) + " offset " + std::to_string(r.fragment.offset);
    case Outcome::kDrop: return "drop";
    case Outcome::kParameterProblem:
      return "problem " + std::to_string(r.code) + " at " + std::to_string(r.pointer) +
             (r.only_unicast ? "" : " also multicast");
    case Outcome::kTruncated: return "truncated";
  }
  return "";
}

struct WalkCase {
  const char* name;
  uint8_t next_header;
  const char* hex;
  const char* expected;
  size_t skipped = 0;
};

const WalkCase kWalkCases[] = {
    {"no extension", 6, "0000", "protocol 6 at 0 named at 6"},
    {"nothing at all behind the header", 17, "", "protocol 17 at 0 named at 6"},
    {"RFC 8200 §4.7: no next header", 59, "0000", "protocol 59 at 0 named at 6"},
    {"ESP ends the walk", 50, "3b00", "protocol 50 at 0 named at 6"},
    {"AH ends the walk", 51, "3b00", "protocol 51 at 0 named at 6"},
    {"a protocol nobody knows is the caller's", 200, "00", "protocol 200 at 0 named at 6"},

    {"RFC 8200 §4.3: hop-by-hop options", 0, "11 00 0104 00000000", "protocol 17 at 8 named at 40"},
    {"RFC 8200 §4.6: destination options", 60,
     "06 01 1e04 00000000 0104 00000000 1e00", "protocol 6 at 16 named at 40"},
    {"RFC 8200 §4.1: in the recommended order", 0,
     "3c00010400000000 2b00010400000000 3c00000000000000 3a00010400000000", "protocol 58 at 32 named at 64"},
    {"RFC 8200 §4.1: hop-by-hop not in front", 60, "00 00 0104 00000000 06 00 0104 00000000", "problem 1 at 40"},
    {"RFC 8200 §4.1: hop-by-hop twice", 0, "00 00 0104 00000000 06 00 0104 00000000", "problem 1 at 40"},
    {"options that end within the header", 0, "06 00 0104 00000000 ff", "protocol 6 at 8 named at 40"},
    {"header longer than the packet", 0, "06 01 0104 00000000", "truncated"},
    {"header of less than eight bytes", 60, "06 00 0104 000000", "truncated"},

    {"RFC 2711 §2.1: router alert for MLD", 0, "3a 00 0502 0000 0100", "protocol 58 at 8 named at 40 alert"},
    {"RFC 2711 §2.1: router alert for RSVP", 0, "3a 00 0502 0001 0100", "protocol 58 at 8 named at 40"},
    {"RFC 2711 §2.1: router alert of wrong length", 0, "3a 00 0501 00 010100", "drop"},
    {"router alert among destination options is an unknown option", 60, "3a 00 0502 0000 0100",
     "protocol 58 at 8 named at 40"},

    {"RFC 8200 §4.2: unknown, action 00", 0, "06 00 1e04 00000000", "protocol 6 at 8 named at 40"},
    {"RFC 8200 §4.2: unknown, action 01", 0, "06 00 5e04 00000000", "drop"},
    {"RFC 8200 §4.2: unknown, action 10", 0, "06 00 9e04 00000000", "problem 2 at 42 also multicast"},
    {"RFC 8200 §4.2: unknown, action 11", 0, "06 00 de04 00000000", "problem 2 at 42"},
    {"RFC 8200 §4.2: the pointer is the option's", 60, "06 00 0100 1e00 de00", "problem 2 at 46"},
    {"RFC 2675 §2: jumbo payload is not known", 0, "06 00 c204 00010000", "problem 2 at 42"},
    {"option without its length", 0, "06 00 1e03 000000 1e", "truncated"},
    {"option beyond its header", 0, "06 00 1e05 00000000 0000000000000000", "truncated"},

    {"RFC 8200 §4.4: routing header with no segments left", 43, "06 00 0400 00000000", "protocol 6 at 8 named at 40"},
    {"RFC 8200 §4.4: routing header with segments left", 43, "06 00 0401 00000000", "problem 0 at 42"},
    {"RFC 5095 §3: type 0 with no segments left", 43, "06 00 0000 00000000", "protocol 6 at 8 named at 40"},
    {"RFC 5095 §3: type 0 with segments left", 43,
     "06 02 0001 00000000 20010db8000000000000000000000001", "problem 0 at 42"},

    {"RFC 8200 §4.5: fragment in front", 44, "11 00 0001 00000007", "fragment at 0 named at 6 of 17 offset 0"},
    {"RFC 8200 §4.5: fragment behind options", 0, "2c 00 0502 0000 0100 3a 00 0010 00000007",
     "fragment at 8 named at 40 alert of 58 offset 16"},
    {"fragment header cut off", 44, "11 00 0001 000000", "truncated"},

    {"RFC 8504 §5.3: eight options", 0, "06 02 1e00 1e00 1e00 1e00 1e00 1e00 1e00 1e00 0104 00000000",
     "protocol 6 at 24 named at 40"},
    {"RFC 8504 §5.3: nine options", 0, "06 02 1e00 1e00 1e00 1e00 1e00 1e00 1e00 1e00 1e00 0102 0000", "drop"},
    {"RFC 8504 §5.3: seven bytes of padding", 0,
     "06 01 0105 0000000000 1e05 0000000000", "protocol 6 at 16 named at 40"},
    {"RFC 8504 §5.3: eight bytes of padding", 0, "06 01 0106 000000000000 1e04 00000000", "drop"},
    {"RFC 8504 §5.3: eight times Pad1", 60, "06 01 0000000000000000 1e04 00000000", "drop"},
    {"padding in pieces", 60, "06 01 0101 00 00 1e01 00 0101 00 0000 0000", "protocol 6 at 16 named at 40"},

    {"reassembled: pointers are those of the first fragment", 60, "06 00 de04 00000000", "problem 2 at 58", 16},
    {"reassembled: the Fragment header names the first", 17, "0000", "protocol 17 at 0 named at 48", 16},
    {"reassembled: hop-by-hop is out of place", 0, "06 00 0104 00000000", "problem 1 at 40", 8},
    {"reassembled: no second Fragment header", 44, "11 00 0001 00000007", "problem 0 at 48", 8},
};

TEST(Ipv6Extensions, Cases) {
  for (const WalkCase& c : kWalkCases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(c.expected, Describe(WalkIpv6Extensions(Hex(c.hex), c.next_header, c.skipped)));
  }
}

TEST(Ipv6Extensions, AtMostEightHeaders) {
  for (size_t headers : {7, 8, 9, 200}) {
    Bytes bytes;
    for (size_t i = 1; i < headers; ++i) Append(bytes, Hex("3c00010400000000"));
    Append(bytes, Hex("0600010400000000"));
    EXPECT_EQ(headers <= 8 ? "protocol 6 at " + std::to_string(8 * headers) + " named at " +
                                 std::to_string(32 + 8 * headers)
                           : "drop",
              Describe(WalkIpv6Extensions(bytes, 60)));
  }
}

// RFC 8200 §4: the walk only succeeds when every header is there.
TEST(Ipv6Extensions, Truncated) {
  const Bytes chain = Hex("3c00050200000100 2b00010400000000 2c00000000000000 1100000100000007");
  ASSERT_EQ("fragment at 24 named at 56 alert of 17 offset 0", Describe(WalkIpv6Extensions(chain, 0)));
  ForEachTruncation(chain, [](const Bytes& bytes) {
    EXPECT_EQ(Outcome::kTruncated, WalkIpv6Extensions(bytes, 0).outcome) << bytes.size();
  });
}

// Whatever comes: the walk ends, stays within the bytes, and what it says lies within them.
TEST(Ipv6Extensions, Mutated) {
  testing::Random random;
  for (const WalkCase& c : kWalkCases) {
    ForEachMutation(Hex(c.hex), 2000, random, [&](const Bytes& bytes) {
      const Ipv6ExtensionResult r = WalkIpv6Extensions(bytes, c.next_header, c.skipped);
      ASSERT_LE(r.offset, bytes.size());
      ASSERT_LE(r.pointer, Ipv6Header::kSize + c.skipped + bytes.size());
      if (r.outcome == Outcome::kFragment) ASSERT_LE(r.offset + Ipv6FragmentHeader::kSize, bytes.size());
    });
  }
}

}  // namespace
}  // namespace weir::testing_support
