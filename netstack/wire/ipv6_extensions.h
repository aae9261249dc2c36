// IPv6 extension headers (RFC 8200 §4): from the fixed header to the upper layer, or to a Fragment header.
//
// Read first: RFC 8200 §4.1 to §4.6; RFC 8504 §5.3 on what a host may refuse; Linux ip6_parse_tlv, ipv6_rthdr_rcv.
#ifndef NETSTACK_WIRE_IPV6_EXTENSIONS_H_
#define NETSTACK_WIRE_IPV6_EXTENSIONS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "netstack/wire/ipv6.h"

namespace weir::netstack {

// RFC 8200 §4.1 has at most four headers that are walked (hop-by-hop, destination options, routing, destination
// options); twice that is tolerance enough.
inline constexpr int kMaxIpv6ExtensionHeaders = 8;
// Options of one header, padding not counted: max_hbh_opts_number and max_dst_opts_number of Linux (RFC 8504 §5.3).
inline constexpr int kMaxIpv6Options = 8;
// Bytes of padding in a row: what aligns a header to eight bytes (RFC 8504 §5.3).
inline constexpr int kMaxIpv6Padding = 7;

struct Ipv6ExtensionResult {
  enum class Outcome : uint8_t {
    kUpperLayer,        // `protocol` begins at `offset`: also AH, ESP, no-next-header and what nobody knows
    kFragment,          // a Fragment header lies at `offset`, which is also the length of what is not fragmented
    kDrop,              // discard silently
    kParameterProblem,  // discard, and tell the source: `code`, `pointer`, `only_unicast`
    kTruncated,         // a header or an option goes beyond the bytes that are there
  };

  Outcome outcome = Outcome::kDrop;
  uint8_t protocol = kNextHeaderNone;
  uint32_t offset = 0;              // from the beginning of the walked bytes
  uint32_t next_header_offset = 0;  // of the field that names what lies at `offset`; from the packet's beginning
  bool router_alert = false;        // a hop-by-hop Router Alert for MLD was there (RFC 2711 §2.1)
  Ipv6FragmentHeader fragment;      // of kFragment

  uint8_t code = 0;          // of the ICMPv6 Parameter Problem (RFC 4443 §3.4)
  uint32_t pointer = 0;      // from the packet's beginning
  bool only_unicast = true;  // false: sent even when the destination was multicast (RFC 4443 §2.4(e))
};

// Walks `bytes`, which begin with the header that `next_header` names, until the upper layer. To go on in a packet
// that was put together, `skipped` says how many bytes lay between the fixed header and `bytes` in its first fragment,
// Fragment header included; hop-by-hop options and a second Fragment header are then out of place. Never fails on
// any bytes; looks at most at kMaxIpv6ExtensionHeaders headers.
Ipv6ExtensionResult WalkIpv6Extensions(std::span<const std::byte> bytes, uint8_t next_header, size_t skipped = 0);

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_IPV6_EXTENSIONS_H_
