#include "netstack/socket/kernel_udp.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {

using runtime::ErrnoStatus;
using runtime::Frame;

namespace {

// The datagram that lies in `frame`, whose data starts at the payload already.
Datagram Parse(Frame* frame, msghdr& layout, uint16_t local_port) {
  Datagram datagram;
  auto* out = reinterpret_cast<io_uring_recvmsg_out*>(frame->base);
  SocketAddress peer;
  std::memcpy(&peer.v6, io_uring_recvmsg_name(out), std::min<size_t>(out->namelen, sizeof peer.v6));
  datagram.peer = peer.ToEndpoint();
  datagram.local.port = local_port;
  for (cmsghdr* c = io_uring_recvmsg_cmsg_firsthdr(out, &layout); c != nullptr;
       c = io_uring_recvmsg_cmsg_nexthdr(out, &layout, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      datagram.local.ip = IpAddress::V4(ntohl(info.ipi_addr.s_addr));
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      std::array<uint8_t, 16> bytes;
      std::memcpy(bytes.data(), &info.ipi6_addr, bytes.size());
      datagram.local.ip = IpAddress::V6(bytes);
    }
  }
  if (frame->len > 0) {
    datagram.data.Append(frame, frame->bytes());
  } else {
    runtime::Unref(frame);
  }
  return datagram;
}

}  // namespace

KernelUdp::KernelUdp(KernelStack& stack, int fd, int family)
    : stack_(stack), fd_(fd), family_(family), local_(LocalEndpoint(fd)) {
  recv_layout_.msg_namelen = kNameSpace;
  recv_layout_.msg_controllen = kControlSpace;
  ++stack_.stats().sockets;
}

KernelUdp::~KernelUdp() { --stack_.stats().sockets; }

// ---- receive

bool KernelUdp::StartRecv(UdpRecvOp& op) {
  WEIR_CHECK(recv_op_ == nullptr && !closing_);
  const bool taken = TakeReceived(op);
  recv_started_ = true;
  ResumeRecv();
  if (!taken) recv_op_ = &op;
  return taken;
}

void KernelUdp::CancelRecv(UdpRecvOp& op) {
  WEIR_CHECK(recv_op_ == &op);
  recv_op_ = nullptr;
  op.status = absl::CancelledError("Recvmsg cancelled");
  op.Wake();
}

void KernelUdp::ResumeRecv() {
  if (recv_.in_flight() || linked() || !recv_started_ || closing_ || queue_.count() > kResumeDatagrams) return;
  io_uring_sqe* sqe = stack_.reactor().Prepare(recv_);
  io_uring_prep_recvmsg_multishot(sqe, fd_, &recv_layout_, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = stack_.buffers().group();
}

void KernelUdp::OnRecv(int32_t result, uint32_t flags) {
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    Frame* frame = stack_.buffers().Take(flags);
    if (result < 0 || closing_ || !Accept(frame, static_cast<size_t>(result))) runtime::Unref(frame);
  }
  if (closing_) return MaybeFree();
  if (result < 0 && result != -ENOBUFS && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    recv_error_ = -result;
  }
  if (recv_op_ != nullptr && TakeReceived(*recv_op_)) std::exchange(recv_op_, nullptr)->Wake();
  if ((flags & IORING_CQE_F_MORE) != 0) {
    if (queue_.count() >= kPauseDatagrams && stack_.reactor().Cancel(recv_)) ++stack_.stats().recv_paused;
    return;
  }
  // After an error it is the reader's next call that goes on, so that a lasting one does not spin.
  if (recv_error_ != 0) return;
  if (result != -ENOBUFS || stack_.BuffersOrWait(*this)) ResumeRecv();
}

// Queues the datagram in the first `length` bytes of `frame`, unless it was cut off.
bool KernelUdp::Accept(Frame* frame, size_t length) {
  auto* out = io_uring_recvmsg_validate(frame->base, static_cast<int>(length), &recv_layout_);
  if (out == nullptr || (out->flags & MSG_TRUNC) != 0) {
    ++stack_.stats().udp_truncated;
    return false;
  }
  frame->data = static_cast<std::byte*>(io_uring_recvmsg_payload(out, &recv_layout_));
  frame->len = io_uring_recvmsg_payload_length(out, static_cast<int>(length), &recv_layout_);
  queue_.PushBack(frame);
  return true;
}

bool KernelUdp::TakeReceived(UdpRecvOp& op) {
  if (!queue_.empty()) {
    op.datagram = Parse(queue_.PopFront(), recv_layout_, local_.port);
    return true;
  }
  if (recv_error_ == 0) return false;
  op.status = ErrnoStatus(std::exchange(recv_error_, 0), "Recvmsg");
  return true;
}

// ---- send

bool KernelUdp::StartSend(UdpSendOp& op) {
  WEIR_CHECK(send_op_ == nullptr && !closing_);
  if (family_ == AF_INET && !op.peer.ip.is_v4()) {
    op.status = ErrnoStatus(EAFNOSUPPORT, absl::StrCat("Sendmsg to ", op.peer.ToString(), " from an IPv4 socket"));
    return true;
  }
  send_op_ = &op;
  send_cancelled_ = false;
  send_address_ = SocketAddress(op.peer, family_);
  const std::span<const iovec> slices = op.buffer.empty() ? op.from : op.buffer.buffers();
  send_message_ = {};
  send_message_.msg_name = &send_address_.base;
  send_message_.msg_namelen = send_address_.length;
  send_message_.msg_iov = const_cast<iovec*>(slices.data());
  send_message_.msg_iovlen = slices.size();
  io_uring_prep_sendmsg(stack_.reactor().Prepare(send_), fd_, &send_message_, MSG_NOSIGNAL);
  return false;
}

void KernelUdp::CancelSend(UdpSendOp& op) {
  WEIR_CHECK(send_op_ == &op);
  send_cancelled_ = true;
  stack_.reactor().Cancel(send_);
}

void KernelUdp::OnSend(int32_t result, uint32_t) {
  UdpSendOp* op = std::exchange(send_op_, nullptr);
  if (result < 0) {
    op->status = send_cancelled_ ? absl::CancelledError("Sendmsg cancelled")
                                 : ErrnoStatus(-result, absl::StrCat("Sendmsg to ", op->peer.ToString()));
  }
  op->Wake();
  MaybeFree();
}

// ---- end

// The port is free when the receive's final completion is in, a turn later.
void KernelUdp::Close() {
  WEIR_CHECK(recv_op_ == nullptr && send_op_ == nullptr);
  closing_ = true;
  if (linked()) Unlink();
  queue_.Clear();
  stack_.reactor().Cancel(recv_);
  MaybeFree();
}

void KernelUdp::MaybeFree() {
  if (!closing_ || recv_.in_flight() || send_.in_flight()) return;
  stack_.reactor().CloseFd(fd_);
  delete this;
}

SendBuffer KernelUdp::NewSendBuffer(size_t bytes) {
  return SendBuffer::Allocate(stack_.pool(), bytes, stack_.pool().frame_size());
}

}  // namespace weir::netstack
