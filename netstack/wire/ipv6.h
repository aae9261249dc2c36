// The IPv6 header and the Fragment header (RFC 8200 §3, §4.5).
#ifndef NETSTACK_WIRE_IPV6_H_
#define NETSTACK_WIRE_IPV6_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "runtime/base/byte_order.h"
#include "runtime/base/ip_address.h"

namespace weir::netstack {

// Next Header values: the protocol numbers of IPv4 (kProtocolTcp, kProtocolUdp) and these.
inline constexpr uint8_t kNextHeaderHopByHop = 0;
inline constexpr uint8_t kNextHeaderRouting = 43;
inline constexpr uint8_t kNextHeaderFragment = 44;
inline constexpr uint8_t kNextHeaderEsp = 50;
inline constexpr uint8_t kNextHeaderAh = 51;
inline constexpr uint8_t kProtocolIcmp6 = 58;
inline constexpr uint8_t kNextHeaderNone = 59;
inline constexpr uint8_t kNextHeaderDestination = 60;

// An address of 16 bytes as it lies in a packet. One that is IPv4-mapped (::ffff:0:0/96) reads as is_v4(), which no
// packet may carry as source or destination (RFC 4942 §2.2): check for it where addresses of the peer are taken.
inline IpAddress LoadIpv6Address(const std::byte* p) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), p, bytes.size());
  return IpAddress::V6(bytes);
}
inline void StoreIpv6Address(std::byte* p, const IpAddress& address) {
  std::memcpy(p, address.bytes().data(), address.bytes().size());
}

struct Ipv6Header {
  static constexpr size_t kSize = 40;
  static constexpr size_t kNextHeaderOffset = 6;
  static constexpr size_t kSourceOffset = 8;  // the destination follows

  uint8_t version = 6;
  uint8_t traffic_class = 0;
  uint32_t flow_label = 0;      // 20 bits
  uint16_t payload_length = 0;  // bytes behind this header, extension headers included
  uint8_t next_header = kNextHeaderNone;
  uint8_t hop_limit = 64;
  IpAddress source;
  IpAddress destination;

  // Reads kSize bytes; judges nothing.
  void Parse(const std::byte* p) {
    using runtime::LoadBe16, runtime::LoadBe32, runtime::LoadU8;
    const uint32_t first = LoadBe32(p);
    version = static_cast<uint8_t>(first >> 28);
    traffic_class = static_cast<uint8_t>(first >> 20);
    flow_label = first & 0xfffff;
    payload_length = LoadBe16(p + 4);
    next_header = LoadU8(p + kNextHeaderOffset);
    hop_limit = LoadU8(p + 7);
    source = LoadIpv6Address(p + 8);
    destination = LoadIpv6Address(p + 24);
  }

  // Writes kSize bytes.
  void Emit(std::byte* p) const {
    using runtime::StoreBe16, runtime::StoreBe32;
    StoreBe32(p, uint32_t{6} << 28 | uint32_t{traffic_class} << 20 | flow_label);
    StoreBe16(p + 4, payload_length);
    StoreBe16(p + 6, static_cast<uint16_t>(next_header << 8 | hop_limit));
    StoreIpv6Address(p + 8, source);
    StoreIpv6Address(p + 24, destination);
  }
};

struct Ipv6FragmentHeader {
  static constexpr size_t kSize = 8;

  uint8_t next_header = kNextHeaderNone;
  uint16_t offset = 0;  // bytes, a multiple of eight
  bool more = false;
  uint32_t id = 0;

  // Reads kSize bytes; judges nothing.
  void Parse(const std::byte* p) {
    next_header = runtime::LoadU8(p);
    const uint16_t field = runtime::LoadBe16(p + 2);
    offset = field & 0xfff8;  // in units of eight bytes, above three bits of flags
    more = (field & 1) != 0;
    id = runtime::LoadBe32(p + 4);
  }

  // Writes kSize bytes.
  void Emit(std::byte* p) const {
    runtime::StoreBe16(p, static_cast<uint16_t>(next_header << 8));
    runtime::StoreBe16(p + 2, static_cast<uint16_t>(offset | (more ? 1 : 0)));
    runtime::StoreBe32(p + 4, id);
  }
};

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_IPV6_H_
