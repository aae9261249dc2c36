// MulticastFilter: which sources a socket wants to hear in a group on an interface (RFC 3376 §2, RFC 3810 §4.1), and
// the calls that change it (RFC 3678 §4.1, §5.1).
#ifndef NETSTACK_IP_MULTICAST_FILTER_H_
#define NETSTACK_IP_MULTICAST_FILTER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "netstack/ip/group_call.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/ip_address.h"

namespace weir::netstack {

class Interface;

struct MulticastFilter {
  // net.ipv4.igmp_max_msf and net.ipv6.mld_max_msf of Linux.
  static constexpr size_t kMaxSources4 = 10;
  static constexpr size_t kMaxSources6 = 64;

  bool exclude = true;  // all but `sources`; else only these
  std::vector<IpAddress> sources;

  // ip_mc_sf_allow, inet6_mc_check.
  bool Allows(const IpAddress& source) const;
  // One of the calls for a source. Returns 0; EINVAL: a call for the other kind of filter, when this one has sources;
  // EADDRNOTAVAIL: the source is there already, or is not there; ENOBUFS: too many. Only 0 changes anything.
  // Linux: ip_mc_source, ip6_mc_source.
  int Change(GroupCall call, const IpAddress& source);
};

// A socket's membership of a group on one interface. The socket owns it; while it is joined the interface's group links
// it (GroupTable).
struct MulticastMembership : runtime::ListNode<MulticastMembership> {
  Interface* interface = nullptr;
  IpAddress group;
  MulticastFilter filter;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_MULTICAST_FILTER_H_
