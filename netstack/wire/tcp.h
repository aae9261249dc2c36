// The TCP header and its options (RFC 9293 §3.1, §3.2; RFC 7323 §2 for the window scale).
#ifndef NETSTACK_WIRE_TCP_H_
#define NETSTACK_WIRE_TCP_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/base/byte_order.h"

namespace weir::netstack {

inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpSyn = 0x02;
inline constexpr uint8_t kTcpRst = 0x04;
inline constexpr uint8_t kTcpPsh = 0x08;
inline constexpr uint8_t kTcpAck = 0x10;
inline constexpr uint8_t kTcpUrg = 0x20;

struct TcpHeader {
  static constexpr size_t kMinSize = 20;
  static constexpr size_t kMaxSize = 60;
  static constexpr size_t kChecksumOffset = 16;

  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t seq = 0;
  uint32_t ack = 0;
  uint8_t header_size = kMinSize;  // bytes, with options
  uint8_t flags = 0;
  uint16_t window = 0;  // as on the wire, not scaled

  bool has(uint8_t flag) const { return (flags & flag) != 0; }

  // Reads the first kMinSize bytes; judges nothing.
  void Parse(const std::byte* p) {
    using runtime::LoadBe16, runtime::LoadBe32, runtime::LoadU8;
    source_port = LoadBe16(p);
    destination_port = LoadBe16(p + 2);
    seq = LoadBe32(p + 4);
    ack = LoadBe32(p + 8);
    header_size = static_cast<uint8_t>((LoadU8(p + 12) >> 4) * 4);
    flags = LoadU8(p + 13);
    window = LoadBe16(p + 14);
  }
  // Writes kMinSize bytes; checksum and urgent pointer are left zero.
  void Emit(std::byte* p) const {
    using runtime::StoreBe16, runtime::StoreBe32;
    StoreBe16(p, source_port);
    StoreBe16(p + 2, destination_port);
    StoreBe32(p + 4, seq);
    StoreBe32(p + 8, ack);
    StoreBe16(p + 12, static_cast<uint16_t>(header_size / 4 << 12 | flags));
    StoreBe16(p + 14, window);
    StoreBe32(p + 16, 0);
  }
};

// The options that the stack uses. RFC 9293 §3.1: unknown options are skipped by their length; what is malformed ends
// the list, and what was read before it counts.
struct TcpOptions {
  static constexpr uint8_t kEnd = 0;
  static constexpr uint8_t kNop = 1;
  static constexpr uint8_t kMss = 2;
  static constexpr uint8_t kWindowScale = 3;
  // RFC 7323 §2.3: a shift above 14 is taken as 14.
  static constexpr uint8_t kMaxWindowScale = 14;

  bool has_mss = false;
  bool has_window_scale = false;
  uint16_t mss = 0;
  uint8_t window_scale = 0;

  void Parse(std::span<const std::byte> options);
  // Writes a multiple of four bytes (at most 8) and returns how many.
  size_t Emit(std::byte* p) const;
};

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_TCP_H_
