// UdpSocket: datagrams, over kernel sockets or weir's own stack. Move-only; belongs to one shard; one receive and one
// send under way at a time.
//
//   absl::StatusOr<weir::Datagram> got = co_await socket.Recvmsg();
//   absl::Status sent = co_await socket.Sendmsg(std::move(got->data), got->peer);     // echo, no byte copied
#ifndef NETSTACK_SOCKET_UDP_SOCKET_H_
#define NETSTACK_SOCKET_UDP_SOCKET_H_

#include <utility>

#include "netstack/socket/backend.h"
#include "netstack/socket/operation.h"

namespace weir {

using netstack::Datagram;

namespace netstack {

struct UdpRecvTraits {
  using Backend = UdpBackend;
  using Op = UdpRecvOp;
  void Fill(Op&) {}
  static bool Start(Backend& backend, Op& op) { return backend.StartRecv(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelRecv(op); }
  static absl::StatusOr<Datagram> Take(Op& op) {
    if (!op.status.ok()) return std::move(op.status);
    return std::move(op.datagram);
  }
};

struct UdpSendTraits {
  using Backend = UdpBackend;
  using Op = UdpSendOp;
  SendBuffer buffer;
  std::span<const iovec> from;
  Endpoint peer;
  void Fill(Op& op) {
    op.buffer = std::move(buffer);
    op.from = from;
    op.peer = peer;
  }
  static bool Start(Backend& backend, Op& op) { return backend.StartSend(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelSend(op); }
  static absl::Status Take(Op& op) { return std::move(op.status); }
};

}  // namespace netstack

class UdpSocket {
 public:
  UdpSocket() = default;
  explicit UdpSocket(netstack::UdpBackendPtr backend) : backend_(std::move(backend)) {}

  // Binds to `local` (port 0: any free one). kAlreadyExists when the port is taken.
  static absl::StatusOr<UdpSocket> Bind(netstack::SocketStack& stack, const Endpoint& local) {
    absl::StatusOr<netstack::UdpBackendPtr> backend = stack.BindUdp(local);
    if (!backend.ok()) return backend.status();
    return UdpSocket(*std::move(backend));
  }

  // The next datagram, where it arrived. One may be empty: it is a datagram of no bytes.
  auto Recvmsg() { return netstack::Operation<netstack::UdpRecvTraits>(*backend_, {}); }

  // Sends one datagram to `peer`, without a copy when `buffer` lies in one frame. kInvalidArgument (EMSGSIZE) when it
  // is longer than any datagram; one that does not fit the path goes in fragments. Like any it may be lost without a word.
  auto Sendmsg(SendBuffer buffer, const Endpoint& peer) {
    return netstack::Operation<netstack::UdpSendTraits>(*backend_, {std::move(buffer), {}, peer});
  }
  auto Sendmsg(std::span<const iovec> from, const Endpoint& peer) {
    return netstack::Operation<netstack::UdpSendTraits>(*backend_, {SendBuffer(), from, peer});
  }

  SendBuffer NewSendBuffer(size_t bytes) { return backend_->NewSendBuffer(bytes); }
  Endpoint local() const { return backend_->local(); }

 private:
  netstack::UdpBackendPtr backend_;
};

}  // namespace weir

#endif  // NETSTACK_SOCKET_UDP_SOCKET_H_
