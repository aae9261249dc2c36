#include "netstack/ip/netfilter.h"

#include <algorithm>

namespace weir::netstack {

bool HookTable::Register(Hook hook, int priority, Function function, void* arg) {
  Chain& chain = chains_[static_cast<size_t>(hook)];
  if (chain.count == kMaxFunctions) return false;
  Entry* end = chain.entries.data() + chain.count;
  Entry* at = std::find_if(chain.entries.data(), end, [&](const Entry& entry) { return entry.priority > priority; });
  std::move_backward(at, end, end + 1);
  *at = {function, arg, priority};
  ++chain.count;
  used_ |= BitOf(hook);
  return true;
}

void HookTable::Unregister(Hook hook, Function function, void* arg) {
  Chain& chain = chains_[static_cast<size_t>(hook)];
  Entry* end = chain.entries.data() + chain.count;
  Entry* rest = std::remove_if(chain.entries.data(), end,
                               [&](const Entry& entry) { return entry.function == function && entry.arg == arg; });
  chain.count = static_cast<size_t>(rest - chain.entries.data());
  if (chain.count == 0) used_ &= ~BitOf(hook);
}

DropReason HookTable::Run(Hook hook, HookPacket packet) const {
  const Chain& chain = chains_[static_cast<size_t>(hook)];
  for (size_t i = 0; i < chain.count; ++i) {
    switch (chain.entries[i].function(chain.entries[i].arg, packet)) {
      case Verdict::kAccept:
        break;
      case Verdict::kDrop:
        return DropReason::kHookDropped;
      case Verdict::kSteal:
        return DropReason::kHookStolen;
    }
  }
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
