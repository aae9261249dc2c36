// UdpSocket: datagrams, over kernel sockets or weir's own stack. Move-only; belongs to one shard; one receive and one
// send under way at a time. Everything that is not awaited is done when the call returns.
//
//   absl::StatusOr<weir::Datagram> got = co_await socket.Recvmsg();
//   absl::Status sent = co_await socket.Sendmsg(std::move(got->data), got->peer);     // echo, no byte copied
//
// A listener to a group, beside others on this host:
//
//   absl::StatusOr<weir::UdpSocket> socket = shard.BindUdp({.port = 5353}, {.reuse_address = true});
//   absl::Status joined = socket->JoinGroup(*weir::IpAddress::Parse("224.0.0.251"));
//
// A socket gets what is sent to a group only where it joined it itself.
// Differs from Linux: there, without IP_MULTICAST_ALL=0, one bound to "any" gets what any program joined.
#ifndef NETSTACK_SOCKET_UDP_SOCKET_H_
#define NETSTACK_SOCKET_UDP_SOCKET_H_

#include <span>
#include <utility>

#include "netstack/socket/backend.h"
#include "netstack/socket/operation.h"
#include "netstack/socket/ready_operation.h"

namespace weir {

using netstack::Datagram;
using netstack::DatagramInfo;
using netstack::UdpBindOptions;
using netstack::UdpMessage;
using netstack::UdpSendOptions;

namespace netstack {

struct UdpRecvTraits {
  using Backend = UdpBackend;
  using Op = UdpRecvOp;
  void Fill(Op& op) { op.into = {&op.datagram, 1}; }
  static bool Start(Backend& backend, Op& op) { return backend.StartRecv(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelRecv(op); }
  static absl::StatusOr<Datagram> Take(Op& op) {
    if (!op.status.ok()) return std::move(op.status);
    return std::move(op.datagram);
  }
  static bool Waits(Backend& backend) { return backend.datagram_waits(); }
  absl::StatusOr<Datagram> TakeWaiting(Backend& backend) { return backend.TakeWaiting(); }
};

struct UdpRecvBatchTraits : UdpRecvTraits {
  std::span<Datagram> into;
  void Fill(Op& op) { op.into = into; }
  static absl::StatusOr<size_t> Take(Op& op) {
    if (!op.status.ok()) return std::move(op.status);
    return op.count;
  }
  absl::StatusOr<size_t> TakeWaiting(Backend& backend) { return backend.TakeWaiting(into); }
};

// The program's memory is filled when the call ends, from the frames.
struct UdpRecvIntoOp : UdpRecvOp {
  using UdpRecvOp::UdpRecvOp;
  std::span<const iovec> memory;
  UdpBackend* backend = nullptr;

  void TakeArguments(UdpRecvIntoOp& from) {
    UdpRecvOp::TakeArguments(from);
    memory = from.memory;
    backend = from.backend;
  }
};

struct UdpRecvIntoTraits {
  using Backend = UdpBackend;
  using Op = UdpRecvIntoOp;
  static void Fill(Op& op, UdpBackend* backend, const std::span<const iovec>& memory, bool peek) {
    op.into = {&op.datagram, 1};
    op.memory = memory;
    op.backend = backend;
    op.peek = peek;
  }
  static bool Start(Backend& backend, Op& op) { return backend.StartRecv(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelRecv(op); }
  static absl::StatusOr<DatagramInfo> Take(Op& op) {
    if (!op.status.ok()) return std::move(op.status);
    const Datagram& from = op.datagram;
    DatagramInfo info = {from, /*copied=*/0, from.length()};
    for (const iovec& piece : op.memory) {
      if (info.copied == from.data.size()) break;
      info.copied += from.data.CopyTo({static_cast<std::byte*>(piece.iov_base), piece.iov_len}, info.copied);
    }
    op.backend->CountCopied(info.copied);
    return info;
  }
};

struct UdpSendTraits {
  using Backend = UdpBackend;
  using Op = UdpSendOp;
  SendBuffer buffer;
  std::span<const iovec> from;
  Endpoint peer;
  UdpSendOptions options;
  void Fill(Op& op) {
    op.buffer = std::move(buffer);
    op.from = from;
    op.peer = peer;
    op.options = options;
  }
  static bool Start(Backend& backend, Op& op) { return backend.StartSend(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelSend(op); }
  static absl::Status Take(Op& op) { return std::move(op.status); }
};

struct UdpSendBatchTraits {
  using Backend = UdpBackend;
  using Op = UdpSendOp;
  std::span<UdpMessage> batch;
  void Fill(Op& op) { op.batch = batch; }
  static bool Start(Backend& backend, Op& op) { return op.batch.empty() || backend.StartSend(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelSend(op); }
  static absl::StatusOr<size_t> Take(Op& op) {
    if (!op.status.ok()) return std::move(op.status);
    return op.sent;
  }
};

}  // namespace netstack

class UdpSocket {
 public:
  UdpSocket() = default;
  explicit UdpSocket(netstack::UdpBackendPtr backend) : backend_(std::move(backend)) {}

  // Binds to `local` (port 0: any free one; an address may be a group's, too: then nothing else arrives).
  // kAlreadyExists (EADDRINUSE): the port is taken; kNotFound (EADDRNOTAVAIL): the address is not ours.
  static absl::StatusOr<UdpSocket> Bind(netstack::SocketStack& stack, const Endpoint& local,
                                        const UdpBindOptions& options = {}) {
    absl::StatusOr<netstack::UdpBackendPtr> backend = stack.BindUdp(local, options);
    if (!backend.ok()) return backend.status();
    return UdpSocket(*std::move(backend));
  }

  // From now on datagrams come from `peer` alone, are sent to it where no other is named, and what ICMP says of them is
  // an error of the next receive or send, once: kUnavailable (ECONNREFUSED, EHOSTUNREACH). What came from others before
  // is still received. kUnavailable (ENETUNREACH): no route; kPermissionDenied (EACCES): a broadcast address, without
  // SetBroadcast.
  absl::Status Connect(const Endpoint& peer) { return backend_->Connect(peer); }
  absl::Status Disconnect() { return backend_->Disconnect(); }

  // The next datagram, where it arrived. One may be empty: it is a datagram of no bytes. Those of a group share their
  // memory with the other members on this host: nothing may be written there.
  auto Recvmsg() { return netstack::ReadyOperation<netstack::UdpRecvTraits>(*backend_, {}); }
  // The next datagram into the caller's memory, as recvmsg(2): what does not fit is gone, and `length` tells how long it
  // was (MSG_TRUNC); memory of no bytes takes a datagram, too. `peek`: it is the next call's as well (MSG_PEEK).
  auto Recvmsg(std::span<const iovec> into, bool peek = false) {
    return netstack::Operation<netstack::UdpRecvIntoTraits>(*backend_, backend_.get(), into, peek);
  }
  // Waits for one, and takes what has come with it, as many as fit; returns how many. `into` is not empty and stays
  // until the operation ends.
  auto RecvBatch(std::span<Datagram> into) {
    return netstack::ReadyOperation<netstack::UdpRecvBatchTraits>(*backend_, {{}, into});
  }

  // Sends one datagram to `peer` (none: the one it is connected to), without a copy when `buffer` lies in one frame.
  // Like any datagram it may be lost later without a word. One that does not fit the path goes in fragments.
  // kInvalidArgument (EMSGSIZE): it is longer than any datagram, or (EINVAL; the kernel's IPv4 says ENETUNREACH)
  // `options.source` is not ours; kFailedPrecondition (EDESTADDRREQ): no peer; kPermissionDenied (EACCES): broadcast
  // without SetBroadcast; kUnavailable (ENETUNREACH): no route; kResourceExhausted (ENOBUFS): no frame.
  auto Sendmsg(SendBuffer buffer, const Endpoint& peer = {}, const UdpSendOptions& options = {}) {
    return netstack::Operation<netstack::UdpSendTraits>(*backend_, {std::move(buffer), {}, peer, options});
  }
  auto Sendmsg(std::span<const iovec> from, const Endpoint& peer = {}, const UdpSendOptions& options = {}) {
    return netstack::Operation<netstack::UdpSendTraits>(*backend_, {SendBuffer(), from, peer, options});
  }
  // Sends them in order, up to the first that fails, and returns how many, whose buffers it took; the error when that
  // is the first. `batch` stays until the operation ends.
  auto SendBatch(std::span<UdpMessage> batch) {
    return netstack::Operation<netstack::UdpSendBatchTraits>(*backend_, {batch});
  }

  // Memberships (RFC 3678 §5.1): of everything that is sent to `group`, but for sources that are blocked; or of what
  // the joined sources send to it. `interface`: its index; 0: the one that the route to the group leads over. On weir's
  // own stack frames to the group then no longer reach the kernel's programs on that interface.
  // kAlreadyExists (EADDRINUSE): it is joined; kNotFound: (EADDRNOTAVAIL) it is not, or the source is there already, or
  // is not, (ENODEV) no such interface; kInvalidArgument (EINVAL): `group` is none, or a call for the other kind of
  // membership; kResourceExhausted (ENOBUFS): more than 20 memberships, or 10 sources of one (IPv6: 64).
  absl::Status JoinGroup(const IpAddress& group, uint32_t interface = 0) {
    return backend_->CallGroup(netstack::GroupCall::kJoin, group, {}, interface);
  }
  absl::Status LeaveGroup(const IpAddress& group, uint32_t interface = 0) {
    return backend_->CallGroup(netstack::GroupCall::kLeave, group, {}, interface);
  }
  absl::Status BlockSource(const IpAddress& group, const IpAddress& source, uint32_t interface = 0) {
    return backend_->CallGroup(netstack::GroupCall::kBlockSource, group, source, interface);
  }
  absl::Status UnblockSource(const IpAddress& group, const IpAddress& source, uint32_t interface = 0) {
    return backend_->CallGroup(netstack::GroupCall::kUnblockSource, group, source, interface);
  }
  absl::Status JoinSourceGroup(const IpAddress& group, const IpAddress& source, uint32_t interface = 0) {
    return backend_->CallGroup(netstack::GroupCall::kJoinSource, group, source, interface);
  }
  // Leaving the last source leaves the group.
  absl::Status LeaveSourceGroup(const IpAddress& group, const IpAddress& source, uint32_t interface = 0) {
    return backend_->CallGroup(netstack::GroupCall::kLeaveSource, group, source, interface);
  }

  // Of what is sent from now on, by both versions of IP. kInvalidArgument (EINVAL): a ttl of 0.
  absl::Status SetTtl(uint8_t ttl) { return backend_->SetOption(netstack::UdpOption::kTtl, ttl); }
  absl::Status SetTos(uint8_t tos) { return backend_->SetOption(netstack::UdpOption::kTos, tos); }
  // To groups: 1 when nothing is said; 0: only to members on this host.
  absl::Status SetMulticastTtl(uint8_t ttl) { return backend_->SetOption(netstack::UdpOption::kMulticastTtl, ttl); }
  // Whether members on this host get it too, the sender's own socket among them: yes when nothing is said.
  absl::Status SetMulticastLoop(bool on) { return backend_->SetOption(netstack::UdpOption::kMulticastLoop, on); }
  // Where to groups go out, by its index; 0: over the route. kNotFound: no such interface.
  absl::Status SetMulticastInterface(uint32_t interface) {
    return backend_->SetOption(netstack::UdpOption::kMulticastInterface, interface);
  }
  // Whether it may send to broadcast addresses: no when nothing is said.
  absl::Status SetBroadcast(bool on) { return backend_->SetOption(netstack::UdpOption::kBroadcast, on); }

  SendBuffer NewSendBuffer(size_t bytes) { return backend_->NewSendBuffer(bytes); }
  Endpoint local() const { return backend_->local(); }
  Endpoint peer() const { return backend_->peer(); }  // all zero when not connected
  // Datagrams for which the receive queue had no room.
  uint64_t dropped() const { return backend_->dropped(); }

 private:
  netstack::UdpBackendPtr backend_;
};

}  // namespace weir

#endif  // NETSTACK_SOCKET_UDP_SOCKET_H_
