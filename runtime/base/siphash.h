// SipHash (Aumasson, Bernstein 2012): a short-input hash that a peer who does not know the key can neither predict nor
// collide on purpose. SipHash-2-4 is for what the peer gets to see, such as initial sequence numbers (RFC 6528 §3) and
// ports (RFC 6056 §3.3.3); SipHash-1-3, at half the price, for tables, whose hashes stay here (Linux: siphash, hsiphash).
#ifndef RUNTIME_BASE_SIPHASH_H_
#define RUNTIME_BASE_SIPHASH_H_

#include <cstdint>
#include <span>

namespace weir::runtime {

struct SipKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;

  // A key from getrandom(2).
  static SipKey Random();
};

// Hash of `words`, taken as 8-byte little-endian blocks; so many rounds for each of them, and at the end. In place:
// where their number is known there are no loops left, and the words need not go through memory.
template <int kWordRounds, int kFinalRounds>
[[gnu::always_inline]] inline uint64_t SipHashRounds(const SipKey& key, std::span<const uint64_t> words) {
  uint64_t v0 = key.k0 ^ 0x736f6d6570736575, v1 = key.k1 ^ 0x646f72616e646f6d;
  uint64_t v2 = key.k0 ^ 0x6c7967656e657261, v3 = key.k1 ^ 0x7465646279746573;
  auto rotl = [](uint64_t x, int b) { return (x << b) | (x >> (64 - b)); };
  auto round = [&] {
    v0 += v1, v1 = rotl(v1, 13), v1 ^= v0, v0 = rotl(v0, 32);
    v2 += v3, v3 = rotl(v3, 16), v3 ^= v2;
    v0 += v3, v3 = rotl(v3, 21), v3 ^= v0;
    v2 += v1, v1 = rotl(v1, 17), v1 ^= v2, v2 = rotl(v2, 32);
  };
  for (uint64_t m : words) {
    v3 ^= m;
    for (int i = 0; i < kWordRounds; ++i) round();
    v0 ^= m;
  }
  const uint64_t last = uint64_t{words.size() * 8} << 56;
  v3 ^= last;
  for (int i = 0; i < kWordRounds; ++i) round();
  v0 ^= last;
  v2 ^= 0xff;
  for (int i = 0; i < kFinalRounds; ++i) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

inline uint64_t SipHash(const SipKey& key, std::span<const uint64_t> words) { return SipHashRounds<2, 4>(key, words); }
// For tables.
[[gnu::always_inline]] inline uint64_t SipHash13(const SipKey& key, std::span<const uint64_t> words) {
  return SipHashRounds<1, 3>(key, words);
}

}  // namespace weir::runtime

#endif  // RUNTIME_BASE_SIPHASH_H_
