// TransportError: an ICMP error of either version, for the transport that sent the packet it is about.
#ifndef NETSTACK_IP_TRANSPORT_ERROR_H_
#define NETSTACK_IP_TRANSPORT_ERROR_H_

#include <cstdint>
#include <span>

#include "netstack/ip/ip_output.h"

namespace weir::netstack {

struct TransportError {
  // As many bytes of the transport's header as an error quotes at least (RFC 792): ports, and TCP's sequence number.
  static constexpr size_t kQuoted = 8;

  Interface& in;
  IpAddress source;  // of the packet: one of our addresses
  IpAddress destination;
  std::span<const std::byte> transport;  // its transport header, kQuoted bytes or more
  uint32_t length = 0;                   // of the whole packet
  int error = 0;                         // the errno that a program may get for it
  bool hard = false;                     // trying again will not help (RFC 1122 §4.2.3.9)
  bool too_big = false;                  // `mtu` would fit; 0: the router is too old to say
  uint32_t mtu = 0;

  Endpoint local() const { return {source, runtime::LoadBe16(transport.data())}; }
  Endpoint remote() const { return {destination, runtime::LoadBe16(transport.data() + 2), ScopeOf(destination, in)}; }
};

// The way to the destination is narrower than we thought; only for what a live socket has sent. True when that is news.
inline bool LowerPathMtu(IpContext& context, const TransportError& error, Nanos now_ns) {
  const uint32_t current = PathMtu(context, error.destination);
  return context.path_mtu.Lower(error.destination, error.mtu, error.length, current, now_ns);
}

}  // namespace weir::netstack

#endif  // NETSTACK_IP_TRANSPORT_ERROR_H_
