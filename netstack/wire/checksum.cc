#include "netstack/wire/checksum.h"

#include "runtime/base/byte_order.h"

namespace weir::netstack {

// 64-bit words are added with their carries brought round, which is the same one's complement sum (RFC 1071 §2(C)); eight
// at a time on their own, so that one addition does not wait for the one before.
ChecksumSum SumBytes(std::span<const std::byte> bytes) {
  const std::byte* p = bytes.data();
  size_t n = bytes.size();
  const auto word_at = [&](size_t i) {
    unsigned long long word;
    std::memcpy(&word, p + 8 * i, sizeof word);
    return word;
  };
  unsigned long long sum = 0, carry;
  for (; n >= 64; n -= 64, p += 64) {
    unsigned long long eight = __builtin_addcll(word_at(0), word_at(1), 0, &carry);
    for (size_t i = 2; i < 8; ++i) eight = __builtin_addcll(eight, word_at(i), carry, &carry);
    sum = __builtin_addcll(sum, eight, carry, &carry);
    sum += carry;
  }
  for (; n >= 8; n -= 8, p += 8) {
    sum = __builtin_addcll(sum, word_at(0), 0, &carry);
    sum += carry;
  }
  // Halves, so that what the caller adds cannot overflow.
  ChecksumSum folded = (sum & 0xffffffff) + (sum >> 32);
  if ((n & 4) != 0) {
    uint32_t word;
    std::memcpy(&word, p, sizeof word);
    folded += word;
    p += 4;
  }
  // The last one to three bytes; an odd one is padded with zero on its right (RFC 1071 §4.1).
  if ((n & 2) != 0) {
    uint16_t word;
    std::memcpy(&word, p, sizeof word);
    folded += word;
    p += 2;
  }
  if ((n & 1) != 0) folded += std::to_integer<uint8_t>(*p);
  return folded;
}

ChecksumSum SumPieces(std::span<const iovec> pieces) {
  ChecksumSum sum = 0;
  bool odd = false;
  for (const iovec& piece : pieces) {
    const ChecksumSum bytes = SumBytes({static_cast<const std::byte*>(piece.iov_base), piece.iov_len});
    // RFC 1071 §2(B): what begins at an odd offset is the same sum with its bytes swapped.
    sum += odd ? __builtin_bswap16(FoldSum(bytes)) : bytes;
    odd ^= piece.iov_len % 2 != 0;
  }
  return sum;
}

void CompletePartialChecksum(std::span<std::byte> segment, size_t field_offset, ChecksumSum pseudo_header) {
  std::byte* field = segment.data() + field_offset;
  if (LoadChecksum(field) != FoldSum(pseudo_header)) return;
  // The field holds the pseudo-header's sum already, so the sum over the segment includes it. RFC 768: never 0.
  const uint16_t checksum = FinishChecksum(SumBytes(segment));
  StoreChecksum(field, checksum == 0 ? 0xffff : checksum);
}

}  // namespace weir::netstack
