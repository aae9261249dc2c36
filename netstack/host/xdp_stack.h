// XdpStack: everything of a shard that --stack=xdp adds: a port for each interface, the protocol stack above them, and
// its sockets.
#ifndef NETSTACK_HOST_XDP_STACK_H_
#define NETSTACK_HOST_XDP_STACK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "netstack/host/address_setup.h"
#include "netstack/host/host_options.h"
#include "netstack/host/xdp_port.h"
#include "netstack/ip/filter_hook.h"
#include "netstack/ip/inet.h"
#include "netstack/link/pcap_writer.h"
#include "netstack/socket/inet_stack.h"
#include "netstack/tcp/tcp_output.h"
#include "runtime/buffer/frame_pool.h"
#include "runtime/core/scheduler.h"

namespace weir {

class XdpStack final : netstack::AddressListener {
 public:
  // `pool` and `scheduler` outlive the stack. One line says what is wrong with options or interfaces.
  static absl::StatusOr<std::unique_ptr<XdpStack>> Create(const HostOptions& options, runtime::FramePool& pool,
                                                          runtime::Scheduler& scheduler);
  ~XdpStack();

  // First half of a turn: a burst in from each port, and the waiters of what it brought marked ready. Returns frames.
  size_t Receive(Nanos now_ns) {
    size_t frames = 0;
    for (const std::unique_ptr<XdpPort>& port : ports_) frames += port->device().Receive(now_ns);
    if (!inet_->ip.ready.empty()) stack_->RunWakeups();
    return frames;
  }
  // Second half: segments that coroutines and timers asked for, and everything queued, out with one doorbell a port.
  void Transmit(Nanos now_ns) {
    netstack::TcpFlush(inet_->tcp, now_ns);
    for (const std::unique_ptr<XdpPort>& port : ports_) port->device().Transmit();
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
    return inet_->ip.ready.empty() && TxEmpty();
  }

  AddressSetup& addresses() { return *addresses_; }
  netstack::SocketStack& stack() { return *stack_; }
  netstack::Inet& inet() { return *inet_; }
  // nullptr without --filter.
  const netstack::FilterHook* filter() const { return filter_.get(); }
  const std::vector<std::unique_ptr<XdpPort>>& ports() const { return ports_; }
  // "xdp on eth0 (native, zero-copy), 10.0.0.2/24"
  std::string Describe() const;

 private:
  XdpStack() = default;
  absl::Status AddAddresses(const HostOptions& options);
  absl::Status AddRoutes(const HostOptions& options);
  absl::StatusOr<netstack::Interface*> InterfaceOf(const HostOptions::Route& route);
  // nullptr: --interface does not name it.
  netstack::Interface* FindInterface(const std::string& name);
  void AddressAdded(netstack::Interface& interface, const IpAddress& ip) override;
  void AddressRemoved(netstack::Interface& interface, const IpAddress& ip) override;
  void AddressDuplicate(netstack::Interface& interface, const IpAddress& ip) override;
  XdpPort& PortOf(const netstack::Interface& interface);

  // Ports after the stack whose interfaces they serve.
  std::unique_ptr<netstack::PcapWriter> capture_;
  std::unique_ptr<netstack::Inet> inet_;
  std::unique_ptr<netstack::FilterHook> filter_;
  std::unique_ptr<netstack::InetStack> stack_;
  std::unique_ptr<AddressSetup> addresses_;
  std::vector<std::unique_ptr<XdpPort>> ports_;
};

}  // namespace weir

#endif  // NETSTACK_HOST_XDP_STACK_H_
