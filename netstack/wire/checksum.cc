#include "netstack/wire/checksum.h"

#include "runtime/base/byte_order.h"

namespace weir::netstack {

// Sums 32-bit words into 64-bit lanes, which cannot overflow below 16 GiB; the compiler makes vector code of it.
ChecksumSum SumBytes(std::span<const std::byte> bytes) {
  const std::byte* p = bytes.data();
  size_t n = bytes.size();
  uint64_t lanes[8] = {};
  for (; n >= 32; n -= 32, p += 32) {
    uint32_t words[8];
    std::memcpy(words, p, sizeof words);
    for (int i = 0; i < 8; ++i) lanes[i] += words[i];
  }
  uint64_t sum = 0;
  for (uint64_t lane : lanes) sum += lane;
  for (; n >= 4; n -= 4, p += 4) {
    uint32_t word;
    std::memcpy(&word, p, sizeof word);
    sum += word;
  }
  if (n > 0) {
    uint32_t word = 0;  // an odd last byte is padded with zero on its right (RFC 1071 §4.1)
    std::memcpy(&word, p, n);
    sum += word;
  }
  return sum;
}

ChecksumSum PseudoHeaderSum(const IpAddress& source, const IpAddress& destination, uint8_t protocol, uint32_t length) {
  const size_t skip = source.is_v4() ? 12 : 0;
  ChecksumSum sum = SumBytes(std::as_bytes(std::span(source.bytes()).subspan(skip)));
  sum += SumBytes(std::as_bytes(std::span(destination.bytes()).subspan(skip)));
  sum += __builtin_bswap32(length);
  sum += __builtin_bswap32(protocol);
  return sum;
}

bool ChecksumOk(std::span<const std::byte> segment, size_t field_offset, ChecksumSum pseudo_header, bool partial_ok) {
  if (FoldSum(SumBytes(segment) + pseudo_header) == 0xffff) return true;
  return partial_ok && LoadChecksum(segment.data() + field_offset) == FoldSum(pseudo_header);
}

void CompletePartialChecksum(std::span<std::byte> segment, size_t field_offset, ChecksumSum pseudo_header) {
  std::byte* field = segment.data() + field_offset;
  if (LoadChecksum(field) != FoldSum(pseudo_header)) return;
  // The field holds the pseudo-header's sum already, so the sum over the segment includes it. RFC 768: never 0.
  const uint16_t checksum = FinishChecksum(SumBytes(segment));
  StoreChecksum(field, checksum == 0 ? 0xffff : checksum);
}

}  // namespace weir::netstack
