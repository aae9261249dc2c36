// Bytes written in hexadecimal, and what hostile peers make of them: every truncation, and random changes. Each case
// lies in memory of exactly its length, so that the address sanitizer sees a read beyond it.
#ifndef TESTS_SUPPORT_MUTATE_H_
#define TESTS_SUPPORT_MUTATE_H_

#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "tests/support/packets.h"
#include "tests/support/random.h"

namespace weir::testing_support {

// "0102 a0": spaces are for the reader.
inline Bytes Hex(absl::string_view digits) {
  return Text(absl::HexStringToBytes(absl::StrReplaceAll(digits, {{" ", ""}})));
}

// `check(Bytes)` for each proper prefix of `bytes`, the empty one first.
template <typename Check>
void ForEachTruncation(View bytes, Check check) {
  for (size_t length = 0; length < bytes.size(); ++length) {
    check(Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length)));
  }
}

// `check(Bytes)` for `count` copies of `bytes` with one to four random bytes, often small or extreme ones, and
// sometimes cut off or continued.
template <typename Check>
void ForEachMutation(View bytes, int count, testing::Random& random, Check check) {
  for (int i = 0; i < count; ++i) {
    Bytes mutant(bytes.begin(), bytes.end());
    if (random.OneIn(4)) mutant.resize(random.Below(bytes.size() + 16));
    for (size_t changes = 1 + random.Below(4); changes > 0 && !mutant.empty(); --changes) {
      const uint64_t value = random.OneIn(3) ? random.Below(256) : random.OneIn(2) ? random.Below(9) : 255;
      mutant[random.Below(mutant.size())] = std::byte(value);
    }
    check(Bytes(mutant));
  }
}

}  // namespace weir::testing_support

#endif  // TESTS_SUPPORT_MUTATE_H_
