// NetDevice: an interface as the network layer sees it: its address and limits, and the queue of frames that leave it.
// Protocol code only queues; the link takes the whole queue once a turn and rings the doorbell once (DESIGN.md §2).
#ifndef NETSTACK_IP_NET_DEVICE_H_
#define NETSTACK_IP_NET_DEVICE_H_

#include <cstdint>
#include <string>

#include "netstack/drop_reason.h"
#include "netstack/ip/tx_frame.h"
#include "netstack/wire/ethernet.h"
#include "runtime/base/fixed_ring.h"
#include "runtime/buffer/frame_pool.h"

namespace weir::netstack {

struct NetDeviceOptions {
  std::string name;    // for people
  uint32_t index = 0;  // as if_nametoindex(3) says; 0: the place among the stack's interfaces, from 1
  MacAddress mac;
  uint32_t mtu = 1500;  // of the IP packet
  VlanTags vlan;
  // The peer may leave transport checksums to the device (veth, tap, virtio).
  bool partial_checksums = false;
};

class NetDevice {
 public:
  // What one turn can queue: a burst of 64 frames, each answered by up to a window's worth of segments (64 KiB in
  // 1448-byte segments is 46), rounded up.
  static constexpr size_t kTxQueue = 4096;

  explicit NetDevice(const NetDeviceOptions& options)
      : mac_number_(options.mac.number()), options_(options), tx_(kTxQueue) {}
  NetDevice(const NetDevice&) = delete;
  ~NetDevice() {
    while (!tx_empty()) runtime::Unref(TxPop());
  }

  uint32_t index() const { return options_.index; }
  const std::string& name() const { return options_.name; }
  const MacAddress& mac() const { return options_.mac; }
  uint64_t mac_number() const { return mac_number_; }
  uint32_t mtu() const { return options_.mtu; }
  const VlanTags& vlan() const { return options_.vlan; }
  bool partial_checksums() const { return options_.partial_checksums; }

  // Takes over one reference on a complete frame (dev_queue_xmit). Its bytes must not change until tx_pending is 0.
  DropReason Queue(runtime::Frame* frame) {
    ++frame->tx_pending;
    if (tx_.Push({frame, false})) return DropReason::kConsumed;
    --frame->tx_pending;
    runtime::Unref(frame);
    return DropReason::kTxQueueFull;
  }
  // The same for a packet that goes on in `more`: all of it, or nothing.
  DropReason Queue(runtime::Frame* frame, std::span<runtime::Frame* const> more) {
    if (tx_.size() + 1 + more.size() > tx_.capacity()) {
      UnrefPacket(frame, more);
      return DropReason::kTxQueueFull;
    }
    ++frame->tx_pending;
    tx_.Push({frame, !more.empty()});
    for (size_t i = 0; i < more.size(); ++i) {
      ++more[i]->tx_pending;
      tx_.Push({more[i], i + 1 < more.size()});
    }
    return DropReason::kConsumed;
  }

  bool tx_empty() const { return tx_.empty(); }
  size_t tx_size() const { return tx_.size(); }
  // For the link: the frame `i` places behind the oldest, and taking the oldest, with its reference.
  TxFrame TxAt(size_t i) { return tx_.At(i); }
  runtime::Frame* TxPop() {
    runtime::Frame* frame = tx_.Pop().frame();
    --frame->tx_pending;
    return frame;
  }

 private:
  const uint64_t mac_number_;
  NetDeviceOptions options_;
  runtime::FixedRing<TxFrame> tx_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_NET_DEVICE_H_
