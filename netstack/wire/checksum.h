// The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit words.
//
// Sums are kept unfolded in 64 bits and in the machine's byte order, which the one's complement sum allows
// (RFC 1071 §2(B)); fold once at the end. A correct packet, summed with its checksum in place, folds to 0xffff.
#ifndef NETSTACK_WIRE_CHECKSUM_H_
#define NETSTACK_WIRE_CHECKSUM_H_

#include <sys/uio.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "runtime/base/ip_address.h"

namespace weir::netstack {

// A partial sum; add sums of pieces that start at even offsets.
using ChecksumSum = uint64_t;

ChecksumSum SumBytes(std::span<const std::byte> bytes);

// Of four bytes that hold `word` in network byte order.
inline ChecksumSum SumWord(uint32_t word) { return __builtin_bswap32(word); }

// Of pieces that follow one another, of any lengths.
ChecksumSum SumPieces(std::span<const iovec> pieces);

// Each half is added to the other, with the carry out of the lower one going where the one's complement wants it.
inline uint16_t FoldSum(ChecksumSum sum) {
  const auto half = static_cast<uint32_t>((sum + std::rotl(sum, 32)) >> 32);
  return static_cast<uint16_t>((half + std::rotl(half, 16)) >> 16);
}

// The value for the checksum field, as it lies in memory: store it with memcpy (StoreChecksum).
inline uint16_t FinishChecksum(ChecksumSum sum) { return static_cast<uint16_t>(~FoldSum(sum)); }

inline void StoreChecksum(std::byte* field, uint16_t checksum) {
  std::memcpy(field, &checksum, sizeof checksum);
}
inline uint16_t LoadChecksum(const std::byte* field) {
  uint16_t checksum;
  std::memcpy(&checksum, field, sizeof checksum);
  return checksum;
}

// The pseudo-header of TCP and UDP: RFC 9293 §3.1 for IPv4, RFC 8200 §8.1 for IPv6. `length` is that of the
// transport header and data.
inline ChecksumSum PseudoHeaderSum(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                                   uint32_t length) {
  ChecksumSum sum = ChecksumSum{__builtin_bswap32(length)} + __builtin_bswap32(protocol);
  // What an IPv4 address has in front of it (IpAddress) is a word of ones, which is a zero in this arithmetic.
  for (const uint64_t word : {source.words()[0], source.words()[1], destination.words()[0], destination.words()[1]}) {
    sum += (word & 0xffffffff) + (word >> 32);
  }
  return sum;
}

// Whether `segment` carries the right checksum at `field_offset`, given the sum of its pseudo-header. With
// `partial_ok`, the one value that a sender leaves who trusts the device to finish it is right too: the folded
// pseudo-header sum (veth, tap and virtio peers; DESIGN.md §6). Everything else is wrong.
inline bool ChecksumOk(std::span<const std::byte> segment, size_t field_offset, ChecksumSum pseudo_header,
                       bool partial_ok) {
  if (FoldSum(SumBytes(segment) + pseudo_header) == 0xffff) [[likely]] return true;
  return partial_ok && LoadChecksum(segment.data() + field_offset) == FoldSum(pseudo_header);
}

// Finishes a checksum that the sender left to a device, if `segment` carries such a one at `field_offset`: whoever passes
// the segment on does so without that device.
void CompletePartialChecksum(std::span<std::byte> segment, size_t field_offset, ChecksumSum pseudo_header);

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_CHECKSUM_H_
