// IpPacket: a received packet above the network layer: the frame, now at its transport header, and what the IP header
// said. It lives on the stack of IpRcv; who keeps the frame takes a reference.
#ifndef NETSTACK_IP_IP_PACKET_H_
#define NETSTACK_IP_IP_PACKET_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/base/ip_address.h"
#include "runtime/buffer/frame.h"

namespace weir::netstack {

struct IpPacket {
  runtime::Frame& frame;
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;
  uint8_t tos = 0;
  uint8_t ttl = 0;
  bool link_multicast = false;  // PACKET_BROADCAST or PACKET_MULTICAST of Linux
  // The IP header, with options, right in front of frame.data.
  std::span<const std::byte> header;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_PACKET_H_
