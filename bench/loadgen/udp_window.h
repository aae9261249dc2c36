// UdpWindow: the requests of one UDP socket that are under way, and which of them an answer is for.
#ifndef BENCH_LOADGEN_UDP_WINDOW_H_
#define BENCH_LOADGEN_UDP_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/base/time.h"

namespace weir::bench {

// First in every request: its place among those under way, and which request in that place it is. An answer that comes
// after its request was given up has an old number, and is not counted.
struct UdpTag {
  uint32_t slot;
  uint32_t number;
};
// The requests of one socket that are under way.
class UdpWindow {
 public:
  explicit UdpWindow(size_t slots) : slots_(slots) {
    for (size_t i = slots; i > 0; --i) free_.push_back(static_cast<uint32_t>(i - 1));
  }

  bool has_room() const { return !free_.empty(); }
  UdpTag Open(Nanos due_ns, Nanos now_ns) {
    const uint32_t slot = free_.back();
    free_.pop_back();
    Slot& opened = slots_[slot];
    opened = {.number = opened.number + 1, .open = true, .due_ns = due_ns, .sent_ns = now_ns};
    return {slot, opened.number};
  }
  // When the request was due, or -1 when it is not under way.
  Nanos Answered(const UdpTag& tag) {
    if (tag.slot >= slots_.size() || !slots_[tag.slot].open || slots_[tag.slot].number != tag.number) return -1;
    return Close(tag.slot);
  }
  // Gives up what was sent before `before_ns`; returns how many.
  uint64_t GiveUp(Nanos before_ns) {
    uint64_t lost = 0;
    for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
      if (!slots_[slot].open || slots_[slot].sent_ns >= before_ns) continue;
      Close(slot);
      ++lost;
    }
    return lost;
  }

 private:
  struct Slot {
    uint32_t number = 0;
    bool open = false;
    Nanos due_ns = 0;
    Nanos sent_ns = 0;
  };

  Nanos Close(uint32_t slot) {
    slots_[slot].open = false;
    free_.push_back(slot);
    return slots_[slot].due_ns;
  }

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
};

}  // namespace weir::bench

#endif  // BENCH_LOADGEN_UDP_WINDOW_H_
