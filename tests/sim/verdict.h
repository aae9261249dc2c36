// Verdict: the first thing that went wrong in a run; the rest follows from it.
#ifndef TESTS_SIM_VERDICT_H_
#define TESTS_SIM_VERDICT_H_

#include <string>
#include <utility>

namespace weir::sim {

class Verdict {
 public:
  void Fail(std::string what) {
    if (what_.empty()) what_ = std::move(what);
  }
  bool failed() const { return !what_.empty(); }
  const std::string& what() const { return what_; }

 private:
  std::string what_;
};

}  // namespace weir::sim

#endif  // TESTS_SIM_VERDICT_H_
