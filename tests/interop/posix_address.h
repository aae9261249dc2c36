// Between Endpoint and the sockaddr_in and sockaddr_in6 that programs give and get.
#ifndef TESTS_INTEROP_POSIX_ADDRESS_H_
#define TESTS_INTEROP_POSIX_ADDRESS_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>

#include "runtime/base/ip_address.h"

namespace weir::interop {

inline constexpr size_t kLeastSockaddrIn6 = 24;  // without the scope, as RFC 2133 had it

struct PosixAddress {
  union {
    sockaddr base;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  size_t length = 0;
  PosixAddress() : v6{} {}

  std::span<const std::byte> bytes() const { return {reinterpret_cast<const std::byte*>(&v6), length}; }
};

// As a socket of `domain` gives it: an IPv4 address of an AF_INET6 socket is mapped.
inline PosixAddress ToPosix(const Endpoint& endpoint, int domain) {
  PosixAddress address;
  if (domain == AF_INET) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(endpoint.port);
    address.v4.sin_addr.s_addr = endpoint.ip.is_v4() ? htonl(endpoint.ip.v4()) : 0;
    address.length = sizeof(sockaddr_in);
  } else {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(endpoint.port);
    const auto bytes = endpoint.ip.bytes();
    std::memcpy(&address.v6.sin6_addr, bytes.data(), bytes.size());
    address.v6.sin6_scope_id = endpoint.scope_id;
    address.length = sizeof(sockaddr_in6);
  }
  return address;
}

// The family that `bytes` begin with; AF_UNSPEC of fewer than two.
inline int FamilyOf(std::span<const std::byte> bytes) {
  sa_family_t family = AF_UNSPEC;
  if (bytes.size() >= sizeof family) std::memcpy(&family, bytes.data(), sizeof family);
  return family;
}

// The address of a call on a socket of `domain`: 0, or the errno that bind(2) and connect(2) give it. `v6only`: of an
// AF_INET6 socket, which then takes no mapped addresses (`mapped_error`).
inline int FromPosix(std::span<const std::byte> bytes, int domain, bool v6only, int mapped_error, Endpoint* endpoint) {
  if (bytes.size() < (domain == AF_INET ? sizeof(sockaddr_in) : kLeastSockaddrIn6)) return EINVAL;
  if (FamilyOf(bytes) != domain) return EAFNOSUPPORT;
  if (domain == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, bytes.data(), sizeof v4);
    *endpoint = {IpAddress::V4(ntohl(v4.sin_addr.s_addr)), ntohs(v4.sin_port)};
    return 0;
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, bytes.data(), std::min(bytes.size(), sizeof v6));
  std::array<uint8_t, 16> ip;
  std::memcpy(ip.data(), &v6.sin6_addr, ip.size());
  *endpoint = {IpAddress::V6(ip), ntohs(v6.sin6_port)};
  if (endpoint->ip.is_v4() && v6only) return mapped_error;
  if (endpoint->ip.is_link_local() && !endpoint->ip.is_v4()) endpoint->scope_id = v6.sin6_scope_id;
  return 0;
}

}  // namespace weir::interop

#endif  // TESTS_INTEROP_POSIX_ADDRESS_H_
