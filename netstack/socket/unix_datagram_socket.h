// UnixDatagramSocket: datagrams between processes of one machine (unix(7)): in order and never lost, since a sender waits
// while the receiver's queue is full. Always the kernel's, whatever the shard's stack is. Move-only; belongs to one shard;
// one receive and one send under way at a time.
//
//   absl::StatusOr<weir::UnixDatagram> got = co_await socket.Recvmsg();
//   absl::Status sent = co_await socket.Sendmsg(std::move(got->data), got->peer);     // to one that has a name itself
#ifndef NETSTACK_SOCKET_UNIX_DATAGRAM_SOCKET_H_
#define NETSTACK_SOCKET_UNIX_DATAGRAM_SOCKET_H_

#include <sys/types.h>

#include <optional>
#include <span>
#include <utility>

#include "netstack/socket/backend.h"
#include "netstack/socket/operation.h"
#include "netstack/socket/unix_binding.h"
#include "runtime/base/unix_address.h"

namespace weir {

using netstack::UnixDatagram;

namespace netstack {

class KernelStack;

struct UnixRecvTraits {
  using Backend = UnixDatagramBackend;
  using Op = UnixRecvOp;
  void Fill(Op&) {}
  static bool Start(Backend& backend, Op& op) { return backend.StartRecv(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelRecv(op); }
  static absl::StatusOr<UnixDatagram> Take(Op& op) {
    if (!op.status.ok()) return std::move(op.status);
    return std::move(op.datagram);
  }
};

struct UnixSendTraits {
  using Backend = UnixDatagramBackend;
  using Op = UnixSendOp;
  SendBuffer buffer;
  std::span<const iovec> from;
  UnixAddress peer;
  void Fill(Op& op) {
    op.buffer = std::move(buffer);
    op.from = from;
    op.peer = std::move(peer);
  }
  static bool Start(Backend& backend, Op& op) { return backend.StartSend(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelSend(op); }
  static absl::Status Take(Op& op) { return std::move(op.status); }
};

}  // namespace netstack

class UnixDatagramSocket {
 public:
  UnixDatagramSocket() = default;

  // Binds to `local`; as an unnamed address the kernel chooses an abstract one, so that the socket can be answered. Stale
  // paths, `mode` and errors are as with UnixListener.
  static absl::StatusOr<UnixDatagramSocket> Bind(netstack::KernelStack& stack, const UnixAddress& local,
                                                 std::optional<mode_t> mode = std::nullopt);

  // The next datagram, up to about RecvBuffer::kMaxSlices frames; the rare larger one is a counted drop. It may be
  // empty: a datagram of no bytes.
  auto Recvmsg() { return netstack::Operation<netstack::UnixRecvTraits>(*backend_, {}); }

  // Sends one datagram; waits while the receiver's queue is full. kUnavailable: nobody is there any more; kNotFound: no
  // such path; kInvalidArgument (EMSGSIZE): larger than the send buffer (net.core.wmem_default).
  auto Sendmsg(SendBuffer buffer, UnixAddress peer) {
    return netstack::Operation<netstack::UnixSendTraits>(*backend_, {std::move(buffer), {}, std::move(peer)});
  }
  auto Sendmsg(std::span<const iovec> from, UnixAddress peer) {
    return netstack::Operation<netstack::UnixSendTraits>(*backend_, {SendBuffer(), from, std::move(peer)});
  }

  SendBuffer NewSendBuffer(size_t bytes) { return backend_->NewSendBuffer(bytes); }
  const UnixAddress& local() const { return local_; }

 private:
  UnixAddress local_;
  netstack::UnixBinding binding_;
  netstack::UnixDatagramBackendPtr backend_;
};

}  // namespace weir

#endif  // NETSTACK_SOCKET_UNIX_DATAGRAM_SOCKET_H_
