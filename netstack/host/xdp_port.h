// XdpPort: one interface of --stack=xdp: the steering program, the AF_XDP link, the tap for what concerns the kernel
// too, and the device that joins them to the protocol stack. Bringing it up changes the interface in nothing but the
// attached program and multicast filters, which go with us.
#ifndef NETSTACK_HOST_XDP_PORT_H_
#define NETSTACK_HOST_XDP_PORT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netstack/host/host_options.h"
#include "netstack/ip/inet.h"
#include "netstack/link/packet_tap.h"
#include "netstack/link/pcap_writer.h"
#include "netstack/link/xdp_device.h"
#include "runtime/buffer/frame_pool.h"
#include "xdp/steer_program.h"
#include "xdp/xdp_link.h"

namespace weir {

class XdpPort {
 public:
  // Where the interface is: a device, and the VLAN of it when the name says one ("eth0.100").
  struct Place {
    std::string name;  // as the user wrote it
    std::string device;
    netstack::VlanTags vlan;
  };
  static absl::StatusOr<Place> Find(const std::string& name);

  // Attaches program and socket; the program passes everything to the kernel until addresses are added. One line says
  // what is wrong with options or interface. `pool` outlives the port.
  static absl::StatusOr<std::unique_ptr<XdpPort>> Create(const HostOptions& options, const Place& place,
                                                         runtime::FramePool& pool);

  // What the stack has to know of the interface.
  netstack::NetDeviceOptions device_options() const { return device_options_; }
  // Joins it to the interface that was made of device_options(). `capture` may be nullptr; both outlive the port.
  void Connect(netstack::Inet& inet, netstack::Interface& interface, netstack::PcapWriter* capture);
  // Frames to `ip` are ours from now on, or are the kernel's again; to a group, the NIC takes them in as well.
  absl::Status Steer(const IpAddress& ip, bool ours);

  // The largest MTU whose packets fit into frames of that size; those of a larger one come in several.
  static uint32_t LargestMtu(uint32_t frame_size);

  netstack::XdpDevice& device() { return *device_; }
  netstack::Interface& interface() { return *interface_; }
  const xdp::XdpLink& link() const { return *link_; }
  netstack::PacketTap& tap() { return *tap_; }
  const xdp::SteerProgram& program() const { return *program_; }
  // "eth0 (native, zero-copy)"
  std::string Describe() const;

 private:
  XdpPort() = default;

  netstack::NetDeviceOptions device_options_;
  std::unique_ptr<xdp::SteerProgram> program_;
  std::unique_ptr<xdp::XdpLink> link_;
  std::unique_ptr<netstack::PacketTap> tap_;
  std::unique_ptr<netstack::XdpDevice> device_;
  netstack::Interface* interface_ = nullptr;
};

}  // namespace weir

#endif  // NETSTACK_HOST_XDP_PORT_H_
