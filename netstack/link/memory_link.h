// MemoryLink: a cable between two stacks in one process, for tests and benchmarks without privileges. What one has
// queued is copied into frames of the other's pool and received there.
#ifndef NETSTACK_LINK_MEMORY_LINK_H_
#define NETSTACK_LINK_MEMORY_LINK_H_

#include <cstddef>

#include "netstack/ip/inet.h"

namespace weir::netstack {

class MemoryLink {
 public:
  struct End {
    Inet& inet;
    Interface& interface;
  };

  MemoryLink(const End& a, const End& b) : a_(a), b_(b) {}
  // Between the first interface of each.
  MemoryLink(Inet& a, Inet& b) : MemoryLink({a, *a.ip.interfaces.front()}, {b, *b.ip.interfaces.front()}) {}

  // Carries a burst from `a` to `b`, and one back; returns how many frames.
  size_t Carry(Nanos now_ns) { return CarryOneWay(a_, b_, now_ns) + CarryOneWay(b_, a_, now_ns); }

 private:
  static size_t CarryOneWay(const End& from, const End& to, Nanos now_ns);

  const End a_;
  const End b_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_LINK_MEMORY_LINK_H_
