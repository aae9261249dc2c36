// Options of DatagramPosix: IPPROTO_UDP, memberships, and how those of other levels reach the UdpSock.
#include <netinet/udp.h>

#include <algorithm>

#include "netstack/udp/udp_multicast.h"
#include "tests/interop/datagram_posix.h"

namespace weir::interop {

using Call = netstack::GroupCall;

namespace {

// IPPROTO_IP's names of calls that name a source, and RFC 3678's, which both levels have.
bool CallOf(int name, Call* call) {
  switch (name) {
    case IP_ADD_MEMBERSHIP:
    case MCAST_JOIN_GROUP:
      *call = Call::kJoin;
      return true;
    case IP_DROP_MEMBERSHIP:
    case MCAST_LEAVE_GROUP:
      *call = Call::kLeave;
      return true;
    case IP_BLOCK_SOURCE:
    case MCAST_BLOCK_SOURCE:
      *call = Call::kBlockSource;
      return true;
    case IP_UNBLOCK_SOURCE:
    case MCAST_UNBLOCK_SOURCE:
      *call = Call::kUnblockSource;
      return true;
    case IP_ADD_SOURCE_MEMBERSHIP:
    case MCAST_JOIN_SOURCE_GROUP:
      *call = Call::kJoinSource;
      return true;
    case IP_DROP_SOURCE_MEMBERSHIP:
    case MCAST_LEAVE_SOURCE_GROUP:
      *call = Call::kLeaveSource;
      return true;
    default:
      return false;
  }
}

IpAddress Ip(const in_addr& address) { return IpAddress::V4(ntohl(address.s_addr)); }
IpAddress Ip(const in6_addr& address) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &address, bytes.size());
  return IpAddress::V6(bytes);
}
// 0, or the errno of an address of another family.
int Ip(const sockaddr_storage& address, int family, IpAddress* ip) {
  if (address.ss_family != family) return EADDRNOTAVAIL;
  if (family == AF_INET) {
    *ip = Ip(reinterpret_cast<const sockaddr_in&>(address).sin_addr);
  } else {
    *ip = Ip(reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
  }
  return 0;
}

}  // namespace

int DatagramPosix::SocketOptionSet(int name, int) {
  if (name == SO_BROADCAST) sock_->broadcast = options_.broadcast;
  if (name == SO_REUSEADDR) sock_->reuse_address = options_.reuse_address;
  return 0;
}

void DatagramPosix::IpOptionsSet() {
  const bool v4 = connected() ? peer_.ip.is_v4() : domain_ == AF_INET;
  sock_->ttl = static_cast<uint8_t>(std::max(v4 ? ip_.ttl : ip_.hops, 0));
  sock_->tos = static_cast<uint8_t>(v4 ? ip_.tos : ip_.tclass);
  sock_->multicast_ttl = static_cast<uint8_t>(v4 ? ip_.multicast_ttl : ip_.multicast_hops < 0 ? 1 : ip_.multicast_hops);
  sock_->multicast_loop = v4 ? ip_.multicast_loop : ip_.multicast_loop6;
  sock_->multicast_interface = v4 ? ip_.multicast_interface : ip_.multicast_interface6;
  sock_->recverr = v4 ? ip_.recverr : ip_.recverr6;
  using Pmtu = netstack::PmtuDiscovery;
  constexpr Pmtu kModes[] = {Pmtu::kDont, Pmtu::kWant, Pmtu::kDo, Pmtu::kDo, Pmtu::kDont, Pmtu::kDont};
  sock_->pmtu_discovery = kModes[v4 ? ip_.mtu_discover : ip_.mtu_discover6];
}

int DatagramPosix::SetProtocolOption(int level, int name, std::span<const std::byte> value) {
  if (level != IPPROTO_UDP || is_ping()) return -ENOPROTOOPT;
  int number = 0;
  if (!ReadInt(value, &number)) return -EINVAL;
  if (name != UDP_CORK) return -ENOPROTOOPT;
  cork_ = number != 0;
  if (!cork_ && !pending_.empty() && connected()) {
    const std::vector<std::byte> whole = std::exchange(pending_, {});
    return SendDatagram(whole, peer_);
  }
  return 0;
}

int DatagramPosix::GetProtocolOption(int level, int name, int room, OptionValue* value) {
  if (level != IPPROTO_UDP || is_ping()) return PosixSocket::GetProtocolOption(level, name, room, value);
  if (room < 0) return -EINVAL;
  if (name != UDP_CORK) return -ENOPROTOOPT;
  return value->Put<int>(cork_, room);
}

int DatagramPosix::GroupCall(Call call, const IpAddress& group, const IpAddress& source, uint32_t interface) {
  return -netstack::UdpGroupCall(table(), *sock_, call, group, source, interface);
}

int DatagramPosix::GroupOption4(int name, std::span<const std::byte> value) {
  Call call;
  if (!CallOf(name, &call)) return -ENOPROTOOPT;
  const bool plain = name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP;
  ip_mreqn request{};
  in_addr source{};
  if (plain) {
    if (value.size() < sizeof(ip_mreq)) return -EINVAL;
    std::memcpy(&request, value.data(), std::min(value.size(), sizeof request));
    if (value.size() < sizeof request) request.imr_ifindex = 0;
  } else {
    ip_mreq_source of_source;
    if (value.size() != sizeof of_source) return -EINVAL;
    ReadStruct(value, &of_source);
    request.imr_multiaddr = of_source.imr_multiaddr;
    request.imr_address = of_source.imr_interface;
    source = of_source.imr_sourceaddr;
  }
  auto index = static_cast<uint32_t>(request.imr_ifindex);
  if (index == 0 && request.imr_address.s_addr != 0) {
    const auto* of = context().FindLocal(Ip(request.imr_address));
    if (of == nullptr) return -ENODEV;
    index = of->index;
  }
  return GroupCall(call, Ip(request.imr_multiaddr), plain ? IpAddress() : Ip(source), index);
}

int DatagramPosix::GroupOption(int level, int name, std::span<const std::byte> value) {
  if (level == IPPROTO_IPV6 && (name == IPV6_JOIN_GROUP || name == IPV6_LEAVE_GROUP)) {
    ipv6_mreq request;
    if (!ReadStruct(value, &request)) return -EINVAL;
    const Call call = name == IPV6_JOIN_GROUP ? Call::kJoin : Call::kLeave;
    return GroupCall(call, Ip(request.ipv6mr_multiaddr), {}, request.ipv6mr_interface);
  }
  if (level == IPPROTO_IP && name < MCAST_JOIN_GROUP) return GroupOption4(name, value);
  Call call;
  if (!CallOf(name, &call)) return -ENOPROTOOPT;
  const int family = level == IPPROTO_IP ? AF_INET : AF_INET6;
  IpAddress group, source;
  if (call == Call::kJoin || call == Call::kLeave) {
    group_req request;
    if (!ReadStruct(value, &request)) return -EINVAL;
    if (Ip(request.gr_group, family, &group) != 0) return -EINVAL;
    return GroupCall(call, group, {}, request.gr_interface);
  }
  group_source_req request;
  if (!ReadStruct(value, &request)) return -EINVAL;
  if (Ip(request.gsr_group, family, &group) != 0 || Ip(request.gsr_source, family, &source) != 0) return -EADDRNOTAVAIL;
  return GroupCall(call, group, source, request.gsr_interface);
}

}  // namespace weir::interop
