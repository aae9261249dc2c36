// Histogram: counts of latencies in log-linear buckets: each power of two is cut into 128 equal parts, so a quantile read
// from it is at most 1/128 above the exact one. Fixed size, no allocation per value.
#ifndef BENCH_LOADGEN_HISTOGRAM_H_
#define BENCH_LOADGEN_HISTOGRAM_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir::bench {

class Histogram {
 public:
  Histogram() : counts_((64 - kPartBits + 1) << kPartBits) {}

  void Add(uint64_t value) {
    ++counts_[Index(value)];
    ++count_;
    max_ = std::max(max_, value);
  }
  void Merge(const Histogram& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }
  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }

  // The smallest bucket bound that at least `quantile` (0 to 1) of the values do not exceed; 0 without values.
  uint64_t Quantile(double quantile) const {
    const auto wanted = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(quantile * static_cast<double>(count_))));
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (count_ > 0 && seen >= wanted) return std::min(UpperBound(i), max_);
    }
    return max_;
  }

 private:
  static constexpr int kPartBits = 7;

  // Below 128 every value has its own bucket; above, the leading bit chooses the row and the next seven the part.
  static size_t Index(uint64_t value) {
    if (value < 1 << kPartBits) return value;
    const int shift = 63 - std::countl_zero(value) - kPartBits;
    return (static_cast<size_t>(shift) << kPartBits) + (value >> shift);
  }
  static uint64_t UpperBound(size_t index) {
    if (index < 1 << kPartBits) return index;
    const size_t shift = (index >> kPartBits) - 1;
    const uint64_t part = (index & ((1 << kPartBits) - 1)) | 1 << kPartBits;
    return ((part + 1) << shift) - 1;
  }

  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace weir::bench

#endif  // BENCH_LOADGEN_HISTOGRAM_H_
