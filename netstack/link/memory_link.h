// MemoryLink: a cable between two stacks in one process, for tests and benchmarks without privileges. What one has
// queued is copied into frames of the other's pool and received there.
#ifndef NETSTACK_LINK_MEMORY_LINK_H_
#define NETSTACK_LINK_MEMORY_LINK_H_

#include <cstddef>

#include "netstack/ip/inet.h"

namespace weir::netstack {

class MemoryLink {
 public:
  MemoryLink(Inet& a, Inet& b) : a_(a), b_(b) {}

  // Carries a burst from `a` to `b`, and one back; returns how many frames.
  size_t Carry(Nanos now_ns) { return CarryOneWay(a_, b_, now_ns) + CarryOneWay(b_, a_, now_ns); }

 private:
  static size_t CarryOneWay(Inet& from, Inet& to, Nanos now_ns);

  Inet& a_;
  Inet& b_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_LINK_MEMORY_LINK_H_
