#include "netstack/host/frame_sizing.h"

#include <algorithm>

#include "netstack/host/xdp_port.h"
#include "xdp/interface_info.h"
#include "xdp/xdp_link.h"

namespace weir {
namespace {

uint32_t LargestMtu(const HostOptions& options) {
  if (options.mtu != 0) return options.mtu;
  uint32_t mtu = 0;
  for (const std::string& name : options.interfaces) {
    absl::StatusOr<XdpPort::Place> place = XdpPort::Find(name);
    if (!place.ok()) continue;  // what is wrong with it is said later
    absl::StatusOr<xdp::InterfaceInfo> interface = xdp::ReadInterfaceInfo(place->device);
    if (interface.ok()) mtu = std::max(mtu, interface->mtu);
  }
  return mtu;
}

uint32_t FrameSize(const HostOptions& options) {
  if (options.frame_size != 0) return options.frame_size;
  const bool wide = options.stack == StackKind::kXdp && LargestMtu(options) > XdpPort::LargestMtu(2048);
  return wide ? 4096 : 2048;
}

uint32_t Frames(const HostOptions& options) {
  if (options.frames != 0) return options.frames;
  constexpr uint32_t kRings = xdp::XdpLink::kFillSize + xdp::XdpLink::kTxSize;
  return static_cast<uint32_t>(std::max<size_t>(options.interfaces.size(), 1)) * kRings + kSocketFrames;
}

}  // namespace

runtime::FramePool::Options FrameSizing(const HostOptions& options) {
  return {.frame_size = FrameSize(options), .frames = Frames(options)};
}

}  // namespace weir
