// Interface: one of the stack's network interfaces: its device, addresses, neighbours and multicast groups (the parts of
// Linux's net_device, in_device and inet6_dev that matter here). Owned by the IpContext.
#ifndef NETSTACK_IP_INTERFACE_H_
#define NETSTACK_IP_INTERFACE_H_

#include <array>
#include <cstdint>
#include <span>

#include "netstack/ip/group_table.h"
#include "netstack/ip/multicast.h"
#include "netstack/ip/neighbour.h"
#include "netstack/ip/net_device.h"
#include "runtime/base/ip_address.h"

namespace weir::netstack {

struct IpContext;

// RFC 4862 §5.5.4 and RFC 4429 §2.1. An optimistic address is in use while nobody has yet had the time to object; it is
// told to no neighbour's cache. One that turns out to be another's is taken away.
enum class AddressState : uint8_t { kOptimistic, kPreferred, kDeprecated };

struct InterfaceAddress {
  IpPrefix prefix;  // the address, and the length of the network's prefix
  AddressState state = AddressState::kPreferred;
};

class Interface {
 public:
  // Static addresses, and of each of the prefixes that a router advertisement may bring one.
  static constexpr size_t kMaxAddresses = 16;

  // `index`: not 0; the scope_id of the interface's link-local addresses.
  Interface(IpContext& context, uint32_t index, const NetDeviceOptions& options);
  Interface(const Interface&) = delete;

  std::span<const InterfaceAddress> addresses() const { return {addresses_.data(), address_count_}; }
  // nullptr: not ours on this interface.
  InterfaceAddress* FindAddress(const IpAddress& ip);
  // The first address of the family; nullptr without one.
  const InterfaceAddress* FirstAddress(bool v4) const;
  // Whether `ip` is in the prefix of one of our addresses.
  bool OnLink(const IpAddress& ip) const;
  // 255.255.255.255 or the broadcast address of one of our prefixes.
  bool IsBroadcast(const IpAddress& ip) const;

  // The source that fits `destination`: IPv4, the address whose prefix it is in, else the first; IPv6, RFC 6724 §5 as
  // far as it says something about addresses of one interface. nullptr: none of the family.
  const InterfaceAddress* SelectSource(const IpAddress& destination) const;

  // Largest IP packet of the family (RFC 4861 §6.3.4 for what a router may say of it).
  uint32_t mtu(bool v4) const { return v4 || mtu6 == 0 ? device.mtu() : mtu6; }

  IpContext& context;
  const uint32_t index;
  NetDevice device;
  NeighbourTable neighbours;
  GroupTable groups;
  MulticastHost igmp{*this, /*v4=*/true};
  MulticastHost mld{*this, /*v4=*/false};

  // An IPv4 address that we would like to have (RFC 5227 §2.1); any: none.
  struct {
    IpAddress ip;
    bool conflict = false;  // somebody has it, or wants it too
  } arp_probe;
  Nanos defended_ns = -3600 * kSecond;  // when one of our addresses was last defended

  // What a router advertisement may change (RFC 4861 §6.3.2).
  uint8_t hop_limit = 64;
  uint32_t mtu6 = 0;  // 0: the device's

 private:
  friend struct IpContext;  // adds and removes addresses, with their routes

  std::array<InterfaceAddress, kMaxAddresses> addresses_{};
  size_t address_count_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_INTERFACE_H_
