// Frames for protocol tests: made by hand, and described in one line of text. Written apart from netstack/wire, with a
// checksum that is as slow and plain as RFC 1071 says it, so that a mistake there is not made here again.
//
//   Bytes frame = Ethernet({.type = 0x0800}, Ipv4({.protocol = 17}, Udp(4000, 7, Text("hello"))));
//   EXPECT_EQ("udp 10.0.0.1:7 > 10.0.0.2:4000 5 bytes", Describe(reply));
//
// The peer is 10.0.0.2 with MAC 02:00:00:00:00:02, the host under test 10.0.0.1 with 02:00:00:00:00:01.
#ifndef TESTS_SUPPORT_PACKETS_H_
#define TESTS_SUPPORT_PACKETS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace weir::testing_support {

using Bytes = std::vector<std::byte>;
using View = std::span<const std::byte>;
using Mac = std::array<uint8_t, 6>;

inline constexpr Mac kHostMac = {2, 0, 0, 0, 0, 1};
inline constexpr Mac kPeerMac = {2, 0, 0, 0, 0, 2};
inline constexpr Mac kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
inline constexpr uint32_t kHostIp = 0x0a000001;
inline constexpr uint32_t kPeerIp = 0x0a000002;

uint16_t Get16(View bytes, size_t at);
uint32_t Get32(View bytes, size_t at);
void Put16(Bytes& bytes, size_t at, uint16_t value);
void Put32(Bytes& bytes, size_t at, uint32_t value);
void Append16(Bytes& bytes, uint16_t value);
void Append32(Bytes& bytes, uint32_t value);
void Append(Bytes& bytes, View more);
Bytes Text(absl::string_view text);
// The bytes of an address.
Bytes Address(const std::array<uint8_t, 16>& bytes);
// `n` bytes that differ from their neighbours.
Bytes Filler(size_t n);

// The one's complement sum of big-endian 16-bit words (RFC 1071 §1); its complement is the checksum.
uint16_t NaiveSum(View bytes, uint32_t start = 0);

struct EthernetSpec {
  Mac destination = kHostMac;
  Mac source = kPeerMac;
  std::vector<uint32_t> tags;  // TPID << 16 | TCI
  uint16_t type = 0x0800;
};
Bytes Ethernet(const EthernetSpec& spec, View payload);

struct ArpSpec {
  uint16_t operation = 1;
  Mac sender_mac = kPeerMac;
  uint32_t sender_ip = kPeerIp;
  Mac target_mac = {};
  uint32_t target_ip = kHostIp;
};
Bytes Arp(const ArpSpec& spec);

struct Ipv4Spec {
  uint8_t protocol = 17;
  uint32_t source = kPeerIp;
  uint32_t destination = kHostIp;
  uint8_t version = 4;
  uint8_t tos = 0;
  uint16_t id = 0x1234;
  uint16_t fragment = 0;
  uint8_t ttl = 64;
  Bytes options;                         // a multiple of four bytes
  std::optional<uint8_t> header_words;   // else right
  std::optional<uint16_t> total_length;  // else right
  bool bad_checksum = false;
};
Bytes Ipv4(const Ipv4Spec& spec, View payload);

Bytes IcmpEcho(uint8_t type, uint16_t id, uint16_t sequence, View payload);

// UDP and TCP carry checksums over the addresses: the same as in the packet they are put into.
struct Flow {
  uint32_t source = kPeerIp;
  uint32_t destination = kHostIp;
};
Bytes Udp(uint16_t source_port, uint16_t destination_port, View payload, const Flow& flow = {});

struct TcpSpec {
  uint16_t source_port = 40000;
  uint16_t destination_port = 80;
  uint32_t seq = 0;
  uint32_t ack = 0;
  uint8_t flags = 0;
  uint16_t window = 65535;
  uint16_t urgent = 0;
  Bytes options;  // a multiple of four bytes
};
Bytes Tcp(const TcpSpec& spec, View payload, const Flow& flow = {});
// Puts the right checksum in again after a change; `segment` begins at the TCP (6) or UDP (17) header.
void FixTransportChecksum(std::span<std::byte> segment, uint8_t protocol, const Flow& flow);

// A frame that the host under test sent, taken apart. Offsets are from the frame's start.
struct Packet {
  Bytes frame;
  size_t network = 14;
  uint16_t type = 0;
  bool ok = false;        // every length and checksum is right
  std::string problem;    // when not ok
  uint8_t protocol = 0;   // of an IPv4 packet
  uint32_t source = 0;
  uint32_t destination = 0;
  size_t transport = 0;   // transport header
  size_t payload = 0;     // transport payload
  size_t end = 0;         // of the IP packet

  View transport_bytes() const { return View(frame).subspan(transport, end - transport); }
  View payload_bytes() const { return View(frame).subspan(payload, end - payload); }
};
Packet Parse(Bytes frame, uint8_t ttl = 64);
// One line: "arp who-has 10.0.0.2 tell 10.0.0.1", "icmp echo-reply 10.0.0.1 > 10.0.0.2 id 1 seq 2 56 bytes", ...
// Ethernet addresses are left out; a packet with a wrong checksum or length begins with "BAD".
std::string Describe(const Packet& packet);
std::string Ip(uint32_t ip);

}  // namespace weir::testing_support

#endif  // TESTS_SUPPORT_PACKETS_H_
