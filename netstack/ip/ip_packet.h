// IpPacket: a received packet above the network layer: the frame, now at its transport header, and what the IP header
// said. It lives on the stack of IpRcv; who keeps the frame takes a reference.
#ifndef NETSTACK_IP_IP_PACKET_H_
#define NETSTACK_IP_IP_PACKET_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netstack/ip/tx_frame.h"
#include "runtime/base/ip_address.h"
#include "runtime/buffer/frame.h"

namespace weir::netstack {

class Interface;

// Whom the destination address names (RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST of Linux).
enum class IpDestination : uint8_t { kLocal, kBroadcast, kMulticast, kOther };

struct IpPacket {
  runtime::Frame& frame;
  Interface& in;
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;
  uint8_t tos = 0;  // or the traffic class of IPv6
  uint8_t ttl = 0;  // or its hop limit
  uint32_t next_header_offset = 0;  // IPv6: of the field that names `protocol`, from the packet's beginning
  bool router_alert = false;
  bool link_multicast = false;  // PACKET_BROADCAST or PACKET_MULTICAST of Linux
  IpDestination to = IpDestination::kOther;
  // The IP header, with options and extension headers, right in front of frame.data (of the first fragment).
  std::span<const std::byte> header;
  // Of a packet in several frames, reassembled or larger than one on the link: those behind the first, each at its piece
  // of the payload, which begins at a multiple of eight bytes from the transport header. They are the caller's.
  std::span<runtime::Frame* const> more;
  bool reassembled = false;

  bool is_v4() const { return source.is_v4(); }
  // Of transport header and payload.
  uint32_t length() const { return frame.len + BytesIn(more); }
  // The same packet with other frames.
  IpPacket With(runtime::Frame& first, std::span<runtime::Frame* const> rest) const {
    return {.frame = first,
            .in = in,
            .source = source,
            .destination = destination,
            .protocol = protocol,
            .tos = tos,
            .ttl = ttl,
            .next_header_offset = next_header_offset,
            .router_alert = router_alert,
            .link_multicast = link_multicast,
            .to = to,
            .header = header,
            .more = rest};
  }
  // Cuts transport header and payload to `n` bytes, if they are longer.
  void Trim(uint32_t n) {
    frame.Trim(n);
    n -= frame.len;
    for (runtime::Frame* piece : more) {
      piece->Trim(n);
      n -= piece->len;
    }
  }
};

// Cuts a packet in several frames to the `n` bytes that its IP header says, and returns the frames behind the first that
// have any of them; nothing, and the packet as it was, when it is shorter.
std::optional<std::span<runtime::Frame* const>> TrimFrames(runtime::Frame& frame, std::span<runtime::Frame* const> more,
                                                           uint32_t n);

// Lets the pieces of a packet in several frames, of which the first is at its payload, begin at multiples of eight bytes:
// up to seven go from the end of each to the front of the next. The kernel leaves headroom in each.
void AlignFrames(runtime::Frame& frame, std::span<runtime::Frame* const> more);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_PACKET_H_
