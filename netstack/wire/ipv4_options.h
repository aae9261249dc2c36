// Options of the IPv4 header (RFC 791 §3.1; RFC 2113 for the router alert): where they are, whether they are well-formed,
// and what hosts and routers write into two of them. Linux: ip_options_compile.
#ifndef NETSTACK_WIRE_IPV4_OPTIONS_H_
#define NETSTACK_WIRE_IPV4_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "runtime/base/time.h"

namespace weir::netstack {

struct Ipv4Options {
  // Offsets in the IP header; 0: there is none.
  uint8_t record_route = 0;
  uint8_t timestamp = 0;
  bool source_route = false;  // strict or loose
  bool router_alert = false;
  // Malformed: what the pointer of a Parameter Problem says. What lies behind was not looked at.
  std::optional<uint8_t> problem;

  // `header`: the whole header, of at least 20 bytes.
  static Ipv4Options Parse(std::span<const std::byte> header);
};

// What a host that passes the packet on, or answers it, writes into the options of `header`, which Parse() found to be
// well-formed: its address `ip` (host order) into a record route, `time` into a timestamp; without room there, the
// timestamp counts it if `count_overflow`. Of prespecified addresses only `ip` gets a time. The checksum is the caller's.
void RecordPassage(std::span<std::byte> header, const Ipv4Options& options, uint32_t ip, uint32_t time,
                   bool count_overflow = true);

// RFC 791 §3.1, RFC 792: a time that is not milliseconds since midnight UT has the highest bit set. The stack has no such
// clock, only one whose differences mean something.
inline uint32_t NonstandardTime(Nanos now_ns) { return 0x80000000 | static_cast<uint32_t>(now_ns / kMillisecond); }

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_IPV4_OPTIONS_H_
