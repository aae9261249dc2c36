// XdpPort: everything of a shard that --stack=xdp adds: the steering program, the AF_XDP link, the protocol stack above
// it and its sockets. Bringing it up changes the interface in nothing but the attached program, which goes with us.
#ifndef NETSTACK_HOST_XDP_PORT_H_
#define NETSTACK_HOST_XDP_PORT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "netstack/host/host_options.h"
#include "netstack/ip/inet.h"
#include "netstack/link/pcap_writer.h"
#include "netstack/link/xdp_device.h"
#include "netstack/socket/inet_stack.h"
#include "netstack/tcp/tcp_output.h"
#include "runtime/buffer/frame_pool.h"
#include "runtime/core/scheduler.h"
#include "xdp/steer_program.h"
#include "xdp/xdp_link.h"

namespace weir {

class XdpPort {
 public:
  // `pool` and `scheduler` outlive the port. One line says what is wrong with options or interface.
  static absl::StatusOr<std::unique_ptr<XdpPort>> Create(const HostOptions& options, runtime::FramePool& pool,
                                                         runtime::Scheduler& scheduler);

  // 2048, or 4096 where the MTU needs it.
  static uint32_t FrameSize(const HostOptions& options);

  // First half of a turn: a burst in, and the waiters of what it brought marked ready. Returns frames.
  size_t Receive(Nanos now_ns) {
    const size_t frames = device_->Receive(now_ns);
    if (!inet_->ip.ready.empty()) stack_->RunWakeups();
    return frames;
  }
  // Second half: segments that coroutines and timers asked for, and everything queued, out with one doorbell.
  void Transmit(Nanos now_ns) {
    netstack::TcpFlush(inet_->tcp, now_ns);
    device_->Transmit();
  }
  // Nothing is left to do before the next frame or deadline.
  bool Quiet() const { return !device_->RxReady() && inet_->ip.ready.empty() && inet_->ip.device.tx_empty(); }

  netstack::SocketStack& stack() { return *stack_; }
  netstack::Inet& inet() { return *inet_; }
  const xdp::XdpLink& link() const { return *link_; }
  const xdp::SteerProgram& program() const { return *program_; }
  // "xdp on eth0 (native, zero-copy), 10.0.0.2/24"
  std::string Describe() const;

 private:
  XdpPort() = default;

  std::unique_ptr<xdp::SteerProgram> program_;
  std::unique_ptr<xdp::XdpLink> link_;
  std::unique_ptr<netstack::PcapWriter> capture_;
  std::unique_ptr<netstack::Inet> inet_;
  std::unique_ptr<netstack::XdpDevice> device_;
  std::unique_ptr<netstack::InetStack> stack_;
};

}  // namespace weir

#endif  // NETSTACK_HOST_XDP_PORT_H_
