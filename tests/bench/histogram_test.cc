// The load generator's histogram against exact quantiles.
#include "bench/loadgen/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/random.h"

namespace weir::bench {
namespace {

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (uint64_t value = 0; value < 128; ++value) histogram.Add(value);
  EXPECT_EQ(histogram.Quantile(0.5), 63u);
  EXPECT_EQ(histogram.Quantile(1), 127u);
  EXPECT_EQ(histogram.Quantile(0), 0u);
}

TEST(Histogram, ExtremeValues) {
  Histogram histogram;
  EXPECT_EQ(histogram.Quantile(0.5), 0u);
  histogram.Add(UINT64_MAX);
  EXPECT_EQ(histogram.Quantile(0.5), UINT64_MAX);
  EXPECT_EQ(histogram.max(), UINT64_MAX);
}

TEST(Histogram, QuantilesAreWithinTheBound) {
  testing::Random random;
  for (int round = 0; round < 20; ++round) {
    Histogram first, second;
    std::vector<uint64_t> values;
    for (int i = 0; i < 10'000; ++i) {
      const uint64_t value = random.Below(UINT64_MAX) >> random.Below(64);
      values.push_back(value);
      (i % 2 == 0 ? first : second).Add(value);
    }
    first.Merge(second);
    std::sort(values.begin(), values.end());
    for (const double quantile : {0.001, 0.5, 0.9, 0.99, 0.999, 1.0}) {
      const auto rank = static_cast<size_t>(std::ceil(quantile * static_cast<double>(values.size())));
      const auto exact = static_cast<double>(values[std::max<size_t>(rank, 1) - 1]);
      const auto read = static_cast<double>(first.Quantile(quantile));
      EXPECT_GE(read, exact);
      EXPECT_LE(read, exact * (1 + 1.0 / 128) + 1);
    }
  }
}

}  // namespace
}  // namespace weir::bench
