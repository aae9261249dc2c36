// Between Endpoint and the kernel's socket addresses. An IPv4 address on an AF_INET6 socket is IPv4-mapped
// (RFC 3493 §3.7), which is also what Endpoint keeps, so it shows as IPv4.
#ifndef NETSTACK_SOCKET_SOCKADDR_H_
#define NETSTACK_SOCKET_SOCKADDR_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include "runtime/base/ip_address.h"

namespace weir::netstack {

// Either family, with its length.
struct SocketAddress {
  union {
    sockaddr base;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  socklen_t length = 0;

  SocketAddress() : v6{} {}
  // As a socket of `family` (AF_INET or AF_INET6) wants it. On AF_INET6, `endpoint` may be of either family; on
  // AF_INET it must be IPv4 or "any".
  SocketAddress(const Endpoint& endpoint, int family);

  Endpoint ToEndpoint() const;
};

// The family of a socket that is to use `ip`: AF_INET for IPv4, AF_INET6 for IPv6 and for "::", which is both.
int FamilyOf(const IpAddress& ip);

// setsockopt(2) of a number. False, with errno set, when that fails.
bool SetSocketOption(int fd, int level, int name, int value);

// Of a socket; all zero when it has none (any more).
Endpoint LocalEndpoint(int fd);
Endpoint PeerEndpoint(int fd);

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_SOCKADDR_H_
