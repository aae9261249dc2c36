#include "netstack/socket/sockaddr.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>

namespace weir::netstack {

int FamilyOf(const IpAddress& ip) { return ip.is_v4() ? AF_INET : AF_INET6; }

SocketAddress::SocketAddress(const Endpoint& endpoint, int family) : v6{} {
  if (family == AF_INET) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    v4.sin_addr.s_addr = htonl(endpoint.ip.is_v4() ? endpoint.ip.v4() : INADDR_ANY);
    length = sizeof v4;
  } else {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    v6.sin6_scope_id = endpoint.scope_id;
    std::memcpy(&v6.sin6_addr, endpoint.ip.bytes().data(), sizeof v6.sin6_addr);
    length = sizeof v6;
  }
}

Endpoint SocketAddress::ToEndpoint() const {
  if (base.sa_family == AF_INET) return {IpAddress::V4(ntohl(v4.sin_addr.s_addr)), ntohs(v4.sin_port)};
  if (base.sa_family != AF_INET6) return {};
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return {IpAddress::V6(bytes), ntohs(v6.sin6_port), v6.sin6_scope_id};
}

bool SetSocketOption(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

Endpoint LocalEndpoint(int fd) {
  SocketAddress address;
  address.length = sizeof address.v6;
  return getsockname(fd, &address.base, &address.length) == 0 ? address.ToEndpoint() : Endpoint{};
}

Endpoint PeerEndpoint(int fd) {
  SocketAddress address;
  address.length = sizeof address.v6;
  return getpeername(fd, &address.base, &address.length) == 0 ? address.ToEndpoint() : Endpoint{};
}

}  // namespace weir::netstack
