#include "netstack/host/xdp_interface.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "netstack/ip/ip_output.h"
#include "netstack/ip/tx_frame.h"
#include "xdp/interface_info.h"
#include "xdp/xdp_link.h"

namespace weir {
namespace {

// Where the kernel puts a received frame: XDP_PACKET_HEADROOM behind the start of its chunk.
constexpr uint32_t kXdpHeadroom = 256;
constexpr uint32_t kLinkHeader = netstack::kEthernetHeader + 2 * netstack::kVlanTag;

xdp::AttachMode ToXdp(XdpAttach attach) {
  if (attach == XdpAttach::kNative) return xdp::AttachMode::kNative;
  return attach == XdpAttach::kGeneric ? xdp::AttachMode::kGeneric : xdp::AttachMode::kAuto;
}

}  // namespace

// What XdpLink::kRxSize is derived from, what a core can take in, is for all queues of a shard together; but each gets the
// frames of some bursts.
QueueShare ShareOfQueues(uint32_t queues, int shards) {
  constexpr uint32_t kLeast = 8 * xdp::XdpLink::kBurst;
  const uint32_t links = (queues + static_cast<uint32_t>(shards) - 1) / static_cast<uint32_t>(shards);
  return {links, std::max(kLeast, xdp::XdpLink::kRxSize / std::bit_ceil(links))};
}

uint32_t XdpInterface::LargestMtu(uint32_t frame_size) { return frame_size - kXdpHeadroom - kLinkHeader; }

// "eth0.100.7" is VLAN 7 in VLAN 100 of eth0, unless there is a device of that name.
absl::StatusOr<XdpInterface::Place> XdpInterface::Find(const std::string& name) {
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

absl::StatusOr<std::unique_ptr<XdpInterface>> XdpInterface::Create(const HostOptions& options, const Place& place) {
  absl::StatusOr<xdp::InterfaceInfo> interface = xdp::ReadInterfaceInfo(place.device);
  if (!interface.ok()) return interface.status();
  const uint32_t largest = std::min(interface->mtu, netstack::kLargestMtu);
  if (options.mtu > largest) {
    return absl::InvalidArgumentError(absl::StrCat("--mtu=", options.mtu, ": ", interface->name, " has ",
                                                   interface->mtu, ", and ", netstack::kLargestMtu, " is the most"));
  }
  std::unique_ptr<XdpInterface> self(new XdpInterface);
  self->device_options_ = {.name = place.name,
                           .index = static_cast<uint32_t>(interface->index),
                           .mac = {interface->mac},
                           .mtu = options.mtu != 0 ? options.mtu : largest,
                           .vlan = place.vlan,
                           .partial_checksums = interface->partial_checksums};
  const auto& vid = place.vlan.vid;
  absl::StatusOr<std::unique_ptr<xdp::SteerProgram>> program =
      xdp::SteerProgram::Attach({.interface = place.device,
                                 .attach = ToXdp(options.xdp_attach),
                                 .vlans = {vid.begin(), vid.begin() + place.vlan.count},
                                 .transit = options.ip_forward});
  if (!program.ok()) return program.status();
  self->program_ = *std::move(program);
  absl::StatusOr<std::unique_ptr<netstack::PacketTap>> tap = netstack::PacketTap::Open(self->device_options_);
  if (!tap.ok()) return tap.status();
  self->tap_ = *std::move(tap);
  return self;
}

std::string XdpInterface::Describe() const {
  const char* attached = program_->mode() == xdp::AttachMode::kNative ? "native" : "generic";
  std::string text = absl::StrCat(device_options_.name, " (", attached, zero_copy_ ? ", zero-copy" : ", copy");
  if (queues() > 1) absl::StrAppend(&text, ", ", queues(), " queues");
  return text + ")";
}

absl::Status XdpInterface::Steer(int shard, const IpAddress& ip, bool ours) {
  const netstack::ShardSet bit = netstack::ShardSet{1} << shard;
  std::lock_guard lock(mutex_);
  netstack::ShardSet& wanted = wanted_[ip];
  const bool changes = ours ? wanted == 0 : wanted == bit;
  wanted = ours ? wanted | bit : wanted & ~bit;
  if (wanted == 0) wanted_.erase(ip);
  return changes ? SteerAll(ip, ours) : absl::OkStatus();
}

bool XdpInterface::WantedElsewhere(int shard, const IpAddress& ip) {
  std::lock_guard lock(mutex_);
  const auto found = wanted_.find(ip);
  return found != wanted_.end() && (found->second & ~(netstack::ShardSet{1} << shard)) != 0;
}

absl::Status XdpInterface::SteerAll(const IpAddress& ip, bool ours) {
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

}  // namespace weir
