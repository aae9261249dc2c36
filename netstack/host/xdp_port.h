// XdpPort: a shard's part of one interface: an AF_XDP link for each of the queues that are the shard's, and the device that
// joins them to its protocol stack.
#ifndef NETSTACK_HOST_XDP_PORT_H_
#define NETSTACK_HOST_XDP_PORT_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "netstack/host/host_options.h"
#include "netstack/host/xdp_interface.h"
#include "netstack/ip/inet.h"
#include "netstack/link/hand_over.h"
#include "netstack/link/pcap_writer.h"
#include "netstack/link/xdp_device.h"
#include "runtime/buffer/frame_pool.h"
#include "xdp/xdp_link.h"

namespace weir {

class XdpPort {
 public:
  // `shared` and `pool` outlive the port.
  static absl::StatusOr<std::unique_ptr<XdpPort>> Create(const HostOptions& options, XdpInterface& shared, int shard,
                                                         runtime::FramePool& pool);

  // Joins it to the interface that was made of device_options(). `capture` and `peers` may be nullptr; all outlive the port.
  void Connect(netstack::Inet& inet, netstack::Interface& interface, netstack::PcapWriter* capture,
               netstack::HandOver* peers);

  netstack::XdpDevice& device() { return *device_; }
  netstack::Interface& interface() { return *interface_; }
  XdpInterface& shared() { return shared_; }
  const std::vector<std::unique_ptr<xdp::XdpLink>>& links() const { return links_; }
  // Of all links together.
  xdp::XdpLink::Counters LinkCounters() const;

 private:
  explicit XdpPort(XdpInterface& shared) : shared_(shared) {}

  XdpInterface& shared_;
  int shard_ = 0;
  std::vector<std::unique_ptr<xdp::XdpLink>> links_;
  std::unique_ptr<netstack::XdpDevice> device_;
  netstack::Interface* interface_ = nullptr;
};

}  // namespace weir

#endif  // NETSTACK_HOST_XDP_PORT_H_
