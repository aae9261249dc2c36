// LinkOutput: the last step of every packet: the Ethernet header goes in front, and the frame onto the device's queue.
#ifndef NETSTACK_IP_LINK_OUTPUT_H_
#define NETSTACK_IP_LINK_OUTPUT_H_

#include "netstack/ip/ip_context.h"

namespace weir::netstack {

// Takes over one reference on `frame`, which begins at the network header, and on each of `more`, in which the packet
// goes on (dev_hard_header, dev_queue_xmit).
inline DropReason LinkOutput(Interface& out, runtime::Frame* frame, const MacAddress& destination,
                             uint16_t ether_type, std::span<runtime::Frame* const> more = {}) {
  NetDevice& device = out.device;
  const auto size = static_cast<uint32_t>(EthernetHeaderSize(device.vlan()));
  EmitEthernet(frame->Push(size), destination, device.mac(), device.vlan(), ether_type);
  return more.empty() ? device.Queue(frame) : device.Queue(frame, more);
}

}  // namespace weir::netstack

#endif  // NETSTACK_IP_LINK_OUTPUT_H_
