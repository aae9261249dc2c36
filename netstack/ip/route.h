// RouteTable: which way packets leave: prefixes of both families, each with an interface and, unless the destination
// is on the link, a gateway. The longest prefix that contains the destination decides (RFC 1812 §5.2.4.3), among equals
// the lowest metric. Linux: fib_lookup, ip6_route_output.
#ifndef NETSTACK_IP_ROUTE_H_
#define NETSTACK_IP_ROUTE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/base/ip_address.h"

namespace weir::netstack {

class Interface;

struct Route {
  IpPrefix prefix;  // the network: no bits behind the prefix
  Interface* out = nullptr;
  IpAddress gateway;  // any: the destination itself is on the link
  uint32_t metric = 0;

  friend bool operator==(const Route&, const Route&) = default;
};

class RouteTable {
 public:
  // A host has a handful and a router that is configured by hand some hundreds; a full Internet table is out of scope.
  static constexpr size_t kMaxRoutes = 1024;

  RouteTable();

  // Nothing when it is there already: a route is all of what it says, its metric too, so that what a router advertised
  // is not the user's. False: there is no room.
  bool Add(const Route& route);
  // Nothing when it is not there.
  void Remove(const Route& route);

  // nullptr: no route. `out`: only routes of that interface count, for link-local destinations and bound sockets.
  const Route* Lookup(const IpAddress& destination, const Interface* out = nullptr) const;

  // In no order.
  const std::vector<Route>& routes() const { return routes_; }

  // Changes whenever a route comes or goes (rt_genid).
  uint32_t generation() const { return generation_; }

 private:
  static constexpr size_t kBuckets = 256;
  static constexpr uint16_t kNone = 0xffff;

  // Bits of the 16-byte form: 96 more than an IPv4 prefix's length.
  static int Bits(const IpPrefix& prefix) { return prefix.length + (prefix.ip.is_v4() ? 96 : 0); }
  static size_t Bucket(const IpAddress& network, int bits);
  void Rebuild();

  std::vector<Route> routes_;
  uint32_t generation_ = 0;
  std::vector<uint16_t> next_;                 // of routes_[i], in its bucket
  std::array<uint16_t, kBuckets> buckets_{};
  std::vector<uint8_t> lengths_[2];            // bits that occur in IPv6 and in IPv4 routes, longest first
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_ROUTE_H_
