#include "netstack/ip/local_table.h"

namespace weir::netstack {

void LocalTable::Update(std::span<const std::unique_ptr<Interface>> interfaces) {
  entries_.clear();
  for (const bool broadcast : {false, true}) {
    for (const std::unique_ptr<Interface>& interface : interfaces) {
      for (const InterfaceAddress& address : interface->addresses()) {
        const IpPrefix& prefix = address.prefix;
        if (!prefix.ip.is_v4() || (broadcast && !prefix.has_broadcast())) continue;
        entries_.push_back({broadcast ? prefix.broadcast() : prefix.ip.v4(), broadcast, interface.get()});
      }
    }
  }
}

}  // namespace weir::netstack
