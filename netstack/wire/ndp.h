// Neighbor Discovery messages over Ethernet (RFC 4861 §4; RFC 2464 §6 for the link-layer address options).
//
// Each Parse takes the whole ICMPv6 message and returns false for one that RFC 4861 §6.1 or §7.1 has discarded
// silently on account of the message alone: its length, its code, an option of length 0 or beyond the end, a target
// that is multicast. The rest is the caller's: checksum, Hop Limit 255, that it is no fragment (RFC 6980 §5), and what
// depends on the addresses of the packet. Each Emit writes a whole message with the checksum left zero and returns its
// size, at most kMaxNdpMessage.
#ifndef NETSTACK_WIRE_NDP_H_
#define NETSTACK_WIRE_NDP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "netstack/wire/ethernet.h"
#include "runtime/base/ip_address.h"

namespace weir::netstack {

// Type, code, checksum, flags, target, and two options of eight bytes.
inline constexpr size_t kMaxNdpMessage = 40;

struct NeighborSolicitation {
  IpAddress target;
  std::optional<MacAddress> source_mac;
  // Six bytes, as the low 48 bits (RFC 3971 §5.3.2); what tells a probe of our own that comes back (RFC 7527 §4).
  std::optional<uint64_t> nonce = {};

  bool Parse(std::span<const std::byte> message);
  size_t Emit(std::byte* p) const;
};

struct NeighborAdvertisement {
  bool router = false;
  bool solicited = false;
  bool override_entry = false;
  IpAddress target;
  std::optional<MacAddress> target_mac;

  bool Parse(std::span<const std::byte> message);
  size_t Emit(std::byte* p) const;
};

struct RouterSolicitation {
  std::optional<MacAddress> source_mac;

  bool Parse(std::span<const std::byte> message);
  size_t Emit(std::byte* p) const;
};

// RFC 4861 §4.6.2.
struct PrefixInformation {
  static constexpr uint32_t kInfinite = 0xffffffff;

  IpPrefix prefix;  // the bits behind its length are zero
  bool on_link = false;
  bool autonomous = false;
  uint32_t valid_lifetime_s = 0;
  uint32_t preferred_lifetime_s = 0;
};

struct RouterAdvertisement {
  // What one message may make us look at; a router that announces more than a few prefixes is renumbering a site.
  // Those behind the eighth are ignored.
  static constexpr size_t kMaxPrefixes = 8;

  uint8_t hop_limit = 0;           // 0: not specified, as are the other zeros
  bool managed = false;            // addresses are had by DHCPv6
  bool other = false;              // other configuration is
  uint16_t router_lifetime_s = 0;  // 0: not a default router
  uint32_t reachable_time_ms = 0;
  uint32_t retrans_timer_ms = 0;
  std::optional<MacAddress> source_mac;
  std::optional<uint32_t> mtu;
  std::array<PrefixInformation, kMaxPrefixes> prefixes;
  size_t prefix_count = 0;

  bool Parse(std::span<const std::byte> message);
};

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_NDP_H_
