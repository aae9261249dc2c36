// IPv6 packets for protocol tests, as packets.h has them for IPv4: made by hand with a plain checksum, and described in one
// line. The peer is fd00::2 and fe80::2, the host under test fd00::1.
//
//   Bytes frame = Ethernet({.type = 0x86dd}, Ipv6({.protocol = 58}, Icmp6({.type = 128}, Text("...."))));
//   EXPECT_EQ("icmp6 129/0 fd00::1 > fd00::2 hop 64: 4 bytes", Describe6(host.TakeSent().frame));
#ifndef TESTS_SUPPORT_PACKETS6_H_
#define TESTS_SUPPORT_PACKETS6_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/packets.h"

namespace weir::testing_support {

inline constexpr char kHostIp6[] = "fd00::1";
inline constexpr char kPeerIp6[] = "fd00::2";

// An extension header: `protocol` is its own number; its bytes without the next-header field, which is filled in.
struct Extension6 {
  uint8_t protocol;
  Bytes rest;
};

struct Ipv6Spec {
  uint8_t protocol = 17;  // of the payload
  std::string source = kPeerIp6;
  std::string destination = kHostIp6;
  std::vector<Extension6> extensions = {};
  uint8_t version = 6;
  uint8_t hop_limit = 64;
  std::optional<uint16_t> payload_length = {};  // else right
};
Bytes Ipv6(const Ipv6Spec& spec, View payload);

struct Icmp6Spec {
  uint8_t type = 128;
  uint8_t code = 0;
  uint32_t word = 0;  // the four bytes behind the checksum
  std::string source = kPeerIp6;
  std::string destination = kHostIp6;
};
Bytes Icmp6(const Icmp6Spec& spec, View body);
Bytes Udp6(uint16_t source_port, uint16_t destination_port, View payload, const std::string& source = kPeerIp6,
           const std::string& destination = kHostIp6);
Bytes Tcp6(const TcpSpec& spec, View payload, const std::string& source = kPeerIp6,
           const std::string& destination = kHostIp6);

// One line for a frame that the host under test sent: "udp6 fd00::1:7 > fd00::2:4000 hop 64: 5 bytes", and as above for
// ICMPv6. Begins with "BAD" when a length or a checksum is wrong.
std::string Describe6(const Bytes& frame);

}  // namespace weir::testing_support

#endif  // TESTS_SUPPORT_PACKETS6_H_
