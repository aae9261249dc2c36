#include "netstack/ip/local_table.h"

namespace weir::netstack {

void LocalTable::Update(std::span<const std::unique_ptr<Interface>> interfaces) {
  entries_.clear();
  last_bits_ = 0;
  for (const bool broadcast : {false, true}) {
    for (const std::unique_ptr<Interface>& interface : interfaces) {
      for (const InterfaceAddress& address : interface->addresses()) {
        const IpPrefix& prefix = address.prefix;
        if (!prefix.ip.is_v4() || (broadcast && !prefix.has_broadcast())) continue;
        const uint32_t ip = broadcast ? prefix.broadcast() : prefix.ip.v4();
        entries_.push_back({ip, broadcast, interface.get()});
        last_bits_ |= uint64_t{1} << ip % 64;
      }
    }
  }
  first_ = entries_.empty() ? 0 : entries_.front().ip;
}

}  // namespace weir::netstack
