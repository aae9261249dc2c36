// LocalTable: the IPv4 addresses that are not another host's: our own, and the broadcast addresses of the networks we
// are on. Every packet asks for its source and its destination, so it is one short run of numbers, whatever the
// interfaces. Linux: the table "local" (RTN_LOCAL, RTN_BROADCAST), ip rule 0.
#ifndef NETSTACK_IP_LOCAL_TABLE_H_
#define NETSTACK_IP_LOCAL_TABLE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "netstack/ip/interface.h"

namespace weir::netstack {

class LocalTable {
 public:
  struct Entry {
    uint32_t ip = 0;  // host order
    bool broadcast = false;
    Interface* interface = nullptr;  // whose address, or whose network
  };

  // Room for all addresses of another interface, and for the broadcast addresses of their networks.
  void AddInterface() { entries_.reserve(entries_.capacity() + 2 * Interface::kMaxAddresses); }
  // Follows the addresses of the interfaces. Our own come first: one may be another network's broadcast address.
  void Update(std::span<const std::unique_ptr<Interface>> interfaces);

  // Whose own address or network's broadcast address `ip` is; nullptr: neither.
  const Entry* Find(uint32_t ip) const {
    if ((last_bits_ >> ip % 64 & 1) == 0) return nullptr;
    for (const Entry& entry : entries_) {
      if (entry.ip == ip) return &entry;
    }
    return nullptr;
  }
  // Whether packets to `ip` are for this host alone.
  bool IsLocal(uint32_t ip) const {
    if (ip == first_ && ip != 0) [[likely]] return true;
    const Entry* entry = Find(ip);
    return entry != nullptr && !entry->broadcast;
  }
  // RFC 1122 §3.2.1.3: addresses that must never be a source. Our own as a source is a spoof (the land attack).
  bool IsMartianSource(uint32_t ip) const {
    const uint32_t net = ip >> 24;
    return net - 1 >= 223 || net == 127 || Find(ip) != nullptr;
  }

 private:
  std::vector<Entry> entries_;
  uint32_t first_ = 0;      // the first own address, for most hosts the only one; 0: there is none
  uint64_t last_bits_ = 0;  // bit n: the last six bits of an entry's address are n. Most sources are told apart by it.
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_LOCAL_TABLE_H_
