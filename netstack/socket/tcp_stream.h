// TcpStream: a TCP connection, over kernel sockets or weir's own stack. Sending and receiving are Stream's (stream.h).
// Unread data at the moment of closing makes it a reset (RFC 9293 §3.6.1), as in Linux.
#ifndef NETSTACK_SOCKET_TCP_STREAM_H_
#define NETSTACK_SOCKET_TCP_STREAM_H_

#include <utility>

#include "netstack/socket/stream.h"
#include "runtime/core/task.h"

namespace weir {
namespace netstack {

struct TcpConnectTraits {
  using Backend = StreamBackend;
  using Op = ConnectOp;
  void Fill(Op&) {}
  static bool Start(Backend& backend, Op& op) { return backend.StartConnect(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelConnect(op); }
  static absl::Status Take(Op& op) { return std::move(op.status); }
};

}  // namespace netstack

class TcpStream : public Stream {
 public:
  using Stream::Stream;

  // Connects to `peer` from an address and port of the stack's choice. kUnavailable: refused or unreachable.
  static Task<absl::StatusOr<TcpStream>> Connect(netstack::SocketStack& stack, Endpoint peer) {
    absl::StatusOr<netstack::StreamBackendPtr> backend = stack.OpenTcp(peer);
    if (!backend.ok()) co_return backend.status();
    absl::Status connected = co_await netstack::Operation<netstack::TcpConnectTraits>(**backend, {});
    if (!connected.ok()) co_return connected;
    co_return TcpStream(*std::move(backend));
  }

  Endpoint local() const { return backend().local(); }
  Endpoint peer() const { return backend().peer(); }
};

}  // namespace weir

#endif  // NETSTACK_SOCKET_TCP_STREAM_H_
