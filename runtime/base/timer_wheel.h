// The timer wheel of a shard: hierarchical, with O(1) arm and cancel, no allocation, and time injected.
//
// A Timer is embedded in what it times (a connection, a sleeping coroutine) and belongs to at most one wheel.
// Its callback is a plain function that gets the timer back, so that the owner is found by its offset or by
// derivation. Nothing fires early: a deadline is rounded up to the next tick (2^14 ns, 16.4 µs).
//
// Read first: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987); Linux kernel/time/timer.c.
#ifndef RUNTIME_BASE_TIMER_WHEEL_H_
#define RUNTIME_BASE_TIMER_WHEEL_H_

#include <array>
#include <cstdint>

#include "runtime/base/intrusive_list.h"
#include "runtime/base/time.h"

namespace weir::runtime {

class Timer : public ListNode<Timer> {
 public:
  // Called by TimerWheel::Advance with the timer already disarmed: it may be armed again or destroyed.
  using Callback = void (*)(Timer& timer, Nanos now_ns);

  explicit Timer(Callback callback) : callback_(callback) {}

  bool armed() const { return linked(); }
  // Meaningful while armed.
  Nanos deadline_ns() const { return deadline_ns_; }

 private:
  friend class TimerWheel;

  Callback callback_;
  Nanos deadline_ns_ = 0;
  uint16_t slot_ = 0;  // level * kSlots + index, while linked in a slot
};

class TimerWheel {
 public:
  explicit TimerWheel(Nanos now_ns);
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Arms (or arms anew) `timer` for `deadline_ns`; one that has passed fires with the next tick.
  void Arm(Timer& timer, Nanos deadline_ns);
  // Does nothing when the timer is not armed.
  void Cancel(Timer& timer);
  // Fires every timer whose deadline is at or before `now_ns`. Time never goes back.
  void Advance(Nanos now_ns);

  // A lower bound of the next deadline, exact to the level's granularity (sleeping until then may wake early,
  // never late); kNever when no timer is armed.
  Nanos NextDeadline() const;

  size_t armed() const { return armed_; }

 private:
  static constexpr int kTickBits = 14;
  static constexpr int kSlotBits = 6;
  static constexpr int kSlots = 1 << kSlotBits;
  // 14 + 8*6 = 62 bits of nanoseconds: 146 years from the start of CLOCK_MONOTONIC.
  static constexpr int kLevels = 8;
  static constexpr uint64_t kMaxTick = (uint64_t{1} << (kSlotBits * kLevels)) - 1;

  static uint64_t TickAtOrAfter(Nanos ns) {
    return (static_cast<uint64_t>(ns) + (1 << kTickBits) - 1) >> kTickBits;
  }
  void Place(Timer& timer);
  void Fire(List<Timer, Timer>& due, Nanos now_ns);
  // Level of the earliest occupied slot and its first tick; false when empty.
  bool NextSlot(int* level, int* index, uint64_t* first_tick) const;

  uint64_t tick_;  // everything at or before this tick has fired
  size_t armed_ = 0;
  std::array<uint64_t, kLevels> occupied_{};  // bit per slot
  std::array<List<Timer, Timer>, kLevels * kSlots> slots_;
};

}  // namespace weir::runtime

#endif  // RUNTIME_BASE_TIMER_WHEEL_H_
