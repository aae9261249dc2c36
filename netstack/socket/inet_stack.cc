#include "netstack/socket/inet_stack.h"

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/socket/inet_tcp.h"
#include "netstack/socket/inet_udp.h"
#include "netstack/tcp/tcp_early_demux.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {
namespace {

absl::Status BindError(int error, const Endpoint& local, const char* protocol) {
  return runtime::ErrnoStatus(error, absl::StrCat("cannot bind ", protocol, " ", local.ToString()));
}

}  // namespace

absl::StatusOr<ListenerBackendPtr> InetStack::ListenTcp(const Endpoint& local, const TcpListenOptions& options) {
  auto* listener = new InetListener(inet_.tcp, scheduler_);
  ListenerBackendPtr owner(listener);
  if (const int error = listener->Listen(local, options); error != 0) return BindError(error, local, "TCP");
  return owner;
}

absl::StatusOr<StreamBackendPtr> InetStack::OpenTcp(const Endpoint& peer) {
  TcpSock* sock = inet_.tcp.Alloc();
  if (sock == nullptr) return runtime::ErrnoStatus(ENOBUFS, absl::StrCat("cannot connect to ", peer.ToString()));
  return StreamBackendPtr(InetTcp::Make(*sock, scheduler_));
}

absl::StatusOr<UdpBackendPtr> InetStack::BindUdp(const Endpoint& local, const UdpBindOptions& options) {
  auto* socket = new InetUdp(inet_.udp, scheduler_, options);
  UdpBackendPtr owner(socket);
  if (const int error = socket->Bind(local); error != 0) return BindError(error, local, "UDP");
  return owner;
}

void InetStack::RunWakeups() {
  if (inet_.tcp.sockets >= kTcpEarlyDemuxFrom) inet_.ip.ready.ForEach(&InetTcp::PrefetchWake);
  while (ReadySock* sock = inet_.ip.ready.PopFront()) {
    const uint8_t events = std::exchange(sock->events, 0);
    if (sock->on_ready != nullptr) sock->on_ready(*sock, events);
  }
}

}  // namespace weir::netstack
