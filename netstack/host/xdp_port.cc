#include "netstack/host/xdp_port.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "netstack/ip/ip_output.h"
#include "xdp/interface_info.h"

namespace weir {
namespace {

// Where the kernel puts a received frame: XDP_PACKET_HEADROOM behind the start of its chunk.
constexpr uint32_t kXdpHeadroom = 256;
constexpr uint32_t kLinkHeader = netstack::kEthernetHeader + 2 * netstack::kVlanTag;

xdp::AttachMode ToXdp(XdpAttach attach) {
  if (attach == XdpAttach::kNative) return xdp::AttachMode::kNative;
  return attach == XdpAttach::kGeneric ? xdp::AttachMode::kGeneric : xdp::AttachMode::kAuto;
}

xdp::ZeroCopy ToXdp(ZeroCopyMode mode) {
  if (mode == ZeroCopyMode::kOn) return xdp::ZeroCopy::kOn;
  return mode == ZeroCopyMode::kOff ? xdp::ZeroCopy::kOff : xdp::ZeroCopy::kAuto;
}

}  // namespace

uint32_t XdpPort::LargestMtu(uint32_t frame_size) { return frame_size - kXdpHeadroom - kLinkHeader; }

// "eth0.100.7" is VLAN 7 in VLAN 100 of eth0, unless there is a device of that name.
absl::StatusOr<XdpPort::Place> XdpPort::Find(const std::string& name) {
  Place place{.name = name, .device = name, .vlan = {}};
  if (if_nametoindex(name.c_str()) != 0) return place;
  const std::vector<std::string> parts = absl::StrSplit(name, '.');
  if (parts.size() < 2 || parts.size() > 3 || if_nametoindex(parts[0].c_str()) == 0) return place;
  place.device = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) {
    int vid;
    if (!absl::SimpleAtoi(parts[i], &vid) || vid < 1 || vid > 4094) {
      return absl::InvalidArgumentError(absl::StrCat("--interface=", name, ": a VLAN ID is 1 to 4094"));
    }
    place.vlan.vid[place.vlan.count++] = static_cast<uint16_t>(vid);
  }
  return place;
}

absl::StatusOr<std::unique_ptr<XdpPort>> XdpPort::Create(const HostOptions& options, const Place& place,
                                                         runtime::FramePool& pool) {
  absl::StatusOr<xdp::InterfaceInfo> interface = xdp::ReadInterfaceInfo(place.device);
  if (!interface.ok()) return interface.status();
  const uint32_t largest = std::min(interface->mtu, netstack::kLargestMtu);
  if (options.mtu > largest) {
    return absl::InvalidArgumentError(absl::StrCat("--mtu=", options.mtu, ": ", interface->name, " has ",
                                                   interface->mtu, ", and ", netstack::kLargestMtu, " is the most"));
  }
  const uint32_t mtu = options.mtu != 0 ? options.mtu : largest;
  std::unique_ptr<XdpPort> port(new XdpPort);
  port->device_options_ = {.name = place.name,
                           .index = static_cast<uint32_t>(interface->index),
                           .mac = {interface->mac},
                           .mtu = mtu,
                           .vlan = place.vlan,
                           .partial_checksums = interface->partial_checksums};
  const auto& vid = place.vlan.vid;
  absl::StatusOr<std::unique_ptr<xdp::SteerProgram>> program =
      xdp::SteerProgram::Attach({.interface = place.device,
                                 .attach = ToXdp(options.xdp_attach),
                                 .vlans = {vid.begin(), vid.begin() + place.vlan.count},
                                 .transit = options.ip_forward});
  if (!program.ok()) return program.status();
  port->program_ = *std::move(program);
  absl::StatusOr<std::unique_ptr<xdp::XdpLink>> link =
      xdp::XdpLink::Create({.zero_copy = ToXdp(options.zero_copy),
                            .busy_poll = options.poll == PollMode::kBusy,
                            .multi_buffer = mtu > LargestMtu(pool.frame_size())},
                           *port->program_, pool);
  if (!link.ok()) return link.status();
  port->link_ = *std::move(link);
  absl::StatusOr<std::unique_ptr<netstack::PacketTap>> tap = netstack::PacketTap::Open(port->device_options_);
  if (!tap.ok()) return tap.status();
  port->tap_ = *std::move(tap);
  return port;
}

void XdpPort::Connect(netstack::Inet& inet, netstack::Interface& interface, netstack::PcapWriter* capture) {
  interface_ = &interface;
  device_ = std::make_unique<netstack::XdpDevice>(*link_, *tap_, inet, interface, capture);
}

absl::Status XdpPort::Steer(const IpAddress& ip, bool ours) {
  if (ip.is_multicast()) {
    const netstack::MacAddress mac = netstack::MulticastMac(ip);
    const absl::Status filtered = ours ? tap_->Join(mac) : tap_->Leave(mac);
    if (!filtered.ok()) return filtered;
  }
  if (ip.is_v4()) {
    return ours ? program_->AddAddress4(htonl(ip.v4())) : program_->RemoveAddress4(htonl(ip.v4()));
  }
  return ours ? program_->AddAddress6(ip.bytes()) : program_->RemoveAddress6(ip.bytes());
}

std::string XdpPort::Describe() const {
  return absl::StrCat(device_options_.name, " (", link_->native() ? "native" : "generic", ", ",
                      link_->zero_copy() ? "zero-copy" : "copy", ")");
}

}  // namespace weir
