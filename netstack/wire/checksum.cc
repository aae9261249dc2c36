#include "netstack/wire/checksum.h"

#include "runtime/base/byte_order.h"

namespace weir::netstack {

ChecksumSum SumBytes(std::span<const std::byte> bytes) {
  WideSum sum = 0;
  if (bytes.size() >= 8) {
    sum = SumWide(bytes.data(), bytes.size(), 0);
  } else if (!bytes.empty()) {  // an empty span may point nowhere
    std::memcpy(&sum, bytes.data(), bytes.size());
  }
  return (sum & 0xffffffff) + (sum >> 32);  // halves, so that what the caller adds cannot overflow
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

void CompletePartialChecksum(std::span<std::byte> segment, size_t field_offset, ChecksumSum pseudo_header,
                             ChecksumSum behind) {
  std::byte* field = segment.data() + field_offset;
  if (LoadChecksum(field) != FoldSum(pseudo_header)) return;
  // The field holds the pseudo-header's sum already, so the sum over the segment includes it. RFC 768: never 0.
  const uint16_t checksum = FinishChecksum(SumBytes(segment) + behind);
  StoreChecksum(field, checksum == 0 ? 0xffff : checksum);
}

}  // namespace weir::netstack
