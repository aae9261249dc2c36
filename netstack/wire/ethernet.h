// Ethernet II headers and 802.1Q tags (IEEE 802.3, 802.1Q).
#ifndef NETSTACK_WIRE_ETHERNET_H_
#define NETSTACK_WIRE_ETHERNET_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "runtime/base/byte_order.h"

namespace weir::netstack {

struct MacAddress {
  std::array<uint8_t, 6> bytes{};

  static MacAddress Load(const std::byte* p) {
    MacAddress mac;
    std::memcpy(mac.bytes.data(), p, 6);
    return mac;
  }
  void Store(std::byte* p) const { std::memcpy(p, bytes.data(), 6); }
  bool is_multicast() const { return (bytes[0] & 1) != 0; }  // broadcast included
  // For comparing: its bytes, as they lie in memory.
  uint64_t number() const {
    uint32_t front;
    uint16_t back;
    std::memcpy(&front, bytes.data(), sizeof front);
    std::memcpy(&back, bytes.data() + sizeof front, sizeof back);
    return uint64_t{back} << 32 | front;
  }
  bool is_zero() const { return *this == MacAddress(); }
  friend bool operator==(const MacAddress& a, const MacAddress& b) { return a.number() == b.number(); }
};

inline constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeArp = 0x0806;
inline constexpr uint16_t kEtherTypeVlan = 0x8100;  // 802.1Q C-tag
inline constexpr uint16_t kEtherTypeQinQ = 0x88a8;  // 802.1ad S-tag
inline constexpr uint16_t kEtherTypeIpv6 = 0x86dd;

inline constexpr size_t kEthernetHeader = 14;
inline constexpr size_t kVlanTag = 4;

// The VLAN that an interface is on: no tag, one, or two (outer first).
struct VlanTags {
  int count = 0;
  std::array<uint16_t, 2> vid{};
  friend bool operator==(const VlanTags& a, const VlanTags& b) {
    return a.count == b.count && (a.count == 0 || a.vid == b.vid);
  }
};

struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  VlanTags vlan;  // priority tags (VID 0) are left out: they name no VLAN
  uint16_t ether_type = 0;
  size_t size = 0;  // with the tags

  // False when `frame` is too short for what it announces. At most two tags are read; a third is the ether_type.
  bool Parse(std::span<const std::byte> frame) {
    if (frame.size() < kEthernetHeader) return false;
    destination = MacAddress::Load(frame.data());
    source = MacAddress::Load(frame.data() + 6);
    ether_type = runtime::LoadBe16(frame.data() + 12);
    size = kEthernetHeader;
    for (int tag = 0; tag < 2; ++tag) {
      if (ether_type != kEtherTypeVlan && ether_type != kEtherTypeQinQ) [[likely]] break;
      if (frame.size() < size + kVlanTag) return false;
      const uint16_t vid = runtime::LoadBe16(frame.data() + size) & 0x0fff;
      if (vid != 0) vlan.vid[vlan.count++] = vid;
      ether_type = runtime::LoadBe16(frame.data() + size + 2);
      size += kVlanTag;
    }
    return true;
  }
};

// Whether the frame at `p`, which has an Ethernet header, is for the address with that number, and has that EtherType
// where no tag is.
inline bool IsUntaggedFor(const std::byte* p, uint64_t mac, uint16_t ether_type) {
  uint64_t front;  // and two bytes of the source
  std::memcpy(&front, p, sizeof front);
  return (front ^ mac) << 16 == 0 && runtime::LoadBe16(p + 12) == ether_type;
}

inline size_t EthernetHeaderSize(const VlanTags& vlan) { return kEthernetHeader + vlan.count * kVlanTag; }

// Writes EthernetHeaderSize(vlan) bytes.
inline void EmitEthernet(std::byte* p, const MacAddress& destination, const MacAddress& source, const VlanTags& vlan,
                         uint16_t ether_type) {
  destination.Store(p);
  source.Store(p + 6);
  p += 12;
  for (int tag = 0; tag < vlan.count; ++tag, p += kVlanTag) {
    runtime::StoreBe16(p, vlan.count == 2 && tag == 0 ? kEtherTypeQinQ : kEtherTypeVlan);
    runtime::StoreBe16(p + 2, vlan.vid[tag]);
  }
  runtime::StoreBe16(p, ether_type);
}

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_ETHERNET_H_
