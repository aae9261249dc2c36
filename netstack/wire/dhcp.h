// DHCPv4 messages (RFC 2131 §2) and their options (RFC 2132), as a client over Ethernet reads and writes them.
#ifndef NETSTACK_WIRE_DHCP_H_
#define NETSTACK_WIRE_DHCP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/strings/string_view.h"
#include "netstack/wire/ethernet.h"

namespace weir::netstack {

inline constexpr uint16_t kDhcpServerPort = 67;
inline constexpr uint16_t kDhcpClientPort = 68;

// RFC 2132 §9.6.
enum class DhcpType : uint8_t {
  kNone = 0,  // the option is missing: BOOTP
  kDiscover = 1,
  kOffer = 2,
  kRequest = 3,
  kDecline = 4,
  kAck = 5,
  kNak = 6,
  kRelease = 7,
};

inline constexpr uint32_t kDhcpInfiniteLease = 0xffffffff;  // seconds; RFC 2131 §3.3

// A classless static route (RFC 3442); addresses in host order.
struct DhcpRoute {
  uint32_t destination = 0;
  uint8_t length = 0;
  uint32_t router = 0;  // 0: the destination is on the link
};

// Addresses of IPv4 in host order.
struct DhcpReply {
  // As many as a resolver asks (MAXNS of glibc).
  static constexpr size_t kMaxDnsServers = 3;
  // Sites have a handful; a full table of them would be the work of a router.
  static constexpr size_t kMaxRoutes = 32;

  uint32_t xid = 0;
  uint32_t yiaddr = 0;
  uint32_t siaddr = 0;
  MacAddress chaddr;

  DhcpType type = DhcpType::kNone;
  std::optional<uint32_t> server_id;
  std::optional<uint32_t> lease_time_s;
  std::optional<uint32_t> renewal_time_s;    // T1
  std::optional<uint32_t> rebinding_time_s;  // T2
  std::optional<uint32_t> subnet_mask;
  std::optional<uint32_t> router;  // the first
  std::optional<uint32_t> broadcast;
  std::optional<uint16_t> mtu;
  std::array<uint32_t, kMaxDnsServers> dns_servers{};
  size_t dns_server_count = 0;
  std::array<DhcpRoute, kMaxRoutes> routes{};
  size_t route_count = 0;        // 0: without the option, or it says nonsense
  bool routes_left_out = false;  // there were more
  absl::string_view message;  // why, in a NAK: the peer's bytes, any of them; a view of the payload

  // Takes the payload of a UDP datagram. False when it is no BOOTREPLY for Ethernet with the magic cookie, or an option
  // goes beyond its field. Options are also read from `file` and `sname` when the overload option says so (RFC 2131
  // §4.1). The first of each kind counts; one of a wrong length does not. Classless routes may come in pieces, which are
  // put together (RFC 3396 §7, RFC 3442); none of the others that are read is long.
  bool Parse(std::span<const std::byte> payload);
};

// What a client sends. Which of these a message of `type` carries is the rule of RFC 2131 §4.4.1, table 5, and not the
// caller's choice: what has no place in it is left out.
struct DhcpRequest {
  // RFC 1035 §2.3.4: a label; longer names are cut.
  static constexpr size_t kMaxHostname = 63;
  // Behind the cookie: message type, client identifier, requested address, server identifier, maximum message size,
  // parameter request list, host name, end.
  static constexpr size_t kMaxOptions = 3 + 9 + 6 + 6 + 4 + (2 + 9) + (2 + kMaxHostname) + 1;
  static constexpr size_t kMaxSize = 240 + kMaxOptions;

  DhcpType type = DhcpType::kDiscover;
  uint32_t xid = 0;
  uint16_t secs = 0;
  bool broadcast = false;  // the answer is to be broadcast: we cannot take unicast without an address
  uint32_t ciaddr = 0;     // our address where we already have it, else 0
  MacAddress chaddr;
  uint32_t requested_ip = 0;  // 0: not sent
  uint32_t server_id = 0;     // 0: not sent
  uint16_t max_message_size = 0;
  absl::string_view hostname;  // empty: not sent

  // Writes at most kMaxSize bytes, the payload of a UDP datagram, and returns how many.
  size_t Emit(std::byte* p) const;
};

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_DHCP_H_
