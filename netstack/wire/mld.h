// MLD messages as a host sends and receives them: version 2 (RFC 3810 §5), and version 1 for older routers
// (RFC 2710 §3). They are ICMPv6 messages from a link-local address, with Hop Limit 1 and a Router Alert option in a
// hop-by-hop header, all of which the caller checks and makes. Checksums are left zero: they need the pseudo-header.
#ifndef NETSTACK_WIRE_MLD_H_
#define NETSTACK_WIRE_MLD_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "netstack/wire/icmp6.h"
#include "netstack/wire/multicast.h"
#include "runtime/base/ip_address.h"

namespace weir::netstack {

struct MldQuery : MulticastQueryFields {
  uint8_t version = 2;
  IpAddress group;  // :: in a general query

  // Takes the whole message, whose checksum the caller has verified. False when it is no query or must be ignored
  // (RFC 3810 §8.1: by its length), or has fewer sources than it says.
  bool Parse(std::span<const std::byte> message);
};

// Reports (kIcmp6MldV1Report) and dones (kIcmp6MldV1Done) of version 1.
struct MldV1Message {
  static constexpr size_t kSize = 24;

  uint8_t type = kIcmp6MldV1Report;
  IpAddress group;

  // Takes the whole message, whose checksum the caller has verified. False when it is neither.
  bool Parse(std::span<const std::byte> message);
  // Writes kSize bytes.
  void Emit(std::byte* p) const;
};

// RFC 3810 §5.2.
class MldV2ReportWriter : public MulticastReportWriter {
 public:
  explicit MldV2ReportWriter(std::span<std::byte> out) : MulticastReportWriter(out, kIcmp6MldV2Report, 16) {}
};

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_MLD_H_
