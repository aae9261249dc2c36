// Interface: one of the stack's network interfaces: its device, addresses, neighbours and multicast groups (the parts
// of Linux's net_device, in_device and inet6_dev that matter here). Owned by the IpContext.
#ifndef NETSTACK_IP_INTERFACE_H_
#define NETSTACK_IP_INTERFACE_H_

#include <array>
#include <cstdint>
#include <span>

#include "netstack/ip/addrconf.h"
#include "netstack/ip/group_table.h"
#include "netstack/ip/multicast.h"
#include "netstack/ip/neighbour.h"
#include "netstack/ip/net_device.h"
#include "netstack/ip/router_discovery.h"
#include "runtime/base/ip_address.h"

namespace weir::netstack {

struct IpContext;

// RFC 4862 §5.5.4 and RFC 4429 §2.1. An optimistic address is in use while nobody has yet had the time to object; it is
// told to no neighbour's cache. One that turns out to be another's is taken away.
enum class AddressState : uint8_t { kOptimistic, kPreferred, kDeprecated };

struct InterfaceAddress {
  IpPrefix prefix;  // the address, and the length of the network's prefix
  AddressState state = AddressState::kPreferred;
  // The hosts of the prefix are on the link. Of a prefix that only gave us an address that is not known (RFC 5942 §4).
  bool on_link = true;

  // For Addrconf.
  bool generated = false;   // made of a prefix and an identifier of ours
  uint8_t dad_counter = 0;  // RFC 7217 §5: identifiers that turned out to be another's
  Nanos dad_until_ns = 0;   // when nobody has objected
  uint64_t dad_nonce = 0;   // of the probe (RFC 7527 §4)
  Nanos preferred_until_ns = kNever;
  Nanos valid_until_ns = kNever;
};

class Interface {
 public:
  // Static addresses, and of each of the prefixes that a router advertisement may bring one.
  static constexpr size_t kMaxAddresses = 16;

  // `index`: not 0; the scope_id of the interface's link-local addresses.
  Interface(IpContext& context, uint32_t index, const NetDeviceOptions& options);
  Interface(const Interface&) = delete;

  std::span<const InterfaceAddress> addresses() const { return {addresses_.data(), address_count_}; }
  std::span<InterfaceAddress> mutable_addresses() { return {addresses_.data(), address_count_}; }
  // nullptr: not ours on this interface.
  InterfaceAddress* FindAddress(const IpAddress& ip);
  // The first address of the family; nullptr without one.
  const InterfaceAddress* FirstAddress(bool v4) const;
  // The first link-local IPv6 address; nullptr without one.
  const InterfaceAddress* LinkLocal() const;
  // Whether `ip` is in the prefix of one of our addresses.
  bool OnLink(const IpAddress& ip) const;
  // 255.255.255.255 or the broadcast address of one of our prefixes.
  bool IsBroadcast(const IpAddress& ip) const;

  // The source that fits `destination`: IPv4, the address whose prefix it is in, else the first; IPv6, RFC 6724 §5 as
  // far as it says something about addresses of one interface. nullptr: none of the family.
  const InterfaceAddress* SelectSource(const IpAddress& destination) const;

  // Largest IP packet of the family.
  uint32_t mtu(bool v4) const {
    const uint32_t told = v4 ? mtu4 : mtu6;
    return told != 0 ? told : device.mtu();
  }
  // RFC 4861 §6.3.2. What routers say is for IPv6; ARP keeps to the defaults.
  Nanos reachable_time(bool v4) const { return v4 ? NeighbourTable::kReachableTime : reachable_time6_ns; }
  Nanos retrans_timer(bool v4) const { return v4 ? NeighbourTable::kRetransTimer : retrans_timer6_ns; }

  IpContext& context;
  const uint32_t index;
  NetDevice device;
  NeighbourTable neighbours;
  GroupTable groups;
  RouterDiscovery routers;
  Addrconf addrconf;
  MulticastHost igmp{*this, /*v4=*/true};
  MulticastHost mld{*this, /*v4=*/false};

  // An IPv4 address that we would like to have (RFC 5227 §2.1); any: none.
  struct {
    IpAddress ip;
    bool conflict = false;  // somebody has it, or wants it too
  } arp_probe;
  Nanos defended_ns = -3600 * kSecond;  // when one of our addresses was last defended

  uint32_t mtu4 = 0;  // what the DHCP server said (RFC 2132 §5.1); 0: the device's, as is the other
  // What a router advertisement may change (RFC 4861 §6.3.2).
  uint8_t hop_limit = 64;
  uint32_t mtu6 = 0;
  Nanos reachable_time6_ns = NeighbourTable::kReachableTime;
  Nanos retrans_timer6_ns = NeighbourTable::kRetransTimer;

 private:
  friend struct IpContext;  // adds and removes addresses, with their routes

  std::array<InterfaceAddress, kMaxAddresses> addresses_{};
  size_t address_count_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_INTERFACE_H_
