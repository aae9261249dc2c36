#include "netstack/socket/inet_udp.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/socket/group_call_text.h"
#include "netstack/udp/udp_multicast.h"
#include "netstack/udp/udp_output.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {

int InetUdp::Bind(const Endpoint& local) {
  sock_.owner = this;
  sock_.on_ready = &OnReady;
  const int error = udp_.Bind(sock_, local);
  bound_ = error == 0;
  queue_ = &sock_.receive_queue;
  return error;
}

void InetUdp::OnReady(ReadySock& sock, uint8_t) {
  auto& self = *static_cast<InetUdp*>(sock.owner);
  if (sock.leftover()) [[unlikely]] {
    delete &self;
    return;
  }
  if (self.recv_ == nullptr) return;
  UdpRecvOp* op = std::exchange(self.recv_, nullptr);
  if (self.StartRecv(*op)) op->Wake();
}

absl::Status InetUdp::TakeError() {
  const int error = std::exchange(sock_.receive_queue.error, 0);
  return runtime::ErrnoStatus(error, absl::StrCat("datagrams to ", sock_.remote.ToString()));
}

// Errors before data: as __skb_try_recv_datagram.
bool InetUdp::StartRecv(UdpRecvOp& op) {
  WEIR_CHECK(recv_ == nullptr);
  if (sock_.receive_queue.error != 0) [[unlikely]] {
    op.status = TakeError();
    return true;
  }
  if (sock_.receive_queue.empty()) {
    recv_ = &op;
    return false;
  }
  if (op.peek) [[unlikely]] {
    op.datagram = sock_.receive_queue.Peek();
  } else {
    op.count = TakeWaiting(op.into);
  }
  return true;
}

void InetUdp::CancelRecv(UdpRecvOp& op) {
  recv_ = nullptr;
  op.status = absl::CancelledError("receive cancelled");
  op.Wake();
}

// Others may read the frames of a group's datagram, which they share; then it is copied.
runtime::Frame* InetUdp::OneFrame(SendBuffer& buffer, std::span<const iovec> from, size_t length) {
  if (buffer.buffers().size() == 1) {
    runtime::Frame* frame = buffer.front_frame();
    const auto* data = static_cast<std::byte*>(buffer.buffers().front().iov_base);
    if (frame->refs == 1 && frame->tx_pending == 0 && frame->pool == &udp_.ip().pool &&
        data - frame->base >= runtime::kTxHeadroom) {
      std::span<std::byte> bytes;
      buffer.PopFront(&bytes);
      runtime::Discharge(frame);
      frame->data = bytes.data();
      frame->len = static_cast<uint32_t>(bytes.size());
      return frame;
    }
  }
  runtime::Frame* frame = udp_.ip().pool.Alloc();
  if (frame == nullptr) return nullptr;
  frame->len = static_cast<uint32_t>(length);
  size_t at = buffer.CopyTo(frame->bytes());
  for (const iovec& piece : from) {
    if (piece.iov_len == 0) continue;  // and perhaps no memory at all
    std::memcpy(frame->data + at, piece.iov_base, piece.iov_len);
    at += piece.iov_len;
  }
  buffer.Clear();
  udp_.ip().copied_bytes += length;
  return frame;
}

bool InetUdp::StartSend(UdpSendOp& op) {
  if (op.batch.empty()) {
    op.status = SendOne(op.buffer, op.from, op.peer, op.options);
    return true;
  }
  for (UdpMessage& message : op.batch) {
    absl::Status status = SendOne(message.data, {}, message.peer, message.options);
    if (!status.ok()) {
      if (op.sent == 0) op.status = std::move(status);
      break;
    }
    ++op.sent;
  }
  return true;
}

absl::Status InetUdp::SendOne(SendBuffer& buffer, std::span<const iovec> from, const Endpoint& to,
                              const UdpSendOptions& options) {
  const Endpoint& peer = to == Endpoint{} ? sock_.remote : to;
  const auto failed = [&](int error) {
    return runtime::ErrnoStatus(error, absl::StrCat("cannot send to ", peer.ToString()));
  };
  if (sock_.receive_queue.error != 0) [[unlikely]] return TakeError();
  if (peer == Endpoint{}) return failed(EDESTADDRREQ);
  UdpRoute route;
  if (const int error = UdpFindRoute(udp_, sock_, peer, options, &route); error != 0) return failed(error);
  size_t length = buffer.size();
  for (const iovec& piece : from) length += piece.iov_len;
  if (length > UdpMaxDatagram(peer.ip)) {
    return runtime::ErrnoStatus(EMSGSIZE, absl::StrCat(length, " bytes in a datagram"));
  }
  const DropReason reason = Transmit(buffer, from, length, route);
  udp_.ip().CountFailure(reason);
  if (reason == DropReason::kTxNoFrame) return runtime::ErrnoStatus(ENOBUFS, "no frame left");
  return absl::OkStatus();  // what is lost below is lost as any datagram may be
}

// In one frame where that is possible, else copied into several.
DropReason InetUdp::Transmit(SendBuffer& buffer, std::span<const iovec> from, size_t length, const UdpRoute& route) {
  const uint32_t out = route.flow.out != nullptr ? route.flow.out->index : 0;
  const size_t one_frame = udp_.ip().pool.frame_size() - runtime::kTxHeadroom;
  if (length > std::min(one_frame, UdpMaxPayload(udp_, {route.flow.destination, route.port, out}))) {
    const std::span<const iovec> data = buffer.empty() ? from : buffer.buffers();
    const DropReason reason = UdpTransmit(udp_, sock_, data, route, scheduler_.now_ns());
    buffer.Clear();
    return reason;
  }
  runtime::Frame* frame = OneFrame(buffer, from, length);
  if (frame == nullptr) return DropReason::kTxNoFrame;
  return UdpTransmit(udp_, sock_, frame, route, scheduler_.now_ns());
}

absl::Status InetUdp::Connect(const Endpoint& peer) {
  const int error = udp_.Connect(sock_, peer);
  if (error != 0) return runtime::ErrnoStatus(error, absl::StrCat("cannot connect UDP to ", peer.ToString()));
  return absl::OkStatus();
}

absl::Status InetUdp::Disconnect() {
  udp_.Disconnect(sock_);
  return absl::OkStatus();
}

absl::Status InetUdp::SetOption(UdpOption option, uint32_t value) {
  switch (option) {
    case UdpOption::kTtl:
      if (value == 0) return runtime::ErrnoStatus(EINVAL, "a TTL of 0");
      sock_.ttl = static_cast<uint8_t>(value);
      break;
    case UdpOption::kTos:
      sock_.tos = static_cast<uint8_t>(value);
      break;
    case UdpOption::kMulticastTtl:
      sock_.multicast_ttl = static_cast<uint8_t>(value);
      break;
    case UdpOption::kMulticastLoop:
      sock_.multicast_loop = value != 0;
      break;
    case UdpOption::kMulticastInterface:
      if (value != 0 && udp_.ip().FindInterface(value) == nullptr) {
        return runtime::ErrnoStatus(ENODEV, absl::StrCat("interface ", value));
      }
      sock_.multicast_interface = value;
      break;
    case UdpOption::kBroadcast:
      sock_.broadcast = value != 0;
      break;
  }
  return absl::OkStatus();
}

absl::Status InetUdp::CallGroup(GroupCall call, const IpAddress& group, const IpAddress& source, uint32_t interface) {
  const int error = UdpGroupCall(udp_, sock_, call, group, source, interface);
  if (error != 0) return runtime::ErrnoStatus(error, GroupCallText(call, group, source, interface));
  return absl::OkStatus();
}

void InetUdp::Close() {
  WEIR_CHECK(recv_ == nullptr);
  if (bound_) udp_.Unbind(sock_);
  if (sock_.held() == 0) {
    delete this;
  } else {
    udp_.Leave(sock_);
  }
}

SendBuffer InetUdp::NewSendBuffer(size_t bytes) {
  // A datagram of more frames than one has, when frames are short, none at all: a part of it would be of no use.
  runtime::FramePool& pool = udp_.ip().pool;
  const size_t per_frame = pool.frame_size() - runtime::kTxHeadroom;
  const size_t frames = (bytes + per_frame - 1) / per_frame;
  if (frames > SendBuffer::kMaxSlices || (frames > 1 && pool.free_count() < frames + pool.size() / 8)) return {};
  return SendBuffer::Allocate(pool, bytes, per_frame);
}

}  // namespace weir::netstack
