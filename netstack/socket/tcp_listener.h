// TcpListener: accepts connections on one shard. Destroying it resets the connections nobody accepted.
//
//   for (;;) {
//     absl::StatusOr<weir::TcpStream> stream = co_await listener.Accept();
//     if (!stream.ok()) break;                       // kCancelled: the scope was stopped
//     scope.Spawn(Serve(*std::move(stream)));
//   }
#ifndef NETSTACK_SOCKET_TCP_LISTENER_H_
#define NETSTACK_SOCKET_TCP_LISTENER_H_

#include <utility>

#include "netstack/socket/backend.h"
#include "netstack/socket/operation.h"
#include "netstack/socket/tcp_options.h"
#include "netstack/socket/tcp_stream.h"

namespace weir {

using netstack::TcpListenOptions;

namespace netstack {

struct AcceptTraits {
  using Backend = ListenerBackend;
  using Op = AcceptOp;
  void Fill(Op&) {}
  static bool Start(Backend& backend, Op& op) { return backend.StartAccept(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelAccept(op); }
  static absl::StatusOr<TcpStream> Take(Op& op) {
    if (!op.status.ok()) return std::move(op.status);
    return TcpStream(std::move(op.stream));
  }
};

}  // namespace netstack

// Options set on it are those of the connections that are accepted from then on, as in Linux; buffers and congestion control
// are theirs from the SYN.
class TcpListener : public TcpOptions<TcpListener> {
 public:
  TcpListener() = default;
  explicit TcpListener(netstack::ListenerBackendPtr backend) : backend_(std::move(backend)) {}

  // Listens on `local` (port 0: any free one). kAlreadyExists when the port is taken, kNotFound when the address is
  // not one of the stack's.
  static absl::StatusOr<TcpListener> Listen(netstack::SocketStack& stack, const Endpoint& local,
                                            const TcpListenOptions& options = {}) {
    absl::StatusOr<netstack::ListenerBackendPtr> backend = stack.ListenTcp(local, options);
    if (!backend.ok()) return backend.status();
    return TcpListener(*std::move(backend));
  }

  // The next established connection. Passing trouble of one connection, or of descriptors, is waited out inside.
  auto Accept() { return netstack::Operation<netstack::AcceptTraits>(*backend_, {}); }

  // A connection is accepted when its first data has come, or its end; else, when so many seconds are over, and the
  // peer then answers once more. The time is rounded up to one of SYN and ACKs that go again (1, 3, 7, 15, … s), as
  // what is read back shows. 0: when the handshake is done. TCP_DEFER_ACCEPT.
  absl::Status SetDeferAccept(uint32_t seconds) {
    return backend_->SetTcpOption(netstack::TcpSockOption::kDeferAccept, seconds);
  }
  absl::StatusOr<uint32_t> DeferAccept() const { return backend_->GetTcpOption(netstack::TcpSockOption::kDeferAccept); }

  Endpoint local() const { return backend_->local(); }

 private:
  friend class TcpOptions<TcpListener>;
  netstack::ListenerBackend& tcp_backend() const { return *backend_; }

  netstack::ListenerBackendPtr backend_;
};

}  // namespace weir

#endif  // NETSTACK_SOCKET_TCP_LISTENER_H_
