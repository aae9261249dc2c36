// TcpStream: a TCP connection, over kernel sockets or weir's own stack. Sending and receiving are Stream's (stream.h), options
// those of TcpOptions (tcp_options.h).
// Unread data at the moment of closing makes it a reset (RFC 9293 §3.6.1), as in Linux.
#ifndef NETSTACK_SOCKET_TCP_STREAM_H_
#define NETSTACK_SOCKET_TCP_STREAM_H_

#include <chrono>
#include <utility>

#include "netstack/socket/stream.h"
#include "netstack/socket/tcp_options.h"
#include "runtime/core/sleep.h"
#include "runtime/core/task.h"

namespace weir {

using netstack::TcpConnectOptions;
using netstack::TcpInfo;
using netstack::TcpMemInfo;
using netstack::TcpState;

namespace netstack {

struct TcpConnectTraits {
  using Backend = StreamBackend;
  using Op = ConnectOp;
  Endpoint peer;
  TcpConnectOptions options;
  void Fill(Op& op) {
    op.peer = peer;
    op.options = options;
  }
  static bool Start(Backend& backend, Op& op) { return backend.StartConnect(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelConnect(op); }
  static absl::Status Take(Op& op) { return std::move(op.status); }
};

struct TcpCloseTraits {
  using Backend = StreamBackend;
  using Op = CloseOp;
  void Fill(Op&) {}
  static bool Start(Backend& backend, Op& op) { return backend.StartClose(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelClose(op); }
  static absl::Status Take(Op& op) { return std::move(op.status); }
};

}  // namespace netstack

class TcpStream : public Stream, public TcpOptions<TcpStream> {
 public:
  using Stream::Stream;

  // Connects to `peer`, from an address and port of the stack's choice unless options.local names them. kUnavailable:
  // refused or unreachable. Two programs that connect to each other's local ends have one connection (simultaneous
  // open, RFC 9293 §3.5).
  static Task<absl::StatusOr<TcpStream>> Connect(netstack::SocketStack& stack, Endpoint peer,
                                                 TcpConnectOptions options = {}) {
    absl::StatusOr<netstack::StreamBackendPtr> backend = stack.OpenTcp(peer);
    if (!backend.ok()) co_return backend.status();
    absl::Status connected = co_await netstack::Operation<netstack::TcpConnectTraits>(**backend, {peer, options});
    if (!connected.ok()) co_return connected;
    co_return TcpStream(*std::move(backend));
  }

  using Stream::Close;
  // Closes, and waits until the peer has acknowledged all that was sent, and the end: close(2) with SO_LINGER and a
  // time. It need not have closed itself, nor has its program read anything yet. The stream is given away by the call.
  // kDeadlineExceeded: the time is over; kCancelled: the scope was stopped. Either way it goes on in the background, as
  // in Linux. kAborted: the connection was reset, by the peer, or by us because data was left unread. With a time of 0
  // nothing is waited for, and what the peer does not have yet is dropped: it sees a reset. Differs from Linux, whose
  // close(2) tells nothing of all that.
  template <typename Rep, typename Period>
  Task<absl::Status> Close(std::chrono::duration<Rep, Period> linger) {
    return LingerClose(TakeBackend(), std::chrono::duration_cast<std::chrono::nanoseconds>(linger));
  }

  // What the stack knows of the connection, its counters among that. TCP_INFO.
  absl::StatusOr<TcpInfo> Info() const { return backend().Info(); }
  // The memory that its buffers hold. SO_MEMINFO, less what only the kernel has.
  absl::StatusOr<TcpMemInfo> MemInfo() const { return backend().MemInfo(); }
  // What ended the connection, or what routers say of a silent peer, if no call was told yet; afterwards nobody is, and
  // Recvmsg finds the end. SO_ERROR.
  absl::Status TakeError() { return backend().TakeError(); }

  Endpoint local() const { return backend().local(); }
  Endpoint peer() const { return backend().peer(); }

 private:
  friend class TcpOptions<TcpStream>;
  static Task<absl::Status> LingerClose(netstack::StreamBackendPtr backend, std::chrono::nanoseconds linger) {
    if (linger.count() <= 0) co_return backend->SetTcpOption(netstack::TcpSockOption::kResetOnClose, 1);
    co_return co_await WithTimeout(netstack::Operation<netstack::TcpCloseTraits>(*backend, {}), linger);
  }
  netstack::StreamBackend& tcp_backend() const { return backend(); }
};

}  // namespace weir

#endif  // NETSTACK_SOCKET_TCP_STREAM_H_
