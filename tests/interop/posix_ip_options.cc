// IPPROTO_IP and IPPROTO_IPV6 of PosixSocket. Linux: do_ip_setsockopt, do_ipv6_setsockopt and what reads them back.
#include <netinet/in.h>

#include <algorithm>

#include "tests/interop/posix_socket.h"

namespace weir::interop {
namespace {

constexpr int kDefaultHops = 64;
constexpr int kEcnMask = 3;
constexpr int kLastMtuDiscover = 5;  // IP_PMTUDISC_OMIT
constexpr int kMinTtl = 21, kBindAddressNoPort = 24, kMulticastAll = 49, kLocalPortRange = 51;
constexpr int kMinHopCount = 73, kMulticastAll6 = 29, kAutoFlowLabel = 70;

// Of TCP the bits of ECN are its own.
int TypeOfService(bool stream, int before, int value) {
  value &= 255;
  return stream ? (value & ~kEcnMask) | (before & kEcnMask) : value;
}

bool IsGroupOption(int name) {
  return (name >= IP_ADD_MEMBERSHIP && name <= IP_DROP_SOURCE_MEMBERSHIP) ||
         (name >= MCAST_JOIN_GROUP && name <= MCAST_LEAVE_SOURCE_GROUP);
}

// Flags of messages, and others that are only kept here.
bool IsKept(int name) {
  switch (name) {
    case IP_PKTINFO:
    case IP_RECVTTL:
    case IP_RECVTOS:
    case IP_RECVOPTS:
    case IP_RETOPTS:
    case IP_FREEBIND:
    case IP_TRANSPARENT:
    case IP_RECVORIGDSTADDR:
    case kBindAddressNoPort:
    case kMulticastAll:
    case kLocalPortRange:
      return true;
    default:
      return false;
  }
}
bool IsNumber6(int name) {
  switch (name) {
    case IPV6_V6ONLY:
    case IPV6_UNICAST_HOPS:
    case IPV6_MULTICAST_HOPS:
    case IPV6_MULTICAST_LOOP:
    case IPV6_MULTICAST_IF:
    case IPV6_TCLASS:
    case IPV6_MTU_DISCOVER:
    case IPV6_RECVERR:
    case IPV6_MTU:
    case kMinHopCount:
      return true;
    default:
      return false;
  }
}
bool IsKept6(int name) {
  switch (name) {
    case IPV6_RECVPKTINFO:
    case IPV6_RECVHOPLIMIT:
    case IPV6_RECVTCLASS:
    case IPV6_DONTFRAG:
    case IPV6_FREEBIND:
    case IPV6_TRANSPARENT:
    case kMulticastAll6:
    case kAutoFlowLabel:
      return true;
    default:
      return false;
  }
}

}  // namespace

int PosixSocket::SetIpOption(int name, std::span<const std::byte> value) {
  if (IsGroupOption(name)) return GroupOption(IPPROTO_IP, name, value);
  const int number = ReadIpInt(value);
  switch (name) {
    case IP_TOS:
      ip_.tos = TypeOfService(is_stream(), ip_.tos, number);
      break;
    case IP_TTL:
      if (value.empty() || (number != -1 && (number < 1 || number > 255))) return -EINVAL;
      ip_.ttl = number;
      break;
    case IP_MTU_DISCOVER:
      if (number < 0 || number > kLastMtuDiscover) return -EINVAL;
      ip_.mtu_discover = number;
      break;
    case IP_RECVERR:
      ip_.recverr = number != 0;
      break;
    case kMinTtl:
      if (value.empty() || number < 0 || number > 255) return -EINVAL;
      ip_.min_ttl = number;
      break;
    case IP_MULTICAST_TTL:
      if (is_stream() || value.empty() || number < -1 || number > 255) return -EINVAL;
      ip_.multicast_ttl = number == -1 ? 1 : number;
      break;
    case IP_MULTICAST_LOOP:
      if (value.empty()) return -EINVAL;
      ip_.multicast_loop = number != 0;
      break;
    case IP_MULTICAST_IF:
      if (const int error = SetMulticastInterface(value); error != 0) return error;
      break;
    default:
      if (!IsKept(name)) return -ENOPROTOOPT;
      ip_.others[{IPPROTO_IP, name}] = name == kLocalPortRange ? number : number != 0;
  }
  IpOptionsSet();
  return 0;
}

int PosixSocket::SetMulticastInterface(std::span<const std::byte> value) {
  if (is_stream() || value.size() < sizeof(in_addr)) return -EINVAL;
  ip_mreqn request{};
  if (value.size() >= sizeof(ip_mreqn)) {
    ReadStruct(value, &request);
  } else if (value.size() >= sizeof(ip_mreq)) {
    std::memcpy(&request, value.data(), sizeof(ip_mreq));
  } else {
    ReadStruct(value, &request.imr_address);
  }
  if (request.imr_ifindex == 0 && request.imr_address.s_addr != 0) {
    const auto* of = context().FindLocal(IpAddress::V4(ntohl(request.imr_address.s_addr)));
    if (of == nullptr) return -EADDRNOTAVAIL;
    request.imr_ifindex = static_cast<int>(of->index);
  }
  const auto index = static_cast<uint32_t>(request.imr_ifindex);
  if (index != 0 && context().FindInterface(index) == nullptr) return -EADDRNOTAVAIL;
  ip_.multicast_interface = index;
  ip_.multicast_address = request.imr_address;
  return 0;
}

int PosixSocket::SetIp6Option(int name, std::span<const std::byte> value) {
  if (name == IPV6_JOIN_GROUP || name == IPV6_LEAVE_GROUP ||
      (name >= MCAST_JOIN_GROUP && name <= MCAST_LEAVE_SOURCE_GROUP)) {
    return GroupOption(IPPROTO_IPV6, name, value);
  }
  int number = 0;
  const bool known = IsKept6(name) || IsNumber6(name);
  if (!known || (is_stream() && (name == IPV6_MULTICAST_HOPS || name == IPV6_MULTICAST_IF))) return -ENOPROTOOPT;
  if (!ReadInt(value, &number)) return -EINVAL;
  switch (name) {
    case IPV6_V6ONLY:
      if (HasPort()) return -EINVAL;
      ip_.v6only = number != 0;
      break;
    case IPV6_UNICAST_HOPS:
      if (number < -1 || number > 255) return -EINVAL;
      ip_.hops = number;
      break;
    case IPV6_MULTICAST_HOPS:
      if (number < -1 || number > 255) return -EINVAL;
      ip_.multicast_hops = number == -1 ? 1 : number;
      break;
    case IPV6_MULTICAST_LOOP:
      if (number != 0 && number != 1) return -EINVAL;
      ip_.multicast_loop6 = number != 0;
      break;
    case IPV6_MULTICAST_IF:
      if (number != 0 && context().FindInterface(static_cast<uint32_t>(number)) == nullptr) return -ENODEV;
      ip_.multicast_interface6 = static_cast<uint32_t>(number);
      break;
    case IPV6_TCLASS:
      if (number < -1 || number > 255) return -EINVAL;
      ip_.tclass = TypeOfService(is_stream(), ip_.tclass, std::max(number, 0));
      break;
    case IPV6_MTU_DISCOVER:
      if (number < 0 || number > kLastMtuDiscover) return -EINVAL;
      ip_.mtu_discover6 = number;
      break;
    case IPV6_RECVERR:
      ip_.recverr6 = number != 0;
      break;
    case kMinHopCount:
      if (number < 0 || number > 255) return -EINVAL;
      ip_.min_hops = number;
      break;
    case IPV6_MTU:
      if (number != 0 && number < 1280) return -EINVAL;
      break;
    default:
      ip_.others[{IPPROTO_IPV6, name}] = number != 0;
  }
  IpOptionsSet();
  return 0;
}

int PosixSocket::GetIpOption(int name, int room, OptionValue* value) {
  switch (name) {
    case IP_TOS:
      return value->PutIp(ip_.tos, room);
    case IP_TTL:
      return value->PutIp(ip_.ttl < 0 ? kDefaultHops : ip_.ttl, room);
    case IP_MTU_DISCOVER:
      return value->PutIp(ip_.mtu_discover, room);
    case IP_RECVERR:
      return value->PutIp(ip_.recverr, room);
    case kMinTtl:
      return value->PutIp(ip_.min_ttl, room);
    case IP_MULTICAST_TTL:
      return value->PutIp(ip_.multicast_ttl, room);
    case IP_MULTICAST_LOOP:
      return value->PutIp(ip_.multicast_loop, room);
    case IP_MULTICAST_IF:
      return value->Put(ip_.multicast_address, room);
    case IP_MTU: {
      const int mtu = PathMtu();
      return mtu < 0 ? mtu : value->PutIp(mtu, room);
    }
    default: {
      if (!IsKept(name)) return -ENOPROTOOPT;
      const auto kept = ip_.others.find({IPPROTO_IP, name});
      return value->PutIp(kept == ip_.others.end() ? name == kMulticastAll : kept->second, room);
    }
  }
}

int PosixSocket::GetIp6Option(int name, int room, OptionValue* value) {
  switch (name) {
    case IPV6_V6ONLY:
      return value->Put<int>(ip_.v6only, room);
    case IPV6_UNICAST_HOPS:
      return value->Put(ip_.hops < 0 ? kDefaultHops : ip_.hops, room);
    case IPV6_MULTICAST_HOPS:
      return value->Put(ip_.multicast_hops < 0 ? 1 : ip_.multicast_hops, room);
    case IPV6_MULTICAST_LOOP:
      return value->Put<int>(ip_.multicast_loop6, room);
    case IPV6_MULTICAST_IF:
      return value->Put(static_cast<int>(ip_.multicast_interface6), room);
    case IPV6_TCLASS:
      return value->Put(ip_.tclass, room);
    case IPV6_MTU_DISCOVER:
      return value->Put(ip_.mtu_discover6, room);
    case IPV6_RECVERR:
      return value->Put<int>(ip_.recverr6, room);
    case kMinHopCount:
      return value->Put(ip_.min_hops, room);
    case IPV6_MTU: {
      const int mtu = PathMtu();
      return mtu < 0 ? mtu : value->Put(mtu, room);
    }
    default: {
      if (!IsKept6(name)) return -ENOPROTOOPT;
      const bool by_default = name == kMulticastAll6 || name == kAutoFlowLabel;
      const auto kept = ip_.others.find({IPPROTO_IPV6, name});
      return value->Put<int>(kept == ip_.others.end() ? by_default : kept->second, room);
    }
  }
}

}  // namespace weir::interop
