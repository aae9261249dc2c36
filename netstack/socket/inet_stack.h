// InetStack: sockets on weir's own stack (--stack=xdp). It turns protocol events into woken coroutines: input marks
// sockets ready (IpContext::ready), RunWakeups hands the marks to the backends, which complete the operations that can
// now be completed. Linux: sk_data_ready, sk_write_space.
#ifndef NETSTACK_SOCKET_INET_STACK_H_
#define NETSTACK_SOCKET_INET_STACK_H_

#include "netstack/ip/inet.h"
#include "netstack/socket/backend.h"
#include "runtime/core/scheduler.h"

namespace weir::netstack {

class InetStack final : public SocketStack {
 public:
  // Both outlive the stack and its sockets. One shard.
  InetStack(Inet& inet, runtime::Scheduler& scheduler) : inet_(inet), scheduler_(scheduler) {}

  absl::StatusOr<ListenerBackendPtr> ListenTcp(const Endpoint& local, const TcpListenOptions& options) override;
  absl::StatusOr<StreamBackendPtr> OpenTcp(const Endpoint& peer) override;
  absl::StatusOr<UdpBackendPtr> BindUdp(const Endpoint& local, const UdpBindOptions& options) override;

  // After a burst of input: wakes whoever waits for what arrived. Resumes nobody.
  void RunWakeups();

 private:
  Inet& inet_;
  runtime::Scheduler& scheduler_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_INET_STACK_H_
