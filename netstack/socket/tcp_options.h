// TcpOptions: what a program sets on a connection, or on a listener for the connections that it accepts, by the names of
// setsockopt. Base of TcpStream and TcpListener, whose `tcp_backend()` it asks.
#ifndef NETSTACK_SOCKET_TCP_OPTIONS_H_
#define NETSTACK_SOCKET_TCP_OPTIONS_H_

#include <optional>
#include <string_view>

#include "netstack/socket/backend.h"

namespace weir {

using netstack::TcpKeepAlive;

template <typename Self>
class TcpOptions {
 public:
  // Small writes wait for the acknowledgment of an earlier small one, and go out together (Nagle's algorithm, RFC 9293
  // §3.7.4), unless this is on: for requests and answers that are written in pieces. TCP_NODELAY.
  absl::Status SetNoDelay(bool on) { return Set(netstack::TcpSockOption::kNoDelay, on); }
  // Only full segments, for 200 ms at most, until it is off again: before the last of several writes. TCP_CORK.
  absl::Status SetCork(bool on) { return Set(netstack::TcpSockOption::kCork, on); }
  // Acknowledges at once what came, and the next segments; not for good (TCP_QUICKACK).
  absl::Status SetQuickAck(bool on) { return Set(netstack::TcpSockOption::kQuickAck, on); }
  // Asks a silent peer whether it is still there; nothing: no more. Off when nothing is said (RFC 9293 §3.8.4).
  // kInvalidArgument (EINVAL): !times.valid().
  absl::Status SetKeepAlive(const std::optional<TcpKeepAlive>& times) { return Backend().SetKeepAlive(times); }
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
  // How long a connection that was closed waits for the peer's end, at most 120 s; 0: what the stack says. TCP_LINGER2.
  absl::Status SetFinTimeout(uint32_t seconds) { return Set(netstack::TcpSockOption::kFinTimeout, seconds); }
  // Sendmsg waits while so many bytes were not sent yet, so that what is given last is not old when it leaves; 0: only the
  // buffer counts. TCP_NOTSENT_LOWAT. Frames are given as wholes, so a SendBuffer may go beyond by one.
  absl::Status SetNotSentLowat(uint32_t bytes) { return Set(netstack::TcpSockOption::kNotSentLowat, bytes); }
  // "cubic" or "reno"; over kernel sockets any that the kernel lets the user have. kNotFound (ENOENT): no such.
  // TCP_CONGESTION.
  absl::Status SetCongestion(std::string_view name) { return Backend().SetCongestionControl(name); }

 private:
  auto& Backend() const { return static_cast<const Self*>(this)->tcp_backend(); }
  absl::Status Set(netstack::TcpSockOption option, uint64_t value) { return Backend().SetTcpOption(option, value); }
};

}  // namespace weir

#endif  // NETSTACK_SOCKET_TCP_OPTIONS_H_
