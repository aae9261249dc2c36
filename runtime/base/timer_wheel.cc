#include "runtime/base/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace weir::runtime {

TimerWheel::TimerWheel(Nanos now_ns) : tick_(static_cast<uint64_t>(now_ns) >> kTickBits) {}

TimerWheel::~TimerWheel() {
  for (auto& slot : slots_) slot.ForEach([](Timer& timer) { timer.Unlink(); });
}

void TimerWheel::Arm(Timer& timer, Nanos deadline_ns) {
  Cancel(timer);
  timer.deadline_ns_ = std::max<Nanos>(deadline_ns, 0);
  Place(timer);
  ++armed_;
}

void TimerWheel::Cancel(Timer& timer) {
  if (!timer.armed()) return;
  timer.Unlink();
  --armed_;
  // A timer that Advance already took out of its slot leaves that slot's bit as it is: the bit is derived
  // from the slot's list here, so it stays right in both cases.
  const int level = timer.slot_ >> kSlotBits;
  const int index = timer.slot_ & (kSlots - 1);
  if (slots_[timer.slot_].empty()) occupied_[level] &= ~(uint64_t{1} << index);
}

// A timer lies at the lowest level on which its tick and the current one differ in only one digit (base 64):
// the highest differing bit names the level, the digit there the slot.
void TimerWheel::Place(Timer& timer) {
  const uint64_t due = std::clamp(TickAtOrAfter(timer.deadline_ns_), tick_ + 1, kMaxTick);
  const int highest = 63 - std::countl_zero(due ^ tick_);
  const int level = highest / kSlotBits;
  const int index = static_cast<int>(due >> (level * kSlotBits)) & (kSlots - 1);
  timer.slot_ = static_cast<uint16_t>(level * kSlots + index);
  slots_[timer.slot_].PushBack(timer);
  occupied_[level] |= uint64_t{1} << index;
}

bool TimerWheel::NextSlot(int* level, int* index, uint64_t* first_tick) const {
  for (int l = 0; l < kLevels; ++l) {
    if (occupied_[l] == 0) continue;
    // Slots behind the current digit cannot be occupied, so the lowest set bit is the earliest.
    const int i = std::countr_zero(occupied_[l]);
    const int shift = l * kSlotBits;
    const uint64_t base = (tick_ >> (shift + kSlotBits)) << (shift + kSlotBits);
    *level = l;
    *index = i;
    *first_tick = base + (static_cast<uint64_t>(i) << shift);
    return true;
  }
  return false;
}

void TimerWheel::Advance(Nanos now_ns) {
  const uint64_t target = static_cast<uint64_t>(now_ns) >> kTickBits;
  int level, index;
  uint64_t first_tick;
  while (NextSlot(&level, &index, &first_tick) && first_tick <= target) {
    tick_ = std::max(tick_, first_tick);
    occupied_[level] &= ~(uint64_t{1} << index);
    List<Timer, Timer> due;
    due.Splice(slots_[level * kSlots + index]);
    Fire(due, now_ns);
  }
  tick_ = std::max(tick_, target);
}

// Takes the timers of one slot: what is due fires, the rest moves to a lower level.
void TimerWheel::Fire(List<Timer, Timer>& due, Nanos now_ns) {
  while (Timer* timer = due.PopFront()) {
    if (TickAtOrAfter(timer->deadline_ns_) > tick_) {
      Place(*timer);
      continue;
    }
    --armed_;
    timer->callback_(*timer, now_ns);
  }
}

Nanos TimerWheel::NextDeadline() const {
  int level, index;
  uint64_t first_tick;
  if (!NextSlot(&level, &index, &first_tick)) return kNever;
  return static_cast<Nanos>(first_tick << kTickBits);
}

}  // namespace weir::runtime
