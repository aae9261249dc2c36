// XdpStack: everything of a shard that --stack=xdp adds: a port for each interface, the protocol stack above them, and
// its sockets. With several shards it knows the others by its HandOver, and only shard 0 sets addresses and routes, which
// the others follow.
#ifndef NETSTACK_HOST_XDP_STACK_H_
#define NETSTACK_HOST_XDP_STACK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "netstack/host/address_setup.h"
#include "netstack/host/host_options.h"
#include "netstack/host/xdp_port.h"
#include "netstack/host/xdp_shared.h"
#include "netstack/ip/filter_hook.h"
#include "netstack/ip/inet.h"
#include "netstack/link/hand_over.h"
#include "netstack/socket/inet_stack.h"
#include "netstack/tcp/tcp_output.h"
#include "runtime/buffer/frame_pool.h"
#include "runtime/core/async_event.h"
#include "runtime/core/scheduler.h"
#include "runtime/core/task.h"

namespace weir {

class XdpStack final : netstack::AddressListener {
 public:
  // `shared`, `pool` and `scheduler` outlive the stack. One line says what is wrong with options or interfaces.
  static absl::StatusOr<std::unique_ptr<XdpStack>> Create(const HostOptions& options, XdpShared& shared, int shard,
                                                          runtime::FramePool& pool, runtime::Scheduler& scheduler);
  ~XdpStack();

  // To be called once, when the stacks of all shards are there: from then on the frames are ours.
  absl::Status Start();
  // Until the host has its addresses.
  Task<absl::Status> Configured();

  // First half of a turn: a burst in from each port, and the waiters of what it brought marked ready. Returns frames.
  size_t Receive(Nanos now_ns) {
    size_t frames = hand_over_ != nullptr ? ReceiveFromPeers(now_ns) : 0;
    for (const std::unique_ptr<XdpPort>& port : ports_) frames += port->device().Receive(now_ns);
    if (!inet_->ip.ready.empty()) stack_->RunWakeups();
    return frames;
  }
  // Second half: segments that coroutines and timers asked for, and everything queued, out with one doorbell a port.
  void Transmit(Nanos now_ns) {
    netstack::TcpFlush(inet_->tcp, now_ns);
    for (const std::unique_ptr<XdpPort>& port : ports_) port->device().Transmit();
    if (hand_over_ != nullptr && shard_ == 0 && inet_->ip.config_version() != config_version_) Publish();
  }
  bool TxEmpty() const {
    for (const std::unique_ptr<XdpPort>& port : ports_) {
      if (!port->interface().device.tx_empty()) return false;
    }
    return true;
  }
  // That groups were left is still to be told to routers.
  bool ReportsDue() const {
    for (const std::unique_ptr<netstack::Interface>& interface : inet_->ip.interfaces) {
      if (interface->igmp.urgent() || interface->mld.urgent()) return true;
    }
    return false;
  }
  // Nothing is left to do before the next frame or deadline.
  bool Quiet() const {
    for (const std::unique_ptr<XdpPort>& port : ports_) {
      if (port->device().RxReady()) return false;
    }
    return inet_->ip.ready.empty() && TxEmpty() && (hand_over_ == nullptr || !hand_over_->RxReady());
  }

  AddressSetup& addresses() { return *addresses_; }
  netstack::SocketStack& stack() { return *stack_; }
  netstack::Inet& inet() { return *inet_; }
  // nullptr without --filter.
  const netstack::FilterHook* filter() const { return filter_.get(); }
  const std::vector<std::unique_ptr<XdpPort>>& ports() const { return ports_; }
  // nullptr: there is one shard.
  const netstack::HandOver* hand_over() const { return hand_over_.get(); }
  // "xdp on eth0 (native, zero-copy), 10.0.0.2/24"
  std::string Describe() const;

 private:
  XdpStack(const HostOptions& options, XdpShared& shared, int shard) : options_(options), shared_(shared), shard_(shard) {}
  absl::Status AddAddresses();
  absl::Status AddRoutes();
  size_t ReceiveFromPeers(Nanos now_ns);
  void Publish();
  void Follow();
  absl::StatusOr<netstack::Interface*> InterfaceOf(const HostOptions::Route& route);
  // nullptr: --interface does not name it.
  netstack::Interface* FindInterface(const std::string& name);
  void AddressAdded(netstack::Interface& interface, const IpAddress& ip) override;
  void AddressRemoved(netstack::Interface& interface, const IpAddress& ip) override;
  void AddressDuplicate(netstack::Interface& interface, const IpAddress& ip) override;
  bool JoinedElsewhere(netstack::Interface& interface, const IpAddress& group) override;
  XdpPort& PortOf(const netstack::Interface& interface);

  const HostOptions& options_;
  XdpShared& shared_;
  const int shard_;
  uint64_t config_version_ = 0;  // of what shard 0 published, or another shard follows
  AsyncEvent configured_;
  // Ports after the stack whose interfaces they serve.
  std::unique_ptr<netstack::HandOver> hand_over_;
  std::unique_ptr<netstack::Inet> inet_;
  std::unique_ptr<netstack::FilterHook> filter_;
  std::unique_ptr<netstack::InetStack> stack_;
  std::unique_ptr<AddressSetup> addresses_;
  std::vector<std::unique_ptr<XdpPort>> ports_;
};

}  // namespace weir

#endif  // NETSTACK_HOST_XDP_STACK_H_
