// The IPv4 header (RFC 791 §3.1).
#ifndef NETSTACK_WIRE_IPV4_H_
#define NETSTACK_WIRE_IPV4_H_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>

#include "netstack/wire/checksum.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {

inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;

struct Ipv4Header {
  static constexpr size_t kMinSize = 20;
  static constexpr size_t kTosOffset = 1;
  static constexpr size_t kTotalLengthOffset = 2;
  static constexpr size_t kFragmentOffset = 6;
  static constexpr size_t kTtlOffset = 8;
  static constexpr size_t kProtocolOffset = 9;
  static constexpr size_t kChecksumOffset = 10;
  static constexpr size_t kSourceOffset = 12;
  static constexpr size_t kDestinationOffset = 16;
  static constexpr uint16_t kDontFragment = 0x4000;
  static constexpr uint16_t kMoreFragments = 0x2000;
  static constexpr uint16_t kOffsetMask = 0x1fff;

  uint8_t version = 4;
  uint8_t header_size = kMinSize;  // bytes
  uint8_t tos = 0;
  uint16_t total_length = 0;
  uint16_t id = 0;
  uint16_t fragment = 0;  // flags and offset
  uint8_t ttl = 64;
  uint8_t protocol = 0;
  uint32_t source = 0;  // host order
  uint32_t destination = 0;

  bool is_fragment() const { return (fragment & (kMoreFragments | kOffsetMask)) != 0; }
  static bool IsFragment(const std::byte* p) {
    return (runtime::LoadBe16(p + kFragmentOffset) & (kMoreFragments | kOffsetMask)) != 0;
  }

  // Reads the first kMinSize bytes; judges nothing.
  void Parse(const std::byte* p) {
    using runtime::LoadBe16, runtime::LoadBe32, runtime::LoadU8;
    version = LoadU8(p) >> 4;
    header_size = static_cast<uint8_t>((LoadU8(p) & 0xf) * 4);
    tos = LoadU8(p + 1);
    total_length = LoadBe16(p + 2);
    id = LoadBe16(p + 4);
    fragment = LoadBe16(p + 6);
    ttl = LoadU8(p + 8);
    protocol = LoadU8(p + 9);
    source = LoadBe32(p + 12);
    destination = LoadBe32(p + 16);
  }

  // Of header_size bytes at `p`. Nearly all headers have no options.
  ChecksumSum SumHeader(const std::byte* p) const {
    if (header_size != kMinSize) [[unlikely]] return SumBytes({p, header_size});
    const WideSum sum = SumOf<kMinSize>(p);
    return (sum & 0xffffffff) + (sum >> 32);
  }

  // Writes kMinSize bytes, with the checksum of header_size bytes: options lie behind them already. The sum is that of
  // the words as they are stored: to read back in other sizes what was just written would make the processor wait.
  [[gnu::always_inline]] void Emit(std::byte* p) const {
    using runtime::StoreBe32;
    const uint32_t words[kMinSize / 4] = {
        uint32_t{4} << 28 | uint32_t{header_size} / 4 << 24 | uint32_t{tos} << 16 | total_length,
        uint32_t{id} << 16 | fragment, uint32_t{ttl} << 24 | uint32_t{protocol} << 16, source, destination};
    ChecksumSum sum = header_size == kMinSize ? 0 : SumBytes({p + kMinSize, header_size - kMinSize});
    for (size_t i = 0; i < std::size(words); ++i) {
      StoreBe32(p + 4 * i, words[i]);
      sum += SumWord(words[i]);
    }
    StoreChecksum(p + kChecksumOffset, FinishChecksum(sum));
  }
};

// Of a header that was changed: puts its checksum in anew. All of it, options included.
inline void UpdateIpv4Checksum(std::span<std::byte> header) {
  StoreChecksum(header.data() + Ipv4Header::kChecksumOffset, 0);
  StoreChecksum(header.data() + Ipv4Header::kChecksumOffset, FinishChecksum(SumBytes(header)));
}

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_IPV4_H_
