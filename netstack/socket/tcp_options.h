// TcpOptions: what a program sets on a connection, or on a listener for the connections that it accepts, by the names of
// setsockopt, and what it reads back (getsockopt). Base of TcpStream and TcpListener, whose `tcp_backend()` it asks.
// Options that the SYN has to know of are in TcpConnectOptions too. A value that is none is kInvalidArgument (EINVAL).
#ifndef NETSTACK_SOCKET_TCP_OPTIONS_H_
#define NETSTACK_SOCKET_TCP_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "netstack/socket/backend.h"

namespace weir {

using netstack::TcpKeepAlive;
using netstack::TcpMtuDiscover;

template <typename Self>
class TcpOptions {
  using Option = netstack::TcpSockOption;

 public:
  // Small writes wait for the acknowledgment of an earlier small one, and go out together (Nagle's algorithm, RFC 9293
  // §3.7.4), unless this is on: for requests and answers that are written in pieces. TCP_NODELAY.
  absl::Status SetNoDelay(bool on) { return Set(Option::kNoDelay, on); }
  absl::StatusOr<bool> NoDelay() const { return Get<bool>(Option::kNoDelay); }
  // Only full segments, for 200 ms at most, until it is off again: before the last of several writes. TCP_CORK.
  absl::Status SetCork(bool on) { return Set(Option::kCork, on); }
  absl::StatusOr<bool> Cork() const { return Get<bool>(Option::kCork); }
  // Acknowledges at once what came, and the next segments; not for good (TCP_QUICKACK), as what is read back shows.
  absl::Status SetQuickAck(bool on) { return Set(Option::kQuickAck, on); }
  absl::StatusOr<bool> QuickAck() const { return Get<bool>(Option::kQuickAck); }
  // Asks a silent peer whether it is still there; nothing: no more. Off when nothing is said (RFC 9293 §3.8.4).
  // kInvalidArgument (EINVAL): !times.valid().
  absl::Status SetKeepAlive(const std::optional<TcpKeepAlive>& times) { return Backend().SetKeepAlive(times); }
  absl::StatusOr<std::optional<TcpKeepAlive>> KeepAlive() const { return Backend().GetKeepAlive(); }
  // How long what was sent may stay unacknowledged before the connection ends with kDeadlineExceeded (RFC 5482); 0: as
  // long as fifteen retransmissions take. TCP_USER_TIMEOUT.
  absl::Status SetUserTimeout(uint32_t ms) { return Set(Option::kUserTimeout, ms); }
  absl::StatusOr<uint32_t> UserTimeout() const { return Get<uint32_t>(Option::kUserTimeout); }
  // SO_LINGER. 0: closing resets the connection and drops what was not sent yet. Nothing: closing delivers it in the
  // background. Differs from Linux: no other time is taken (kInvalidArgument, EINVAL), as destroying a stream never
  // waits; who wants to know that all was delivered awaits TcpStream::Close with a time.
  absl::Status SetLinger(std::optional<int> seconds) {
    return Set(Option::kResetOnClose, !seconds.has_value() ? 0 : *seconds == 0 ? 1 : 2);
  }
  absl::StatusOr<std::optional<int>> Linger() const {
    const absl::StatusOr<bool> reset = Get<bool>(Option::kResetOnClose);
    if (!reset.ok()) return reset.status();
    return *reset ? std::optional(0) : std::nullopt;
  }
  // How many unread, and how many unacknowledged and unsent, bytes the connection may hold; brought within the stack's
  // bounds without a word. The kernel doubles the number for its overhead, and gives that back. SO_RCVBUF, SO_SNDBUF.
  // Not set, they grow, and what is read is what they are just now.
  absl::Status SetReceiveBuffer(uint32_t bytes) { return Set(Option::kReceiveBuffer, bytes); }
  absl::StatusOr<uint32_t> ReceiveBuffer() const { return Get<uint32_t>(Option::kReceiveBuffer); }
  absl::Status SetSendBuffer(uint32_t bytes) { return Set(Option::kSendBuffer, bytes); }
  absl::StatusOr<uint32_t> SendBuffer() const { return Get<uint32_t>(Option::kSendBuffer); }
  // Segments leave at intervals, at so many bytes a second at most (SO_MAX_PACING_RATE); 0: as the windows allow.
  absl::Status SetMaxPacingRate(uint64_t bytes_per_second) {
    return Set(Option::kMaxPacingRate, bytes_per_second);
  }
  absl::StatusOr<uint64_t> MaxPacingRate() const { return Get<uint64_t>(Option::kMaxPacingRate); }
  // How long a connection that was closed waits for the peer's end, at most 120 s; 0: what the stack says. TCP_LINGER2.
  absl::Status SetFinTimeout(uint32_t seconds) { return Set(Option::kFinTimeout, seconds); }
  absl::StatusOr<uint32_t> FinTimeout() const { return Get<uint32_t>(Option::kFinTimeout); }
  // Sendmsg waits while so many bytes were not sent yet, so that what is given last is not old when it leaves; 0: as
  // many as tcp_notsent_lowat says, or, once the program has set that, as the send buffer has. TCP_NOTSENT_LOWAT. Frames
  // are given as wholes, so a SendBuffer may go beyond by one.
  absl::Status SetNotSentLowat(uint32_t bytes) { return Set(Option::kNotSentLowat, bytes); }
  absl::StatusOr<uint32_t> NotSentLowat() const { return Get<uint32_t>(Option::kNotSentLowat); }
  // How often a SYN goes again without an answer before connecting ends with kDeadlineExceeded, and a listener's SYN
  // and ACK before the attempt is forgotten: 1 to 127. TCP_SYNCNT.
  absl::Status SetSynCount(uint32_t count) { return Set(Option::kSynCount, count); }
  absl::StatusOr<uint32_t> SynCount() const { return Get<uint32_t>(Option::kSynCount); }
  // Bytes of data and TCP options in a segment, at most: what the SYN announces, and so what is received, and what is
  // sent (RFC 9293 §3.7.1); 88 to 32767, 0: as the path and the peer take it. On a connection that is there it is taken
  // and changes nothing, as in Linux. What is read back is what a segment holds now, less its options. TCP_MAXSEG.
  absl::Status SetMaxSegment(uint32_t bytes) { return Set(Option::kMaxSegment, bytes); }
  absl::StatusOr<uint32_t> MaxSegment() const { return Get<uint32_t>(Option::kMaxSegment); }
  // The window that is advertised is no larger, whatever the buffer holds; at least 1152 bytes, and 0 is refused. A
  // window that was advertised before is kept (RFC 9293 §3.8.6). TCP_WINDOW_CLAMP. Without one: by Linux as it likes,
  // by weir what the window's scale can say.
  absl::Status SetWindowClamp(uint32_t bytes) { return Set(Option::kWindowClamp, bytes); }
  absl::StatusOr<uint32_t> WindowClamp() const { return Get<uint32_t>(Option::kWindowClamp); }
  // The field of the IP header, of either version, that routers tell service classes by (RFC 2474 §3); its last two
  // bits are ECN's and stay what they are, and are 0 when it is read. From the next segment on; on a listener from the
  // SYN and ACK on. IP_TOS, IPV6_TCLASS.
  absl::Status SetTos(uint8_t tos) { return Set(Option::kTos, tos); }
  absl::StatusOr<uint8_t> Tos() const { return Get<uint8_t>(Option::kTos); }
  // How many routers a segment may pass, likewise; 0: as many as the host says. IP_TTL, IPV6_UNICAST_HOPS, whose -1
  // that is.
  absl::Status SetTtl(uint8_t ttl) { return Set(Option::kTtl, ttl); }
  absl::StatusOr<uint8_t> Ttl() const { return Get<uint8_t>(Option::kTtl); }
  // Whether routers may cut segments into fragments (TcpMtuDiscover). IP_MTU_DISCOVER, IPV6_MTU_DISCOVER. Differs from
  // Linux: IP_PMTUDISC_PROBE, INTERFACE and OMIT are left out, which to its TCP mean no more than DONT.
  absl::Status SetMtuDiscover(TcpMtuDiscover mode) { return Set(Option::kMtuDiscover, static_cast<uint64_t>(mode)); }
  absl::StatusOr<TcpMtuDiscover> MtuDiscover() const { return Get<TcpMtuDiscover>(Option::kMtuDiscover); }
  // The generalized TTL security mechanism (RFC 5082 §3): segments whose TTL is less are dropped, as from farther away
  // than the peer is; 0: none are. 255, with SetTtl(255) at the peer: it must be on the link. ICMP errors are not asked.
  // IP_MINTTL, IPV6_MINHOPCOUNT.
  absl::Status SetMinTtl(uint8_t ttl) { return Set(Option::kMinTtl, ttl); }
  absl::StatusOr<uint8_t> MinTtl() const { return Get<uint8_t>(Option::kMinTtl); }
  // "cubic" or "reno"; over kernel sockets any that the kernel lets the user have. kNotFound (ENOENT): no such.
  // TCP_CONGESTION.
  absl::Status SetCongestion(std::string_view name) { return Backend().SetCongestionControl(name); }
  absl::StatusOr<std::string> Congestion() const { return Backend().GetCongestionControl(); }

 private:
  auto& Backend() const { return static_cast<const Self*>(this)->tcp_backend(); }
  absl::Status Set(Option option, uint64_t value) { return Backend().SetTcpOption(option, value); }
  template <typename T>
  absl::StatusOr<T> Get(Option option) const {
    const absl::StatusOr<uint64_t> value = Backend().GetTcpOption(option);
    if (!value.ok()) return value.status();
    return static_cast<T>(*value);
  }
};

}  // namespace weir

#endif  // NETSTACK_SOCKET_TCP_OPTIONS_H_
