// XdpDevice: joins an AF_XDP link to the stack: bursts from the Rx ring and the tap go in, the device's queue goes out.
#ifndef NETSTACK_LINK_XDP_DEVICE_H_
#define NETSTACK_LINK_XDP_DEVICE_H_

#include <cstddef>

#include "netstack/ip/inet.h"
#include "netstack/link/packet_tap.h"
#include "netstack/link/pcap_writer.h"
#include "xdp/xdp_link.h"

namespace weir::netstack {

class XdpDevice {
 public:
  // All outlive the device. `capture` may be nullptr.
  XdpDevice(xdp::XdpLink& link, PacketTap& tap, Inet& inet, Interface& interface, PcapWriter* capture)
      : link_(link), tap_(tap), inet_(inet), interface_(interface), capture_(capture) {}

  // One burst of each, if there is one, through the stack; returns the frames.
  size_t Receive(Nanos now_ns);

  // Puts everything queued on the Tx ring and rings the doorbell once. What does not fit stays queued.
  void Transmit();

  bool RxReady() const { return link_.RxReady() || tap_.Readable(); }

 private:
  xdp::XdpLink& link_;
  PacketTap& tap_;
  Inet& inet_;
  Interface& interface_;
  PcapWriter* capture_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_LINK_XDP_DEVICE_H_
