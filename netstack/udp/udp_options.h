// What a program may set on a UDP socket, and for a single datagram. The names in comments are Linux's (ip(7), ipv6(7),
// socket(7)). Shared by the public socket (netstack/socket/udp_socket.h), both of its backends, and UdpSock.
#ifndef NETSTACK_UDP_UDP_OPTIONS_H_
#define NETSTACK_UDP_UDP_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "runtime/base/ip_address.h"

namespace weir::netstack {

// At Bind.
struct UdpBindOptions {
  // Linux's default receive buffer (212,992 bytes) holds about this many small datagrams, counted with their overhead
  // of 768 bytes each.
  static constexpr size_t kReceiveQueue = 256;
  // As many again as a shard's frames would be left of by four such sockets (HostOptions::frames).
  static constexpr size_t kMaxReceiveQueue = 4096;

  // SO_REUSEPORT: several sockets that all say so share one address and port; each flow goes to one of them, always to
  // the same while it is there.
  bool reuse_port = false;
  // SO_REUSEADDR: several sockets that all say so share one address and port, and each of them gets what is sent to a
  // group or broadcast; what is sent to one host alone, one of them. For programs that listen to the same group.
  bool reuse_address = false;
  // How many datagrams may wait for the reader (SO_RCVBUF); more are dropped, and counted. Rounded up to a power of two
  // and down to kMaxReceiveQueue.
  size_t receive_queue = kReceiveQueue;
};

enum class UdpOption : uint8_t {
  kTtl,                 // IP_TTL, IPV6_UNICAST_HOPS: 1 to 255
  kTos,                 // IP_TOS, IPV6_TCLASS: 0 to 255
  kMulticastTtl,        // IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS: 0 to 255; 0 is for members on this host alone
  kMulticastLoop,       // IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP: 0 or 1
  kMulticastInterface,  // IP_MULTICAST_IF, IPV6_MULTICAST_IF: an interface's index, or 0
  kBroadcast,           // SO_BROADCAST: 0 or 1
};

// For one datagram, before what the socket says; as with IP_TTL, IP_TOS and IP_PKTINFO in a control message.
struct UdpSendOptions {
  std::optional<uint8_t> ttl;  // 1 to 255; to groups too
  std::optional<uint8_t> tos;
  IpAddress source;        // any: the socket's, or what fits the destination
  uint32_t interface = 0;  // 0: by the destination's scope or route
};

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_OPTIONS_H_
