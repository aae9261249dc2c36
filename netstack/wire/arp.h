// ARP for IPv4 over Ethernet (RFC 826).
#ifndef NETSTACK_WIRE_ARP_H_
#define NETSTACK_WIRE_ARP_H_

#include "netstack/wire/ethernet.h"

namespace weir::netstack {

struct ArpPacket {
  static constexpr size_t kSize = 28;
  static constexpr uint16_t kRequest = 1;
  static constexpr uint16_t kReply = 2;

  uint16_t operation = 0;
  MacAddress sender_mac;
  uint32_t sender_ip = 0;  // host order
  MacAddress target_mac;
  uint32_t target_ip = 0;

  // `p` has kSize bytes. False unless it is Ethernet and IPv4.
  bool Parse(const std::byte* p) {
    using runtime::LoadBe16, runtime::LoadBe32;
    if (LoadBe16(p) != 1 || LoadBe16(p + 2) != kEtherTypeIpv4 || LoadBe16(p + 4) != 0x0604) return false;
    operation = LoadBe16(p + 6);
    sender_mac = MacAddress::Load(p + 8);
    sender_ip = LoadBe32(p + 14);
    target_mac = MacAddress::Load(p + 18);
    target_ip = LoadBe32(p + 24);
    return true;
  }
  void Emit(std::byte* p) const {
    using runtime::StoreBe16, runtime::StoreBe32;
    StoreBe16(p, 1);
    StoreBe16(p + 2, kEtherTypeIpv4);
    StoreBe16(p + 4, 0x0604);
    StoreBe16(p + 6, operation);
    sender_mac.Store(p + 8);
    StoreBe32(p + 14, sender_ip);
    target_mac.Store(p + 18);
    StoreBe32(p + 24, target_ip);
  }
};

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_ARP_H_
