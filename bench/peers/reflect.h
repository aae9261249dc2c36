// What a program on raw frames answers: UDP by sending the frame back from where it lies with MAC addresses, IP
// addresses and ports swapped, which leaves every checksum right (none is verified), and ARP for its own address.
#ifndef BENCH_PEERS_REFLECT_H_
#define BENCH_PEERS_REFLECT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "netstack/wire/arp.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/udp.h"

namespace weir::bench {

inline constexpr size_t kIpAt = netstack::kEthernetHeader;
inline constexpr size_t kUdpAt = kIpAt + netstack::Ipv4Header::kMinSize;
inline constexpr size_t kPayloadAt = kUdpAt + netstack::UdpHeader::kSize;

struct Self {
  netstack::MacAddress mac;
  uint32_t ip;  // host order
};

template <size_t kSize>
void Swap(std::byte* a, std::byte* b) {
  std::byte saved[kSize];
  std::memcpy(saved, a, kSize);
  std::memcpy(a, b, kSize);
  std::memcpy(b, saved, kSize);
}

inline bool IsArp(const std::byte* frame, size_t length) {
  return length >= kIpAt + netstack::ArpPacket::kSize && runtime::LoadBe16(frame + 12) == netstack::kEtherTypeArp;
}

// Turns a request for our address into the answer to be sent; false when it is none.
inline bool AnswerArp(const Self& self, std::byte* frame) {
  netstack::ArpPacket arp;
  if (!arp.Parse(frame + kIpAt) || arp.operation != arp.kRequest || arp.target_ip != self.ip) return false;
  const netstack::ArpPacket answer{arp.kReply, self.mac, self.ip, arp.sender_mac, arp.sender_ip};
  netstack::EmitEthernet(frame, arp.sender_mac, self.mac, {}, netstack::kEtherTypeArp);
  answer.Emit(frame + kIpAt);
  return true;
}

// UDP over IPv4 without options, not a fragment.
inline bool IsUdp(const std::byte* frame, size_t length) {
  return length >= kPayloadAt && runtime::LoadBe16(frame + 12) == netstack::kEtherTypeIpv4 &&
         runtime::LoadU8(frame + kIpAt) == 0x45 && runtime::LoadU8(frame + kIpAt + 9) == netstack::kProtocolUdp &&
         (runtime::LoadBe16(frame + kIpAt + 6) & ~netstack::Ipv4Header::kDontFragment) == 0;
}

inline void TurnRound(std::byte* frame) {
  Swap<6>(frame, frame + 6);
  Swap<4>(frame + kIpAt + 12, frame + kIpAt + 16);
  Swap<2>(frame + kUdpAt, frame + kUdpAt + 2);
}

}  // namespace weir::bench

#endif  // BENCH_PEERS_REFLECT_H_
