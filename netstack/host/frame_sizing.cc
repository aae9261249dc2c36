#include "netstack/host/frame_sizing.h"

#include <algorithm>

#include "netstack/link/frame_exchange.h"
#include "xdp/xdp_link.h"

namespace weir {
namespace {

using Interfaces = std::vector<std::unique_ptr<XdpInterface>>;

uint32_t FrameSize(const HostOptions& options, const Interfaces& interfaces) {
  if (options.frame_size != 0) return options.frame_size;
  uint32_t mtu = 0;
  for (const std::unique_ptr<XdpInterface>& interface : interfaces) {
    mtu = std::max(mtu, interface->device_options().mtu);
  }
  return mtu > XdpInterface::LargestMtu(2048) ? 4096 : 2048;
}

uint32_t Frames(const HostOptions& options, const Interfaces& interfaces) {
  if (options.frames != 0) return options.frames;
  constexpr uint32_t kRings = xdp::XdpLink::kFillSize + xdp::XdpLink::kTxSize;
  if (options.stack != StackKind::kXdp) return kRings + kSocketFrames;
  uint32_t frames = kSocketFrames;
  for (const std::unique_ptr<XdpInterface>& interface : interfaces) {
    const QueueShare share = ShareOfQueues(interface->queues(), options.shards);
    frames += share.links * 2 * share.rx_size + xdp::XdpLink::kTxSize;
  }
  return frames + (options.shards > 1 ? netstack::FrameExchange::kUnderWay : 0);
}

}  // namespace

runtime::FramePool::Options FrameSizing(const HostOptions& options, const Interfaces& interfaces) {
  return {.frame_size = FrameSize(options, interfaces), .frames = Frames(options, interfaces)};
}

}  // namespace weir
