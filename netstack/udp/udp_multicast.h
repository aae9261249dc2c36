// Memberships of UDP sockets (RFC 1112 §6, RFC 3376 §3.1, RFC 3678 §5.1).
#ifndef NETSTACK_UDP_UDP_MULTICAST_H_
#define NETSTACK_UDP_UDP_MULTICAST_H_

#include "netstack/ip/group_call.h"
#include "netstack/udp/udp_table.h"

namespace weir::netstack {

// `interface`: its index; 0: the one that the route to the group leads over, and for a membership that is there the
// first. `source`: for the calls that name one. Returns 0 or:
//   EINVAL         `group` is none; a call for the other kind of membership; or one for a source of no membership
//   EADDRINUSE     kJoin of what is joined
//   EADDRNOTAVAIL  what is not joined; or a source that is there already, or is not there
//   ENODEV         no such interface, or no route
//   ENOBUFS        too many memberships, sources or groups
// Linux: ip_mc_join_group, ip_mc_leave_group, ip_mc_source; ipv6_sock_mc_join, ipv6_sock_mc_drop, ip6_mc_source.
int UdpGroupCall(UdpTable& table, UdpSock& sock, GroupCall call, const IpAddress& group, const IpAddress& source,
                 uint32_t interface);
void UdpLeaveAllGroups(UdpTable& table, UdpSock& sock);

// Whether `sock` wants what `source` sends to `group` on `in`.
// Differs from Linux: only what the socket itself joined, as there with IP_MULTICAST_ALL off; there the default is
// every group that any socket of the host joined. Linux: ip_mc_sf_allow, inet6_mc_check.
bool UdpIsMember(const UdpSock& sock, const Interface& in, const IpAddress& group, const IpAddress& source);

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_MULTICAST_H_
