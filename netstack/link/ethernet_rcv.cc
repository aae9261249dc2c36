#include "netstack/link/ethernet_rcv.h"

#include "netstack/ip/arp.h"
#include "netstack/ip/ip_input.h"
#include "netstack/wire/ethernet.h"

namespace weir::netstack {

DropReason EthernetRcv(Inet& inet, runtime::Frame& frame, Nanos now_ns) {
  EthernetHeader header;
  if (!header.Parse(frame.bytes())) return DropReason::kEthernetTruncated;
  if (header.vlan != inet.ip.device.vlan()) return DropReason::kEthernetVlan;
  if (header.destination != inet.ip.device.mac() && !header.destination.is_multicast()) {
    return DropReason::kEthernetOtherHost;
  }
  frame.Pull(static_cast<uint32_t>(header.size));
  switch (header.ether_type) {
    case kEtherTypeIpv4:
      return IpRcv(inet, frame, now_ns, header.destination.is_multicast());
    case kEtherTypeArp:
      return ArpRcv(inet.ip, frame, now_ns);
    default:
      return DropReason::kEthernetType;
  }
}

void ReceiveBurst(Inet& inet, std::span<runtime::Frame* const> burst, Nanos now_ns) {
  for (size_t i = 0; i < burst.size(); ++i) {
    // The headers of the frame after next, while this one is worked on: they were written by another core.
    if (i + 2 < burst.size()) __builtin_prefetch(burst[i + 2]->data);
    inet.ip.outcomes.Count(EthernetRcv(inet, *burst[i], now_ns));
    runtime::Unref(burst[i]);
  }
}

}  // namespace weir::netstack
