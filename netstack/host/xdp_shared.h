// XdpShared: what the shards of --stack=xdp have together: the interfaces, the secret of their hashes, which flow is whose
// (FlowShards), the frames on their way from one to another (FrameExchange), and the configuration that shard 0 found out.
// Made before the shards and gone after them; the data path of one shard alone does not come here.
#ifndef NETSTACK_HOST_XDP_SHARED_H_
#define NETSTACK_HOST_XDP_SHARED_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "netstack/host/host_options.h"
#include "netstack/host/xdp_interface.h"
#include "netstack/ip/flow_shards.h"
#include "netstack/ip/ip_config.h"
#include "netstack/link/frame_exchange.h"
#include "netstack/link/hand_over.h"
#include "netstack/link/pcap_writer.h"
#include "runtime/base/siphash.h"

namespace weir {

class XdpShared {
 public:
  // `wake` as HandOver has it. One line says what is wrong with options or interfaces.
  static absl::StatusOr<std::unique_ptr<XdpShared>> Create(const HostOptions& options, netstack::HandOver::WakeFn wake,
                                                           void* wake_context);

  const std::vector<std::unique_ptr<XdpInterface>>& interfaces() const { return interfaces_; }
  // Of all shards' frames; nullptr without --pcap.
  netstack::PcapWriter* capture() { return capture_.get(); }
  const runtime::SipKey& secret() const { return secret_; }

  // A shard's side of the exchange; nullptr when there is one shard.
  std::unique_ptr<netstack::HandOver> MakeHandOver(int shard);

  // Shard 0 tells the others; `complete`: programs may begin.
  void Publish(netstack::IpConfig config, bool complete);
  // Changes with each Publish; 0 before.
  uint64_t config_version() const { return config_version_.load(std::memory_order_acquire); }
  // What was published last; returns its version.
  uint64_t Read(netstack::IpConfig* config, bool* complete);

 private:
  XdpShared(const HostOptions& options, netstack::HandOver::WakeFn wake, void* wake_context);

  const int shards_;
  const netstack::HandOver::WakeFn wake_;
  void* const wake_context_;
  const runtime::SipKey secret_ = runtime::SipKey::Random();
  std::unique_ptr<netstack::PcapWriter> capture_;
  std::vector<std::unique_ptr<XdpInterface>> interfaces_;
  std::unique_ptr<netstack::FlowShards> flows_;
  std::unique_ptr<netstack::FrameExchange> exchange_;
  std::mutex mutex_;
  netstack::IpConfig config_;
  bool complete_ = false;
  std::atomic<uint64_t> config_version_{0};
};

}  // namespace weir

#endif  // NETSTACK_HOST_XDP_SHARED_H_
