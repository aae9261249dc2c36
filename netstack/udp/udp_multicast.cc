#include "netstack/udp/udp_multicast.h"

#include <cerrno>

#include "netstack/ip/ip_output.h"

namespace weir::netstack {
namespace {

using MembershipPtr = std::unique_ptr<MulticastMembership>;

// nullptr: none.
MulticastMembership* FindMembership(const UdpSock& sock, const IpAddress& group, uint32_t interface) {
  for (const MembershipPtr& m : sock.memberships) {
    if (m->group == group && (interface == 0 || m->interface->index == interface)) return m.get();
  }
  return nullptr;
}

int Join(UdpTable& table, UdpSock& sock, Interface& interface, const IpAddress& group, const MulticastFilter& filter) {
  if (sock.memberships.size() == UdpSock::kMaxMemberships) return ENOBUFS;
  auto membership = std::make_unique<MulticastMembership>();
  membership->interface = &interface;
  membership->group = group;
  membership->filter = filter;
  if (!table.ip().JoinGroup(*membership)) return ENOBUFS;
  sock.memberships.push_back(std::move(membership));
  return 0;
}

int Leave(UdpTable& table, UdpSock& sock, MulticastMembership& membership) {
  table.ip().LeaveGroup(membership);
  std::erase_if(sock.memberships, [&](const MembershipPtr& m) { return m.get() == &membership; });
  return 0;
}

}  // namespace

int UdpGroupCall(UdpTable& table, UdpSock& sock, GroupCall call, const IpAddress& group, const IpAddress& source,
                 uint32_t interface) {
  const bool names_source = call != GroupCall::kJoin && call != GroupCall::kLeave;
  if (!group.is_multicast() || (names_source && (source.is_v4() != group.is_v4() || source.is_any()))) return EINVAL;
  if (call == GroupCall::kJoin || call == GroupCall::kJoinSource) {
    Interface* wanted = table.ip().FindInterface(interface);
    Interface* out = interface != 0 ? wanted : RouteLookup(table.ip(), group).out;
    if (out == nullptr) return ENODEV;
    if (FindMembership(sock, group, out->index) == nullptr) {
      return Join(table, sock, *out, group,
                  names_source ? MulticastFilter{.exclude = false, .sources = {source}} : MulticastFilter{});
    }
    if (call == GroupCall::kJoin) return EADDRINUSE;
    interface = out->index;
  }
  MulticastMembership* membership = FindMembership(sock, group, interface);
  if (membership == nullptr) return call == GroupCall::kLeave ? EADDRNOTAVAIL : EINVAL;
  if (call == GroupCall::kLeave) return Leave(table, sock, *membership);
  if (const int error = membership->filter.Change(call, source); error != 0) return error;
  // RFC 3376 §3.1: INCLUDE of nothing is not to listen at all.
  if (!membership->filter.exclude && membership->filter.sources.empty()) return Leave(table, sock, *membership);
  table.ip().FilterChanged(*membership);
  return 0;
}

void UdpLeaveAllGroups(UdpTable& table, UdpSock& sock) {
  while (!sock.memberships.empty()) static_cast<void>(Leave(table, sock, *sock.memberships.back()));
}

bool UdpIsMember(const UdpSock& sock, const Interface& in, const IpAddress& group, const IpAddress& source) {
  const MulticastMembership* membership = FindMembership(sock, group, in.index);
  return membership != nullptr && membership->filter.Allows(source);
}

}  // namespace weir::netstack
