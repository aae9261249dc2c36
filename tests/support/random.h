// The random numbers of a test, with a seed that is printed and can be given again: WEIR_TEST_SEED=17 bazel test ...
#ifndef TESTS_SUPPORT_RANDOM_H_
#define TESTS_SUPPORT_RANDOM_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace weir::testing {

class Random {
 public:
  Random() : seed_(Seed()), engine_(seed_) {
    std::printf("seed %llu (WEIR_TEST_SEED)\n", static_cast<unsigned long long>(seed_));
  }
  uint64_t seed() const { return seed_; }
  // 0 to n-1.
  uint64_t Below(uint64_t n) { return engine_() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  static uint64_t Seed() {
    const char* text = std::getenv("WEIR_TEST_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device()();
  }
  uint64_t seed_;
  std::mt19937_64 engine_;
};

}  // namespace weir::testing

#endif  // TESTS_SUPPORT_RANDOM_H_
