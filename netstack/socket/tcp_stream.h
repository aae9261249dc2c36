// TcpStream: a TCP connection, over kernel sockets or weir's own stack. Sending and receiving are Stream's (stream.h).
// Unread data at the moment of closing makes it a reset (RFC 9293 §3.6.1), as in Linux.
#ifndef NETSTACK_SOCKET_TCP_STREAM_H_
#define NETSTACK_SOCKET_TCP_STREAM_H_

#include <optional>
#include <string_view>
#include <utility>

#include "netstack/socket/stream.h"
#include "runtime/core/task.h"

namespace weir {

using netstack::TcpInfo;
using netstack::TcpKeepAlive;
using netstack::TcpState;

namespace netstack {

struct TcpConnectTraits {
  using Backend = StreamBackend;
  using Op = ConnectOp;
  Endpoint peer;
  void Fill(Op& op) { op.peer = peer; }
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
    absl::Status connected = co_await netstack::Operation<netstack::TcpConnectTraits>(**backend, {peer});
    if (!connected.ok()) co_return connected;
    co_return TcpStream(*std::move(backend));
  }

  // Small writes wait for the acknowledgment of an earlier small one, and go out together (Nagle's algorithm, RFC 9293
  // §3.7.4), unless this is on: for requests and answers that are written in pieces. TCP_NODELAY.
  absl::Status SetNoDelay(bool on) { return Set(netstack::TcpSockOption::kNoDelay, on); }
  // Only full segments, for 200 ms at most, until it is off again: before the last of several writes. TCP_CORK.
  absl::Status SetCork(bool on) { return Set(netstack::TcpSockOption::kCork, on); }
  // Acknowledges at once what came, and the next segments; not for good (TCP_QUICKACK).
  absl::Status SetQuickAck(bool on) { return Set(netstack::TcpSockOption::kQuickAck, on); }
  // Asks a silent peer whether it is still there; nothing: no more. Off when nothing is said (RFC 9293 §3.8.4).
  // kInvalidArgument (EINVAL): !times.valid().
  absl::Status SetKeepAlive(const std::optional<TcpKeepAlive>& times) { return backend().SetKeepAlive(times); }
  // How long what was sent may stay unacknowledged before the connection ends with kDeadlineExceeded (RFC 5482); 0: as
  // long as fifteen retransmissions take. TCP_USER_TIMEOUT.
  absl::Status SetUserTimeout(uint32_t ms) { return Set(netstack::TcpSockOption::kUserTimeout, ms); }
  // SO_LINGER. 0: closing resets the connection and drops what was not sent yet. Nothing: closing delivers it in the
  // background. Differs from Linux: no other time is taken (kInvalidArgument, EINVAL), as closing never waits here; who
  // wants to know that all was delivered calls ShutdownWrite and waits for the peer's end in Recvmsg.
  absl::Status SetLinger(std::optional<int> seconds) {
    return Set(netstack::TcpSockOption::kResetOnClose, !seconds.has_value() ? 0 : *seconds == 0 ? 1 : 2);
  }
  // How many unread, and how many unacknowledged and unsent, bytes the connection may hold; brought within the stack's
  // bounds without a word. The kernel doubles the number for its overhead. SO_RCVBUF, SO_SNDBUF.
  absl::Status SetReceiveBuffer(uint32_t bytes) { return Set(netstack::TcpSockOption::kReceiveBuffer, bytes); }
  absl::Status SetSendBuffer(uint32_t bytes) { return Set(netstack::TcpSockOption::kSendBuffer, bytes); }
  // Segments leave at intervals, at so many bytes a second at most (SO_MAX_PACING_RATE); 0: as the windows allow.
  absl::Status SetMaxPacingRate(uint64_t bytes_per_second) {
    return Set(netstack::TcpSockOption::kMaxPacingRate, bytes_per_second);
  }
  // "cubic" or "reno"; over kernel sockets any that the kernel lets the user have. kNotFound (ENOENT): no such.
  // TCP_CONGESTION.
  absl::Status SetCongestion(std::string_view name) { return backend().SetCongestionControl(name); }

  // What the stack knows of the connection, its counters among that. TCP_INFO.
  absl::StatusOr<TcpInfo> Info() const { return backend().Info(); }

  Endpoint local() const { return backend().local(); }
  Endpoint peer() const { return backend().peer(); }

 private:
  absl::Status Set(netstack::TcpSockOption option, uint64_t value) { return backend().SetTcpOption(option, value); }
};

}  // namespace weir

#endif  // NETSTACK_SOCKET_TCP_STREAM_H_
