// XdpDevice: joins a shard's AF_XDP links on one interface to its stack: bursts from the Rx rings and the tap go in, the
// device's queue goes out.
#ifndef NETSTACK_LINK_XDP_DEVICE_H_
#define NETSTACK_LINK_XDP_DEVICE_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "netstack/ip/inet.h"
#include "netstack/link/hand_over.h"
#include "netstack/link/packet_tap.h"
#include "netstack/link/pcap_writer.h"
#include "xdp/xdp_link.h"

namespace weir::netstack {

class XdpDevice {
 public:
  using Links = std::vector<std::unique_ptr<xdp::XdpLink>>;
  // All outlive the device. `tap` is nullptr where another shard has it, `capture` may be. A shard without links has `peers`,
  // of which `through` sends for it.
  XdpDevice(const Links& links, PacketTap* tap, Inet& inet, Interface& interface, PcapWriter* capture, HandOver* peers,
            int through)
      : links_(links), tap_(tap), inet_(inet), interface_(interface), capture_(capture), peers_(peers), through_(through) {}

  // One burst of each, if there is one, through the stack; returns the frames.
  size_t Receive(Nanos now_ns);

  // Puts everything queued on the Tx ring of the first link and rings the doorbell once. What does not fit stays queued.
  void Transmit();

  bool RxReady() const {
    for (const std::unique_ptr<xdp::XdpLink>& link : links_) {
      if (link->RxReady()) return true;
    }
    return tap_ != nullptr && tap_->Readable();
  }

 private:
  size_t ReceiveFrom(xdp::XdpLink& link, Nanos now_ns);

  const Links& links_;
  PacketTap* const tap_;
  Inet& inet_;
  Interface& interface_;
  PcapWriter* const capture_;
  HandOver* const peers_;
  const int through_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_LINK_XDP_DEVICE_H_
