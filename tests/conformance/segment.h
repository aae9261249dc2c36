// A packet of the stack taken apart, whichever version of IP it came by, with every length and checksum looked at.
#ifndef TESTS_CONFORMANCE_SEGMENT_H_
#define TESTS_CONFORMANCE_SEGMENT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "tests/support/packets.h"

namespace weir::conformance {

using testing_support::Bytes;
using testing_support::View;

inline constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32, kEce = 64, kCwr = 128;
inline constexpr uint8_t kTcp = 6, kUdp = 17;

struct Segment {
  std::string problem;   // of lengths and checksums; "": none
  bool v6 = false;
  uint8_t protocol = 0;  // kTcp, kUdp, or one of the two ICMPs
  uint8_t ttl = 0, tos = 0;
  bool dont_fragment = false;
  uint16_t source_port = 0, destination_port = 0;
  uint32_t seq = 0, ack = 0;
  uint8_t flags = 0;
  uint16_t window = 0, urgent = 0;
  Bytes options, data;
  Bytes packet;          // from the IP header on
  bool icmp = false;
  uint8_t icmp_type = 0, icmp_code = 0;
};

// Nothing for what is no TCP, UDP or ICMP error: ARP, neighbour discovery, reports of group membership.
std::optional<Segment> TakeApart(const Bytes& frame);

// The answer to a question for the peer's link-layer address (ARP, neighbour solicitation), if `frame` is one.
std::optional<Bytes> AnswerAddress(const Bytes& frame);

// A packet from the peer to the stack (tests/support/packets.h says where they are), in a frame.
Bytes FrameFor(bool v6, uint8_t protocol, Bytes transport, uint8_t ttl, uint8_t tos);

struct IcmpError {
  const char* name;
  int type4, code4;  // -1: none of this version
  int type6, code6;
};
const IcmpError* FindIcmpError(const std::string& name);
std::string IcmpErrorName(const Segment& segment);
// About `quoted`, a packet of the stack from its IP header on.
Bytes IcmpErrorFrame(bool v6, const IcmpError& error, uint32_t mtu, const Bytes& quoted);

}  // namespace weir::conformance

#endif  // TESTS_CONFORMANCE_SEGMENT_H_
