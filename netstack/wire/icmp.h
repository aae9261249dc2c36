// ICMP message headers (RFC 792).
#ifndef NETSTACK_WIRE_ICMP_H_
#define NETSTACK_WIRE_ICMP_H_

#include <cstddef>
#include <cstdint>

namespace weir::netstack {

inline constexpr uint8_t kIcmpEchoReply = 0;
inline constexpr uint8_t kIcmpUnreachable = 3;
inline constexpr uint8_t kIcmpEchoRequest = 8;

inline constexpr uint8_t kIcmpCodeProtocolUnreachable = 2;
inline constexpr uint8_t kIcmpCodePortUnreachable = 3;

// Type, code, checksum, and four bytes that depend on the type.
inline constexpr size_t kIcmpHeader = 8;
inline constexpr size_t kIcmpChecksumOffset = 2;

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_ICMP_H_
