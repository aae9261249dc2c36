// The TCP header and its options (RFC 9293 §3.1, §3.2; RFC 7323 §2 for the window scale and §3 for timestamps; RFC 2018
// for selective acknowledgments; RFC 7413 §4.1.1 for Fast Open).
#ifndef NETSTACK_WIRE_TCP_H_
#define NETSTACK_WIRE_TCP_H_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>

#include "netstack/wire/checksum.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {

inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpSyn = 0x02;
inline constexpr uint8_t kTcpRst = 0x04;
inline constexpr uint8_t kTcpPsh = 0x08;
inline constexpr uint8_t kTcpAck = 0x10;
inline constexpr uint8_t kTcpUrg = 0x20;
inline constexpr uint8_t kTcpEce = 0x40;  // RFC 3168 §6.1
inline constexpr uint8_t kTcpCwr = 0x80;

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
  uint16_t urgent = 0;  // from seq to the byte behind the urgent one

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
    urgent = LoadBe16(p + 18);
  }
  // Writes kMinSize bytes; the checksum is left zero. Returns the sum of what was written (RFC 1071),
  // which costs less than to read it back.
  [[gnu::always_inline]] ChecksumSum Emit(std::byte* p) const {
    const uint32_t words[] = {uint32_t{source_port} << 16 | destination_port, seq, ack,
                              uint32_t{header_size} / 4 << 28 | uint32_t{flags} << 16 | window, urgent};
    ChecksumSum sum = 0;
    for (size_t i = 0; i < std::size(words); ++i) {
      runtime::StoreBe32(p + 4 * i, words[i]);
      sum += SumWord(words[i]);
    }
    return sum;
  }
};

// A range of sequence numbers that arrived: [start, end) (RFC 2018 §3).
struct TcpSackBlock {
  uint32_t start = 0;
  uint32_t end = 0;
  friend bool operator==(const TcpSackBlock&, const TcpSackBlock&) = default;
};

// The options that the stack uses. RFC 9293 §3.1: unknown options are skipped by their length, and so are known ones of
// a wrong length; what is malformed ends the list, and what was read before it counts. Of an option that is repeated
// the last one counts. Linux: tcp_parse_options.
struct TcpOptions {
  static constexpr uint8_t kEnd = 0;
  static constexpr uint8_t kNop = 1;
  static constexpr uint8_t kMss = 2;
  static constexpr uint8_t kWindowScale = 3;
  static constexpr uint8_t kSackPermitted = 4;
  static constexpr uint8_t kSack = 5;
  static constexpr uint8_t kTimestamps = 8;
  static constexpr uint8_t kFastOpen = 34;
  // RFC 7323 §2.3: a shift above 14 is taken as 14.
  static constexpr uint8_t kMaxWindowScale = 14;
  static constexpr size_t kMaxSize = TcpHeader::kMaxSize - TcpHeader::kMinSize;
  // With the two NOPs that align it (RFC 7323 appendix A).
  static constexpr size_t kTimestampsSize = 12;
  static constexpr uint32_t kAlignedTimestamps = kNop << 24 | kNop << 16 | kTimestamps << 8 | 10;
  // RFC 2018 §3: as many as 40 bytes hold, with two NOPs in front of the option: 4 + 8 * 4 = 36.
  static constexpr size_t kMaxSackBlocks = 4;
  // RFC 7413 §4.1.1: of an even size between them.
  static constexpr size_t kMinCookie = 4, kMaxCookie = 16;

  bool has_mss = false;
  bool has_window_scale = false;
  bool sack_permitted = false;
  bool has_timestamps = false;
  bool has_fast_open = false;
  uint16_t mss = 0;
  uint8_t window_scale = 0;
  uint8_t sack_blocks = 0;  // at `sack`: where they lie in what was parsed, or what Emit takes
  uint8_t cookie_size = 0;  // at `cookie`, likewise; 0 with has_fast_open: one is asked for
  uint32_t ts_val = 0;
  uint32_t ts_ecr = 0;
  const std::byte* sack = nullptr;
  const std::byte* cookie = nullptr;

  TcpSackBlock sack_block(size_t i) const {
    return {runtime::LoadBe32(sack + 8 * i), runtime::LoadBe32(sack + 8 * i + 4)};
  }
  static void StoreSackBlock(std::byte* p, const TcpSackBlock& block) {
    runtime::StoreBe32(p, block.start);
    runtime::StoreBe32(p + 4, block.end);
  }

  // The usual options of an established connection are the timestamps alone, aligned: one comparison tells.
  void Parse(std::span<const std::byte> options) {
    if (options.size() == kTimestampsSize && runtime::LoadBe32(options.data()) == kAlignedTimestamps) [[likely]] {
      has_timestamps = true;
      ts_val = runtime::LoadBe32(options.data() + 4);
      ts_ecr = runtime::LoadBe32(options.data() + 8);
    } else if (!options.empty()) {
      ParseAny(options);
    }
  }
  // Writes a multiple of four bytes, in the order of Linux, and returns how many; `p` has room for kMaxSize. As many
  // SACK blocks go in as fit beside the others.
  size_t Emit(std::byte* p) const;

 private:
  void ParseAny(std::span<const std::byte> options);
};

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_TCP_H_
