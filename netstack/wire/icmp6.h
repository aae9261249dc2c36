// ICMPv6 message headers: errors and echo (RFC 4443), MLD (RFC 3810 §5, RFC 2710 §3) and Neighbor Discovery
// (RFC 4861 §4). The layout is that of kIcmpHeader; the checksum covers the IPv6 pseudo-header too (RFC 4443 §2.3).
#ifndef NETSTACK_WIRE_ICMP6_H_
#define NETSTACK_WIRE_ICMP6_H_

#include <cstdint>

namespace weir::netstack {

inline constexpr uint8_t kIcmp6Unreachable = 1;
inline constexpr uint8_t kIcmp6PacketTooBig = 2;  // the last four bytes are the next hop's MTU
inline constexpr uint8_t kIcmp6TimeExceeded = 3;
inline constexpr uint8_t kIcmp6ParameterProblem = 4;  // the last four bytes are the pointer
inline constexpr uint8_t kIcmp6EchoRequest = 128;
inline constexpr uint8_t kIcmp6EchoReply = 129;
inline constexpr uint8_t kIcmp6MldQuery = 130;
inline constexpr uint8_t kIcmp6MldV1Report = 131;
inline constexpr uint8_t kIcmp6MldV1Done = 132;
inline constexpr uint8_t kIcmp6RouterSolicitation = 133;
inline constexpr uint8_t kIcmp6RouterAdvertisement = 134;
inline constexpr uint8_t kIcmp6NeighborSolicitation = 135;
inline constexpr uint8_t kIcmp6NeighborAdvertisement = 136;
inline constexpr uint8_t kIcmp6Redirect = 137;
inline constexpr uint8_t kIcmp6MldV2Report = 143;

// Below it are the errors (RFC 4443 §2.1).
inline constexpr uint8_t kIcmp6FirstInformational = 128;

// Of kIcmp6Unreachable (RFC 4443 §3.1).
inline constexpr uint8_t kIcmp6CodeNoRoute = 0;
inline constexpr uint8_t kIcmp6CodeAdministrativelyProhibited = 1;
inline constexpr uint8_t kIcmp6CodeAddressUnreachable = 3;
inline constexpr uint8_t kIcmp6CodePortUnreachable = 4;

// Of kIcmp6TimeExceeded (RFC 4443 §3.3).
inline constexpr uint8_t kIcmp6CodeHopLimitExceeded = 0;
inline constexpr uint8_t kIcmp6CodeReassemblyTimeExceeded = 1;

// Of kIcmp6ParameterProblem (RFC 4443 §3.4; RFC 7112 §5 for the last).
inline constexpr uint8_t kIcmp6CodeField = 0;
inline constexpr uint8_t kIcmp6CodeNextHeader = 1;
inline constexpr uint8_t kIcmp6CodeOption = 2;
inline constexpr uint8_t kIcmp6CodeIncompleteHeaderChain = 3;

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_ICMP6_H_
