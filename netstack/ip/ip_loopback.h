// What this host sends to a group or a broadcast address comes in again for its own members, as a copy that meets the
// hooks of both ways. Linux: ip_mc_output, dev_loopback_xmit, ip_rcv, ip_local_deliver; ip6_finish_output.
// Differs from Linux: the copy is of what the program sent, without what functions at LOCAL_OUT made of it.
#ifndef NETSTACK_IP_IP_LOOPBACK_H_
#define NETSTACK_IP_IP_LOOPBACK_H_

#include "netstack/ip/ip_context.h"

namespace weir::netstack {

// Some hook would see such a copy.
inline bool HasLoopbackHooks(const HookTable& hooks) {
  return hooks.any(Hook::kLocalOut) || hooks.any(Hook::kPostRouting) || hooks.any(Hook::kPreRouting) ||
         hooks.any(Hook::kLocalIn);
}

// `frame` begins at the IP header of the copy, or of its first piece, which is alone in it. `only`: nothing goes to the
// link, so that the copy alone meets LOCAL_OUT. kConsumed: it is for the members of `link`.
inline DropReason LoopbackHooks(Interface& link, runtime::Frame& frame, bool only, Nanos now_ns) {
  const HookTable& hooks = link.context.hooks;
  DropReason verdict = DropReason::kConsumed;
  if (only) verdict = hooks.Run(Hook::kLocalOut, {.frame = frame, .out = &link, .now_ns = now_ns});
  if (verdict == DropReason::kConsumed) {
    verdict = hooks.Run(Hook::kPostRouting, {.frame = frame, .out = &link, .now_ns = now_ns});
  }
  for (const Hook hook : {Hook::kPreRouting, Hook::kLocalIn}) {
    if (verdict == DropReason::kConsumed) verdict = hooks.Run(hook, {.frame = frame, .in = &link, .now_ns = now_ns});
  }
  return verdict;
}

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_LOOPBACK_H_
