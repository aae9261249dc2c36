// IdlePolicy: whether a shard with nothing to do spins or sleeps (DESIGN.md §7). Going to sleep and waking up costs some
// microseconds of latency; spinning costs the core. Adaptive spins for about as long as the next arrival has lately
// taken, as long as that is short. A function of time only, so it can be tested.
#ifndef NETSTACK_HOST_IDLE_POLICY_H_
#define NETSTACK_HOST_IDLE_POLICY_H_

#include <algorithm>

#include "netstack/host/host_options.h"
#include "runtime/base/time.h"

namespace weir {

class IdlePolicy {
 public:
  explicit IdlePolicy(PollMode mode) : mode_(mode) {}

  // There was work in the turn that began at `now_ns`.
  void Worked(Nanos now_ns) {
    if (idle_since_ns_ != 0) {
      const Nanos gap = std::min(now_ns - idle_since_ns_, kLongGap);
      gap_ns_ += (gap - gap_ns_) / 8;
    }
    idle_since_ns_ = 0;
  }

  // There was none. True: look again at once; false: sleep.
  bool Spin(Nanos now_ns) {
    if (mode_ == PollMode::kBusy) return true;
    if (mode_ == PollMode::kWait) return false;
    if (idle_since_ns_ == 0) idle_since_ns_ = now_ns;
    // Twice the usual gap covers most arrivals; when the usual gap is longer than a sleep and a wake-up cost, spinning
    // saves nothing.
    return gap_ns_ < kWorthSpinning && now_ns - idle_since_ns_ < 2 * gap_ns_;
  }

  Nanos gap_ns() const { return gap_ns_; }

 private:
  static constexpr Nanos kWorthSpinning = 50 * kMicrosecond;
  // One long gap counts as this much, so that a burst after silence is learnt within a few arrivals.
  static constexpr Nanos kLongGap = 200 * kMicrosecond;

  PollMode mode_;
  Nanos idle_since_ns_ = 0;  // 0: busy
  Nanos gap_ns_ = kLongGap;  // moving average
};

}  // namespace weir

#endif  // NETSTACK_HOST_IDLE_POLICY_H_
