// Hooks of the network layer, where Linux's netfilter has them: functions that see every packet at one of five places and
// say what becomes of it. Without one, a place costs a look at a bit.
//
//   Verdict CountSyns(void* arg, HookPacket& packet) { ...; return Verdict::kAccept; }
//   context.hooks.Register(Hook::kPreRouting, /*priority=*/-100, &CountSyns, &counter);
//
//   in  --> PRE_ROUTING --> route --> LOCAL_IN --> transport
//                             |
//                          FORWARD --> POST_ROUTING --> out
//                                          ^
//   transport --> LOCAL_OUT --> route -----+
#ifndef NETSTACK_IP_NETFILTER_H_
#define NETSTACK_IP_NETFILTER_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "netstack/drop_reason.h"
#include "runtime/base/time.h"
#include "runtime/buffer/frame_pool.h"

namespace weir::netstack {

class Interface;

// NF_INET_PRE_ROUTING, LOCAL_IN, FORWARD, LOCAL_OUT, POST_ROUTING of Linux.
enum class Hook : uint8_t { kPreRouting, kLocalIn, kForward, kLocalOut, kPostRouting };

inline constexpr size_t kHooks = 5;

enum class Verdict : uint8_t {
  kAccept,  // the next function, and then on its way
  kDrop,    // counted as kHookDropped; the functions behind do not see it
  kSteal,   // the function took a reference on the frame, if it wants the packet; the stack is done with it
};

// A packet at a hook. Its bytes may be changed, addresses and ports too, with the checksums that cover them; a packet that
// was forwarded or received is alone in its frames. What lies in `frame` when the function returns is what goes on, so it
// has to be a whole IP packet of the same version. Of a packet in several frames they see the first piece: with its
// transport header, and with the IP header of all.
struct HookPacket {
  runtime::Frame& frame;      // begins at the IP header; of one that was, or will be, in fragments the first piece
  Interface* in = nullptr;    // nullptr: this host made it
  Interface* out = nullptr;   // nullptr: not known yet
  Nanos now_ns = 0;
};

class HookTable {
 public:
  using Function = Verdict (*)(void* arg, HookPacket& packet);
  // A filter, address translation both ways, a capture, connection tracking, and as much again.
  static constexpr size_t kMaxFunctions = 8;

  // Lower priorities see a packet first, equal ones in the order in which they came. False: there is no room.
  bool Register(Hook hook, int priority, Function function, void* arg);
  void Unregister(Hook hook, Function function, void* arg);

  bool any(Hook hook) const { return (used_ & BitOf(hook)) != 0; }
  bool any(Hook hook, Hook other) const { return (used_ & (BitOf(hook) | BitOf(other))) != 0; }

  // kConsumed: accepted by all. Linux: nf_hook_slow.
  DropReason Run(Hook hook, HookPacket packet) const;

 private:
  struct Entry {
    Function function;
    void* arg;
    int priority;
  };
  struct Chain {
    std::array<Entry, kMaxFunctions> entries;
    size_t count = 0;
  };
  static constexpr uint32_t BitOf(Hook hook) { return 1u << static_cast<uint32_t>(hook); }
  std::array<Chain, kHooks> chains_{};
  uint32_t used_ = 0;  // places with functions, as bits
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_NETFILTER_H_
