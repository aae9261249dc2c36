#include "runtime/base/siphash.h"

#include <gtest/gtest.h>

#include <array>

namespace weir::runtime {
namespace {

// The reference implementation's vectors: key 00 01 .. 0f, message 00 01 .. of whole 8-byte blocks.
TEST(SipHash, ReferenceVectors) {
  const SipKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  const std::array<uint64_t, 3> message = {0x0706050403020100, 0x0f0e0d0c0b0a0908, 0x1716151413121110};
  const std::span<const uint64_t> words(message);
  EXPECT_EQ(SipHash(key, {}), 0x726fdb47dd0e0e31u);
  EXPECT_EQ(SipHash(key, words.first(1)), 0x93f5f5799a932462u);
  EXPECT_EQ(SipHash(key, words.first(2)), 0x3f2acc7f57c29bdbu);
  EXPECT_EQ(SipHash(key, words), 0xb8ad50c6f649af94u);
}

// What CPython 3.11, whose hash of bytes is SipHash-1-3, says with the key 0 (PYTHONHASHSEED=0): hash(bytes(range(n))).
TEST(SipHash, OneAndThreeRounds) {
  const std::array<uint64_t, 3> message = {0x0706050403020100, 0x0f0e0d0c0b0a0908, 0x1716151413121110};
  const std::span<const uint64_t> words(message);
  EXPECT_EQ(SipHash13({}, words.first(1)), 0xead411e67ebe2eeau);
  EXPECT_EQ(SipHash13({}, words.first(2)), 0x8972188433a5c5b7u);
  EXPECT_EQ(SipHash13({}, words), 0x31185a47af932f3au);
}

TEST(SipHash, KeysDiffer) {
  const SipKey a = SipKey::Random(), b = SipKey::Random();
  EXPECT_TRUE(a.k0 != b.k0 || a.k1 != b.k1);
}

}  // namespace
}  // namespace weir::runtime
