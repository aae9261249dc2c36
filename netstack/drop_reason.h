// DropReason: how a packet ended. Input functions return it, their caller counts it; see drop_reason.def for the list.
#ifndef NETSTACK_DROP_REASON_H_
#define NETSTACK_DROP_REASON_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace weir::netstack {

enum class [[nodiscard]] DropReason : uint8_t {
#define DROP_REASON(name, text) name,
#include "netstack/drop_reason.def"
#undef DROP_REASON
};

inline constexpr const char* kDropReasonNames[] = {
#define DROP_REASON(name, text) #name,
#include "netstack/drop_reason.def"
#undef DROP_REASON
};

inline constexpr const char* kDropReasonTexts[] = {
#define DROP_REASON(name, text) text,
#include "netstack/drop_reason.def"
#undef DROP_REASON
};

inline constexpr size_t kDropReasons = sizeof kDropReasonNames / sizeof kDropReasonNames[0];

// How often each outcome happened on one shard.
class OutcomeCounters {
 public:
  void Count(DropReason reason) { ++counts_[static_cast<size_t>(reason)]; }
  uint64_t operator[](DropReason reason) const { return counts_[static_cast<size_t>(reason)]; }

 private:
  std::array<uint64_t, kDropReasons> counts_{};
};

}  // namespace weir::netstack

#endif  // NETSTACK_DROP_REASON_H_
