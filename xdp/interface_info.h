// What a network interface is: the facts that steering, sockets and the stack above need, read once.
#ifndef XDP_INTERFACE_INFO_H_
#define XDP_INTERFACE_INFO_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace weir::xdp {

struct InterfaceInfo {
  std::string name;
  int index = 0;                   // ifindex, in the namespace of the thread that asked
  std::array<uint8_t, 6> mac = {};  // zero on devices without Ethernet addresses
  uint32_t mtu = 0;                // bytes of layer 3, without Ethernet header and tags
  uint32_t rx_queues = 1;          // AF_XDP sockets bind to 0..rx_queues-1
  std::string driver;              // "veth", "ixgbe"; empty when the device does not say

  // The device hands over frames whose checksum is only the pseudo-header's sum, because their sender is this
  // machine or its hypervisor and left the rest to an offload (veth, tun, tap, virtio_net).
  bool partial_checksums = false;
};

// Needs no privileges. Errors are one line that says what to do: kNotFound when there is no such interface,
// kFailedPrecondition when it is down.
absl::StatusOr<InterfaceInfo> ReadInterfaceInfo(const std::string& name);

}  // namespace weir::xdp

#endif  // XDP_INTERFACE_INFO_H_
