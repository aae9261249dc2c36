#include "netstack/host/xdp_port.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "netstack/ip/arp.h"
#include "xdp/interface_info.h"

namespace weir {
namespace {

// Where the kernel puts a received frame: XDP_PACKET_HEADROOM behind the start of its chunk.
constexpr uint32_t kXdpHeadroom = 256;
constexpr uint32_t kLinkHeader = netstack::kEthernetHeader + 2 * netstack::kVlanTag;

uint32_t LargestMtu(uint32_t frame_size) { return frame_size - kXdpHeadroom - kLinkHeader; }

struct Attachment {
  std::string interface;
  netstack::VlanTags vlan;
};

// "eth0.100.7" is VLAN 7 in VLAN 100 of eth0, unless there is a device of that name.
absl::StatusOr<Attachment> ParseInterface(const std::string& name) {
  Attachment attachment{name, {}};
  if (name.empty()) return absl::InvalidArgumentError("--stack=xdp needs --interface=NAME: 'ip link' lists them");
  if (if_nametoindex(name.c_str()) != 0) return attachment;
  const std::vector<std::string> parts = absl::StrSplit(name, '.');
  if (parts.size() < 2 || parts.size() > 3 || if_nametoindex(parts[0].c_str()) == 0) return attachment;
  attachment.interface = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) {
    int vid;
    if (!absl::SimpleAtoi(parts[i], &vid) || vid < 1 || vid > 4094) {
      return absl::InvalidArgumentError(absl::StrCat("--interface=", name, ": a VLAN ID is 1 to 4094"));
    }
    attachment.vlan.vid[attachment.vlan.count++] = static_cast<uint16_t>(vid);
  }
  return attachment;
}

absl::StatusOr<netstack::IpOptions> MakeIpOptions(const HostOptions& options, const Attachment& attachment,
                                                  const xdp::InterfaceInfo& interface, uint32_t frame_size) {
  if (!options.address.has_value()) {
    return absl::InvalidArgumentError(
        "--stack=xdp needs --address=A.B.C.D/LEN: sharing the interface's own addresses is not there yet");
  }
  if (!options.address->ip.is_v4()) return absl::InvalidArgumentError("--address: IPv6 is not there yet");
  if (options.gateway.has_value() && !options.address->Contains(*options.gateway)) {
    return absl::InvalidArgumentError(absl::StrCat("--gateway=", options.gateway->ToString(), " is not in ",
                                                   options.address->ToString()));
  }
  const uint32_t largest = LargestMtu(frame_size);
  if (options.mtu > std::min(interface.mtu, largest)) {
    return absl::InvalidArgumentError(absl::StrCat("--mtu=", options.mtu, ": ", interface.name, " has ",
                                                   interface.mtu, " and a frame holds ", largest));
  }
  netstack::IpOptions ip{.address = *options.address, .gateway = options.gateway, .secret = runtime::SipKey::Random()};
  ip.device = {.mac = {interface.mac},
               .mtu = options.mtu != 0 ? options.mtu : std::min(interface.mtu, largest),
               .vlan = attachment.vlan,
               .partial_checksums = interface.partial_checksums};
  return ip;
}

xdp::AttachMode ToXdp(XdpAttach attach) {
  if (attach == XdpAttach::kNative) return xdp::AttachMode::kNative;
  return attach == XdpAttach::kGeneric ? xdp::AttachMode::kGeneric : xdp::AttachMode::kAuto;
}

xdp::ZeroCopy ToXdp(ZeroCopyMode mode) {
  if (mode == ZeroCopyMode::kOn) return xdp::ZeroCopy::kOn;
  return mode == ZeroCopyMode::kOff ? xdp::ZeroCopy::kOff : xdp::ZeroCopy::kAuto;
}

}  // namespace

uint32_t XdpPort::FrameSize(const HostOptions& options) {
  absl::StatusOr<Attachment> attachment = ParseInterface(options.interface);
  if (!attachment.ok()) return options.frame_size;
  absl::StatusOr<xdp::InterfaceInfo> interface = xdp::ReadInterfaceInfo(attachment->interface);
  if (!interface.ok()) return options.frame_size;
  const uint32_t mtu = options.mtu != 0 ? options.mtu : interface->mtu;
  return mtu > LargestMtu(options.frame_size) ? 4096 : options.frame_size;
}

absl::StatusOr<std::unique_ptr<XdpPort>> XdpPort::Create(const HostOptions& options, runtime::FramePool& pool,
                                                         runtime::Scheduler& scheduler) {
  absl::StatusOr<Attachment> attachment = ParseInterface(options.interface);
  if (!attachment.ok()) return attachment.status();
  absl::StatusOr<xdp::InterfaceInfo> interface = xdp::ReadInterfaceInfo(attachment->interface);
  if (!interface.ok()) return interface.status();
  absl::StatusOr<netstack::IpOptions> ip = MakeIpOptions(options, *attachment, *interface, pool.frame_size());
  if (!ip.ok()) return ip.status();

  std::unique_ptr<XdpPort> port(new XdpPort);
  if (!options.pcap.empty()) {
    absl::StatusOr<std::unique_ptr<netstack::PcapWriter>> capture = netstack::PcapWriter::Create(options.pcap);
    if (!capture.ok()) return capture.status();
    port->capture_ = *std::move(capture);
  }
  const auto& vid = attachment->vlan.vid;
  absl::StatusOr<std::unique_ptr<xdp::SteerProgram>> program =
      xdp::SteerProgram::Attach({.interface = attachment->interface,
                                 .attach = ToXdp(options.xdp_attach),
                                 .vlans = {vid.begin(), vid.begin() + attachment->vlan.count}});
  if (!program.ok()) return program.status();
  port->program_ = *std::move(program);
  absl::StatusOr<std::unique_ptr<xdp::XdpLink>> link =
      xdp::XdpLink::Create({.zero_copy = ToXdp(options.zero_copy), .busy_poll = options.poll == PollMode::kBusy},
                           *port->program_, pool);
  if (!link.ok()) return link.status();
  port->link_ = *std::move(link);
  port->inet_ = std::make_unique<netstack::Inet>(*ip, netstack::TcpSettings(), pool, scheduler.timers());
  port->device_ = std::make_unique<netstack::XdpDevice>(*port->link_, *port->inet_, port->capture_.get());
  port->stack_ = std::make_unique<netstack::InetStack>(*port->inet_, scheduler);
  // Only now: from here on the frames are ours, and somebody is there to answer.
  absl::Status added = port->program_->AddAddress4(htonl(ip->address.ip.v4()));
  if (!added.ok()) return added;
  port->inet_->ip.CountFailure(netstack::ArpAnnounce(port->inet_->ip));
  return port;
}

std::string XdpPort::Describe() const {
  return absl::StrCat("xdp on ", link_->interface().name, " (", link_->native() ? "native" : "generic", ", ",
                      link_->zero_copy() ? "zero-copy" : "copy", "), ", inet_->ip.address.ToString());
}

}  // namespace weir
