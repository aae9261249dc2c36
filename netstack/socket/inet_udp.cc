#include "netstack/socket/inet_udp.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/ip/ip_output.h"
#include "netstack/udp/udp_output.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {

int InetUdp::Bind(const Endpoint& local) {
  sock_.owner = this;
  sock_.on_ready = &OnReady;
  const int error = udp_.Bind(sock_, local);
  bound_ = error == 0;
  return error;
}

void InetUdp::OnReady(ReadySock& sock, uint8_t) {
  auto& self = *static_cast<InetUdp*>(sock.owner);
  if (self.recv_ == nullptr) return;
  UdpRecvOp* op = std::exchange(self.recv_, nullptr);
  if (self.StartRecv(*op)) op->Wake();
}

bool InetUdp::StartRecv(UdpRecvOp& op) {
  WEIR_CHECK(recv_ == nullptr);
  if (sock_.receive_queue.empty()) {
    recv_ = &op;
    return false;
  }
  UdpDatagram datagram = sock_.receive_queue.Pop();
  op.datagram.data = RecvBuffer(std::move(datagram.data));
  op.datagram.peer = datagram.source;
  op.datagram.local = datagram.destination;
  return true;
}

void InetUdp::CancelRecv(UdpRecvOp& op) {
  recv_ = nullptr;
  op.status = absl::CancelledError("receive cancelled");
  op.Wake();
}

runtime::Frame* InetUdp::OneFrame(UdpSendOp& op, size_t length) {
  if (op.buffer.buffers().size() == 1) {
    runtime::Frame* frame = op.buffer.front_frame();
    const auto* data = static_cast<std::byte*>(op.buffer.buffers().front().iov_base);
    if (frame->refs == 1 && frame->tx_pending == 0 && frame->pool == &udp_.ip().pool &&
        data - frame->base >= runtime::kTxHeadroom) {
      std::span<std::byte> bytes;
      op.buffer.PopFront(&bytes);
      frame->data = bytes.data();
      frame->len = static_cast<uint32_t>(bytes.size());
      return frame;
    }
  }
  runtime::Frame* frame = udp_.ip().pool.Alloc();
  if (frame == nullptr) return nullptr;
  frame->len = static_cast<uint32_t>(length);
  size_t at = op.buffer.CopyTo(frame->bytes());
  for (const iovec& piece : op.from) {
    std::memcpy(frame->data + at, piece.iov_base, piece.iov_len);
    at += piece.iov_len;
  }
  udp_.ip().copied_bytes += length;
  return frame;
}

DropReason InetUdp::Send(UdpSendOp& op, size_t length) {
  if (length > UdpMaxPayload(udp_, op.peer)) {
    const std::span<const iovec> data = op.buffer.empty() ? op.from : op.buffer.buffers();
    return UdpSendmsg(udp_, sock_, data, op.peer, scheduler_.now_ns());
  }
  runtime::Frame* frame = OneFrame(op, length);
  if (frame == nullptr) return DropReason::kTxNoFrame;
  return UdpSendmsg(udp_, sock_, frame, op.peer, scheduler_.now_ns());
}

bool InetUdp::StartSend(UdpSendOp& op) {
  size_t length = op.buffer.size();
  for (const iovec& piece : op.from) length += piece.iov_len;
  if (op.peer.ip.is_any() || op.peer.port == 0) {
    op.status = runtime::ErrnoStatus(EINVAL, absl::StrCat("cannot send to ", op.peer.ToString()));
    return true;
  }
  if (RouteLookup(udp_.ip(), op.peer.ip, udp_.ip().FindInterface(op.peer.scope_id)).out == nullptr) {
    op.status = runtime::ErrnoStatus(ENETUNREACH, absl::StrCat("cannot send to ", op.peer.ToString()));
    return true;
  }
  if (length > UdpMaxDatagram(op.peer.ip)) {
    op.status = runtime::ErrnoStatus(EMSGSIZE, absl::StrCat(length, " bytes in a datagram"));
    return true;
  }
  const DropReason reason = Send(op, length);
  if (reason == DropReason::kConsumed) return true;
  udp_.ip().outcomes.Count(reason);
  if (reason == DropReason::kTxNoFrame) op.status = runtime::ErrnoStatus(ENOBUFS, "no frame left");
  if (reason == DropReason::kNoRoute) {
    op.status = runtime::ErrnoStatus(ENETUNREACH, absl::StrCat("cannot send to ", op.peer.ToString()));
  }
  return true;
}

void InetUdp::Close() {
  WEIR_CHECK(recv_ == nullptr);
  if (bound_) udp_.Unbind(sock_);
  delete this;
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
