#include "netstack/host/xdp_port.h"

#include <algorithm>
#include <utility>

namespace weir {
namespace {

xdp::ZeroCopy ToXdp(ZeroCopyMode mode) {
  if (mode == ZeroCopyMode::kOn) return xdp::ZeroCopy::kOn;
  return mode == ZeroCopyMode::kOff ? xdp::ZeroCopy::kOff : xdp::ZeroCopy::kAuto;
}

}  // namespace

absl::StatusOr<std::unique_ptr<XdpPort>> XdpPort::Create(const HostOptions& options, XdpInterface& shared, int shard,
                                                         runtime::FramePool& pool) {
  std::unique_ptr<XdpPort> port(new XdpPort(shared));
  port->shard_ = shard;
  const uint32_t rx_size = ShareOfQueues(shared.queues(), options.shards).rx_size;
  const auto step = static_cast<uint32_t>(options.shards);
  for (auto queue = static_cast<uint32_t>(shard); queue < shared.queues(); queue += step) {
    absl::StatusOr<std::unique_ptr<xdp::XdpLink>> link = xdp::XdpLink::Create(
        {.queue = queue,
         .zero_copy = ToXdp(options.zero_copy),
         .rx_size = rx_size,
         .fill_size = 2 * rx_size,
         .busy_poll = options.poll == PollMode::kBusy,
         .multi_buffer = shared.device_options().mtu > XdpInterface::LargestMtu(pool.frame_size())},
        shared.program(), pool);
    if (!link.ok()) return link.status();
    shared.NoteLink((*link)->zero_copy());
    port->links_.push_back(*std::move(link));
  }
  return port;
}

void XdpPort::Connect(netstack::Inet& inet, netstack::Interface& interface, netstack::PcapWriter* capture,
                      netstack::HandOver* peers) {
  interface_ = &interface;
  // Shards without a queue share those that have one.
  const int through = shard_ % static_cast<int>(shared_.queues());
  device_ = std::make_unique<netstack::XdpDevice>(links_, shard_ == 0 ? &shared_.tap() : nullptr, inet, interface, capture,
                                                  peers, through);
}

xdp::XdpLink::Counters XdpPort::LinkCounters() const {
  xdp::XdpLink::Counters sum;
  for (const std::unique_ptr<xdp::XdpLink>& link : links_) {
    const xdp::XdpLink::Counters one = link->counters();
    using C = xdp::XdpLink::Counters;
    for (auto field : {&C::rx_frames, &C::tx_frames, &C::tx_completed, &C::tx_ring_full, &C::fill_starved, &C::doorbells,
                       &C::doorbell_errors, &C::kernel_rx_dropped, &C::kernel_rx_ring_full, &C::kernel_fill_ring_empty,
                       &C::kernel_rx_invalid, &C::kernel_tx_invalid, &C::kernel_tx_ring_empty}) {
      sum.*field += one.*field;
    }
    sum.fill_depth += one.fill_depth;
    sum.tx_outstanding += one.tx_outstanding;
    sum.rx_deepest = std::max(sum.rx_deepest, one.rx_deepest);
  }
  return sum;
}

}  // namespace weir
