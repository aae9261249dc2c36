#include "netstack/host/frame_sizing.h"

#include <algorithm>
#include <string>
#include <vector>

#include "netstack/host/xdp_interface.h"
#include "netstack/link/frame_exchange.h"
#include "xdp/interface_info.h"
#include "xdp/xdp_link.h"

namespace weir {
namespace {

// What is known of each interface; what is wrong with one is said later.
std::vector<xdp::InterfaceInfo> Interfaces(const HostOptions& options) {
  std::vector<xdp::InterfaceInfo> known;
  for (const std::string& name : options.interfaces) {
    absl::StatusOr<XdpInterface::Place> place = XdpInterface::Find(name);
    if (!place.ok()) continue;
    absl::StatusOr<xdp::InterfaceInfo> interface = xdp::ReadInterfaceInfo(place->device);
    if (interface.ok()) known.push_back(*std::move(interface));
  }
  return known;
}

uint32_t LargestMtu(const HostOptions& options) {
  uint32_t mtu = options.mtu;
  if (mtu != 0) return mtu;
  for (const xdp::InterfaceInfo& interface : Interfaces(options)) mtu = std::max(mtu, interface.mtu);
  return mtu;
}

uint32_t FrameSize(const HostOptions& options) {
  if (options.frame_size != 0) return options.frame_size;
  const bool wide = options.stack == StackKind::kXdp && LargestMtu(options) > XdpInterface::LargestMtu(2048);
  return wide ? 4096 : 2048;
}

uint32_t Frames(const HostOptions& options) {
  if (options.frames != 0) return options.frames;
  constexpr uint32_t kRings = xdp::XdpLink::kFillSize + xdp::XdpLink::kTxSize;
  if (options.stack != StackKind::kXdp) return kRings + kSocketFrames;
  uint32_t frames = kSocketFrames;
  for (const xdp::InterfaceInfo& interface : Interfaces(options)) {
    const QueueShare share = ShareOfQueues(interface.rx_queues, options.shards);
    frames += share.links * 2 * share.rx_size + xdp::XdpLink::kTxSize;
  }
  return frames + (options.shards > 1 ? netstack::FrameExchange::kUnderWay : 0);
}

}  // namespace

runtime::FramePool::Options FrameSizing(const HostOptions& options) {
  return {.frame_size = FrameSize(options), .frames = Frames(options)};
}

}  // namespace weir
