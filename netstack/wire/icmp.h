// ICMP message headers (RFC 792; RFC 1812 §4.3 and RFC 1122 §3.2.2 for the later codes).
#ifndef NETSTACK_WIRE_ICMP_H_
#define NETSTACK_WIRE_ICMP_H_

#include <cstddef>
#include <cstdint>

namespace weir::netstack {

inline constexpr uint8_t kIcmpEchoReply = 0;
inline constexpr uint8_t kIcmpUnreachable = 3;
inline constexpr uint8_t kIcmpRedirect = 5;
inline constexpr uint8_t kIcmpEchoRequest = 8;
inline constexpr uint8_t kIcmpTimeExceeded = 11;
inline constexpr uint8_t kIcmpParameterProblem = 12;
inline constexpr uint8_t kIcmpTimestamp = 13;
inline constexpr uint8_t kIcmpTimestampReply = 14;

// Of kIcmpUnreachable.
inline constexpr uint8_t kIcmpCodeNetUnreachable = 0;
inline constexpr uint8_t kIcmpCodeHostUnreachable = 1;
inline constexpr uint8_t kIcmpCodeProtocolUnreachable = 2;
inline constexpr uint8_t kIcmpCodePortUnreachable = 3;
inline constexpr uint8_t kIcmpCodeFragmentationNeeded = 4;  // the last two bytes are the next hop's MTU (RFC 1191 §4)
inline constexpr uint8_t kIcmpCodeSourceRouteFailed = 5;
inline constexpr uint8_t kIcmpCodeNetProhibited = 9;  // RFC 1122 §3.2.2.1
inline constexpr uint8_t kIcmpCodeHostProhibited = 10;
inline constexpr uint8_t kIcmpCodeAdministrativelyProhibited = 13;  // RFC 1812 §5.2.7.1

// Of kIcmpTimeExceeded.
inline constexpr uint8_t kIcmpCodeTtlExceeded = 0;
inline constexpr uint8_t kIcmpCodeReassemblyTimeExceeded = 1;

// Type, code, checksum, and four bytes that depend on the type.
inline constexpr size_t kIcmpHeader = 8;
inline constexpr size_t kIcmpChecksumOffset = 2;
inline constexpr size_t kIcmpIdentifierOffset = 4;  // of echo requests and replies, of ICMPv6 too
// The same with three times: of sending, of receiving, of sending back.
inline constexpr size_t kIcmpTimestampSize = kIcmpHeader + 12;

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_ICMP_H_
