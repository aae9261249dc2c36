// RatioReporter: Google Benchmark's own table, and below it how many times as long lwIP took as weir, by the medians of
// the repetitions. A benchmark's side is the last part of its name, "weir" or "lwip"; what stands before that and its
// arguments name the case. Others are in the table only.
#ifndef BENCH_MICRO_RATIO_REPORTER_H_
#define BENCH_MICRO_RATIO_REPORTER_H_

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace weir::bench {

class RatioReporter : public benchmark::ConsoleReporter {
 public:
  // `counter`: the one that holds the seconds of one item.
  explicit RatioReporter(std::string counter) : counter_(std::move(counter)) {}

  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      const std::string& name = run.run_name.function_name;
      const size_t side_at = name.rfind('/') + 1;  // 0 without a slash
      const std::string side = name.substr(side_at);
      if (side != "weir" && side != "lwip") continue;
      seconds_[name.substr(0, side_at) + run.run_name.args][side == "lwip"].push_back(run.counters.at(counter_));
    }
  }
  void Finalize() override {
    for (const auto& [name, seconds] : seconds_) {
      if (seconds[0].empty() || seconds[1].empty()) continue;
      const double weir = Median(seconds[0]), lwip = Median(seconds[1]);
      std::printf("%-12s weir %7.1f ns, lwIP %7.1f ns, ratio %.2f\n", name.c_str(), weir * 1e9, lwip * 1e9, lwip / weir);
    }
  }

 private:
  static double Median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
  }

  const std::string counter_;
  std::map<std::string, std::array<std::vector<double>, 2>> seconds_;  // by case: weir, lwIP
};

// What main() does.
inline int RunWithRatios(int argc, char** argv, const char* counter) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RatioReporter reporter(counter);
  benchmark::RunSpecifiedBenchmarks(&reporter);
  return 0;
}

}  // namespace weir::bench

#endif  // BENCH_MICRO_RATIO_REPORTER_H_
