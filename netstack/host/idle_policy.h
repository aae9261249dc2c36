// IdlePolicy: whether a shard with nothing to do spins or sleeps (DESIGN.md §7). Going to sleep and waking up costs some
// microseconds of latency, and the waker's time; spinning costs the core. Adaptive learns from the gaps between arrivals
// whether spinning for about as long as a sleep costs would catch them. A function of time only, so it can be tested.
#ifndef NETSTACK_HOST_IDLE_POLICY_H_
#define NETSTACK_HOST_IDLE_POLICY_H_

#include <cstdint>
#include <utility>

#include "netstack/host/host_options.h"
#include "runtime/base/time.h"

namespace weir {

class IdlePolicy {
 public:
  explicit IdlePolicy(PollMode mode) : mode_(mode) {}

  // There was work in the turn that began at `now_ns`.
  void Worked(Nanos now_ns) {
    if (std::exchange(spinning_, false)) ++spin_hits_;
    if (idle_since_ns_ != 0) {
      const bool near = now_ns - idle_since_ns_ < kSleepCost;
      near_ += ((near ? kAlways : 0) - near_) / 8;
    }
    idle_since_ns_ = 0;
  }

  // There was none. True: look again at once; false: sleep.
  bool Spin(Nanos now_ns) {
    if (idle_since_ns_ == 0) idle_since_ns_ = now_ns;
    spinning_ = mode_ == PollMode::kBusy ||
                (mode_ == PollMode::kAdaptive && near_ >= kWorthSpinning && now_ns - idle_since_ns_ < kSleepCost);
    return spinning_;
  }

  // Part of the last arrivals, of kAlways, that came so soon that a spin would have caught them.
  int near() const { return near_; }
  static constexpr int kAlways = 1024;
  // Arrivals that a spin caught, so that no sleep was needed.
  uint64_t spin_hits() const { return spin_hits_; }

 private:
  // What a sleep and the wake-up cost, here and on the processor that wakes: some microseconds of it on bare metal, tens
  // in a virtual machine. Spinning for as long before going to sleep costs at most twice what the better choice would
  // have (the ski-rental problem); it pays when at least half of the arrivals come within it.
  static constexpr Nanos kSleepCost = 50 * kMicrosecond;
  static constexpr int kWorthSpinning = kAlways / 2;

  PollMode mode_;
  Nanos idle_since_ns_ = 0;  // 0: busy
  int near_ = 0;             // moving average
  bool spinning_ = false;    // since the last arrival, without a sleep
  uint64_t spin_hits_ = 0;
};

}  // namespace weir

#endif  // NETSTACK_HOST_IDLE_POLICY_H_
