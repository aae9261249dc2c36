// IpConfig: the addresses, routes and link parameters of a stack, as a value: what shard 0 of a host has found out by
// duplicate address detection, DHCP and router advertisements, for the other shards to do alike.
#ifndef NETSTACK_IP_IP_CONFIG_H_
#define NETSTACK_IP_IP_CONFIG_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "netstack/ip/ip_context.h"

namespace weir::netstack {

struct IpConfig {
  struct Link {
    std::vector<InterfaceAddress> addresses;
    uint32_t mtu4 = 0;
    uint32_t mtu6 = 0;
    uint8_t hop_limit = 0;
    Nanos reachable_time6_ns = 0;
    Nanos retrans_timer6_ns = 0;
  };
  struct ConfiguredRoute {
    IpPrefix prefix;
    size_t link = 0;  // its place among the interfaces
    IpAddress gateway;
    uint32_t metric = 0;
  };

  std::vector<Link> links;  // in the order of the interfaces
  std::vector<ConfiguredRoute> routes;
};

IpConfig ReadIpConfig(const IpContext& context);
// Makes `context`, which has the same interfaces, agree with `config`.
void FollowIpConfig(IpContext& context, const IpConfig& config);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_CONFIG_H_
