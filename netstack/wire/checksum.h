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

// A sum that fills all 64 bits, so that its carry has to be brought round when something is added: the same one's
// complement sum (RFC 1071 §2(C)).
using WideSum = unsigned long long;

inline WideSum AddWide(WideSum a, WideSum b) {
  WideSum carry;
  const WideSum sum = __builtin_addcll(a, b, 0, &carry);
  return sum + carry;
}

// `start`, and `n` bytes, which are 8 or more. For where a call is felt. Eight words at a time are added on their own,
// so that one addition does not wait for the one before.
[[gnu::always_inline]] inline WideSum SumWide(const std::byte* p, size_t n, WideSum start) {
  const auto word_at = [](const std::byte* at) {
    WideSum word;
    std::memcpy(&word, at, sizeof word);
    return word;
  };
  const std::byte* end = p + n;
  WideSum sum = start, carry;
  for (const std::byte* last = end - 64; p <= last; p += 64) {
    WideSum eight = __builtin_addcll(word_at(p), word_at(p + 8), 0, &carry);
    for (size_t i = 2; i < 8; ++i) eight = __builtin_addcll(eight, word_at(p + 8 * i), carry, &carry);
    sum = __builtin_addcll(sum, eight, carry, &carry);
    sum += carry;
  }
#pragma clang loop unroll(disable)
  for (const std::byte* last = end - 8; p <= last; p += 8) sum = AddWide(sum, word_at(p));
  // The last ones, up to seven, without a branch on how many: what is in front of them in their word goes out at its
  // low end, and what comes in at the other is the zero that an odd one is padded with (RFC 1071 §4.1).
  return AddWide(sum, word_at(end - 8) >> 1 >> (63 - 8 * (n % 8)));
}

// Of so many bytes, for headers: no loop, no call.
template <size_t kBytes>
inline WideSum SumOf(const std::byte* p) {
  static_assert(kBytes % 4 == 0 && kBytes >= 8);
  WideSum sum = 0, carry = 0;
  for (size_t at = 0; at + 8 <= kBytes; at += 8) {
    WideSum word;
    std::memcpy(&word, p + at, sizeof word);
    sum = __builtin_addcll(sum, word, carry, &carry);
  }
  uint32_t word = 0;
  if (kBytes % 8 != 0) std::memcpy(&word, p + kBytes - 4, sizeof word);
  sum = __builtin_addcll(sum, word, carry, &carry);
  return sum + carry;
}

// Of pieces that follow one another, of any lengths.
ChecksumSum SumPieces(std::span<const iovec> pieces);

// Each half is added to the other, with the carry out of the lower one going where the one's complement wants it.
inline uint16_t FoldSum(ChecksumSum sum) {
  const auto half = static_cast<uint32_t>((sum + std::rotl(sum, 32)) >> 32);
  return static_cast<uint16_t>((half + std::rotl(half, 16)) >> 16);
}

// Whether a sum that is not 0, as none is with an address or a protocol number in it, folds to 0xffff: folding does not
// change what is left after a division by that.
inline bool IsAllOnes(WideSum sum) { return sum % 0xffff == 0; }

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
  // First what needs no look at the data.
  if (partial_ok && LoadChecksum(segment.data() + field_offset) == FoldSum(pseudo_header)) return true;
  return FoldSum(SumBytes(segment) + pseudo_header) == 0xffff;
}

// Finishes a checksum that the sender left to a device, if `segment` carries such a one at `field_offset`: whoever passes
// the segment on does so without that device. `behind`: the sum of what follows, of a segment in several pieces.
void CompletePartialChecksum(std::span<std::byte> segment, size_t field_offset, ChecksumSum pseudo_header,
                             ChecksumSum behind = 0);

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_CHECKSUM_H_
