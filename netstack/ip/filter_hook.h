// FilterHook: a Filter at the hooks for which it has rules or a policy (NF_IP_PRI_FILTER of Linux). Registered while it
// lives.
#ifndef NETSTACK_IP_FILTER_HOOK_H_
#define NETSTACK_IP_FILTER_HOOK_H_

#include "netstack/ip/filter.h"
#include "netstack/ip/ip_context.h"
#include "netstack/ip/netfilter.h"

namespace weir::netstack {

class FilterHook {
 public:
  // `context` outlives it.
  FilterHook(IpContext& context, Filter filter);
  FilterHook(const FilterHook&) = delete;
  ~FilterHook();

  const Filter& filter() const { return filter_; }

 private:
  template <Hook kHook>
  static Verdict OnPacket(void* self, HookPacket& packet);
  Verdict Decide(Hook hook, const HookPacket& packet);

  IpContext& context_;
  Filter filter_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_FILTER_HOOK_H_
