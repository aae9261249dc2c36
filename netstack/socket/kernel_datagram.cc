#include "netstack/socket/kernel_datagram.h"

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {

using runtime::ErrnoStatus;
using runtime::Frame;

namespace {

constexpr Nanos kFirstRetry = 100 * kMicrosecond;
constexpr Nanos kLastRetry = 10 * kMillisecond;

// A failed receive that says nothing about the socket: prepared again.
bool Passing(int32_t result) {
  return result == -ENOBUFS || result == -ECANCELED || result == -EINTR || result == -EAGAIN;
}

}  // namespace

// The memory of a one-shot recvmsg: frames that stay from one datagram to the next until one fills them.
struct KernelDatagram::Large {
  ~Large() {
    for (size_t i = 0; i < count; ++i) runtime::Unref(frames[i]);
  }
  msghdr message{};
  iovec slices[RecvBuffer::kMaxSlices];
  Frame* frames[RecvBuffer::kMaxSlices];
  size_t count = 0;
  uint32_t small = 0;  // datagrams in a row that would have fitted into one frame
};

KernelDatagram::KernelDatagram(KernelStack& stack, int fd, size_t name_space, size_t control_space, Sizes sizes)
    : KernelReceiver(stack), fd_(fd), sizes_(sizes), send_file_(fd) {
  layout_.msg_namelen = static_cast<socklen_t>(name_space);
  layout_.msg_controllen = control_space;
  if (sizes == Sizes::kAny) large_ = std::make_unique<Large>();
  ++stack_.stats().sockets;
}

KernelDatagram::~KernelDatagram() = default;

// ---- receive

void KernelDatagram::ResumeRecv() {
  if (recv_.in_flight() || (linked() && !stalled()) || closing_ || queue_.count() > kResumeFrames) return;
  if (!stack_.MayReceive(*this)) return;
  if (large_ != nullptr) {
    if (!PrepareLarge()) return stack_.WaitForFrames(*this);
    io_uring_prep_recvmsg(stack_.reactor().Prepare(recv_), fd_, &large_->message, MSG_TRUNC);
    return;
  }
  io_uring_sqe* sqe = stack_.reactor().Prepare(recv_);
  io_uring_prep_recvmsg_multishot(sqe, fd_, &layout_, MSG_TRUNC);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = stack_.buffers().group();
}

// False when there is no frame at all; with fewer than a large datagram takes, what does not fit is cut off.
bool KernelDatagram::PrepareLarge() {
  Large& large = *large_;
  while (large.count < RecvBuffer::kMaxSlices && stack_.pool().free_count() > stack_.pool().size() / 8) {
    Frame* frame = stack_.pool().Alloc(/*headroom=*/0);
    if (frame == nullptr) break;
    large.frames[large.count++] = frame;
  }
  if (large.count == 0) return false;
  for (size_t i = 0; i < large.count; ++i) large.slices[i] = {large.frames[i]->base, stack_.pool().frame_size()};
  std::byte* const base = large.frames[0]->base;
  large.slices[0] = {base + header_space(), stack_.pool().frame_size() - header_space()};
  large.message = {};
  large.message.msg_name = base + sizeof(io_uring_recvmsg_out);
  large.message.msg_namelen = layout_.msg_namelen;
  large.message.msg_control = base + sizeof(io_uring_recvmsg_out) + layout_.msg_namelen;
  large.message.msg_controllen = layout_.msg_controllen;
  large.message.msg_iov = large.slices;
  large.message.msg_iovlen = large.count;
  return true;
}

void KernelDatagram::OnRecv(int32_t result, uint32_t flags) {
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    Frame* frame = stack_.buffers().Take(flags);
    if (result < 0 || closing_) {
      runtime::Unref(frame);
    } else {
      Accept(frame, static_cast<size_t>(result));
    }
  } else if (result >= 0 && large_ != nullptr && !closing_) {
    AcceptLarge(static_cast<size_t>(result));
  }
  if (closing_) return MaybeFree();
  if (result < 0 && !Passing(result)) recv_error_ = -result;
  Arrived();
  if ((flags & IORING_CQE_F_MORE) != 0) {
    // The cancel also ends a multishot receive that is to become a one-shot one.
    const bool stop = queue_.count() >= kPauseFrames || large_ != nullptr || stack_.HasTooMuch(*this);
    if (stop && stack_.reactor().Cancel(recv_)) {
      ++stack_.stats().recv_paused;
    }
    return;
  }
  // After an error it is the reader's next call that goes on, so that a lasting one does not spin.
  if (recv_error_ != 0 || closing_) return;
  if (result != -ENOBUFS || stack_.BuffersOrWait(*this)) ResumeRecv();
}

// Queues the datagram in the first `length` bytes of `frame`, or what there is of it.
void KernelDatagram::Accept(Frame* frame, size_t length) {
  auto* out = io_uring_recvmsg_validate(frame->base, static_cast<int>(length), &layout_);
  if (out == nullptr) return runtime::Unref(frame);  // no room for the header: not what a frame's size allows
  if ((out->flags & MSG_TRUNC) != 0) {
    ++stack_.stats().datagrams_truncated;
    if (large_ == nullptr) large_ = std::make_unique<Large>();
  }
  frame->data = static_cast<std::byte*>(io_uring_recvmsg_payload(out, &layout_));
  frame->len = io_uring_recvmsg_payload_length(out, static_cast<int>(length), &layout_);
  out->flags = out->payloadlen - std::min(out->payloadlen, frame->len);
  out->payloadlen = frame->len;
  queue_.PushBack(frame);
}

// Queues the datagram in the frames that it filled; the others stay for the next one.
void KernelDatagram::AcceptLarge(size_t payload) {
  Large& large = *large_;
  size_t room = 0;
  for (size_t i = 0; i < large.count; ++i) room += large.slices[i].iov_len;
  const size_t missing = payload - std::min(payload, room);
  if (missing != 0) ++stack_.stats().datagrams_truncated;
  if (missing != 0 && sizes_ == Sizes::kAny) return;
  payload -= missing;
  *reinterpret_cast<io_uring_recvmsg_out*>(large.frames[0]->base) = {
      .namelen = std::min<uint32_t>(large.message.msg_namelen, layout_.msg_namelen),
      .controllen = static_cast<uint32_t>(large.message.msg_controllen),
      .payloadlen = static_cast<uint32_t>(payload),
      .flags = static_cast<uint32_t>(missing)};
  const bool fits = payload <= large.slices[0].iov_len;
  size_t used = 0;
  do {
    Frame* frame = large.frames[used];
    const iovec& slice = large.slices[used++];
    frame->data = static_cast<std::byte*>(slice.iov_base);
    frame->len = static_cast<uint32_t>(std::min(payload, slice.iov_len));
    payload -= frame->len;
    queue_.PushBack(frame);
  } while (payload > 0);
  std::copy(large.frames + used, large.frames + large.count, large.frames);
  large.count -= used;
  large.small = fits ? large.small + 1 : 0;
  if (sizes_ == Sizes::kMostlySmall && large.small >= kSmallAgain) large_.reset();
}

void KernelDatagram::TakePayload(RecvBuffer& data, size_t payload) {
  do {
    Frame* frame = queue_.PopFront();
    payload -= frame->len;
    if (frame->len > 0) {
      KernelStack::HandOver(*this, frame);
      data.Append(frame, frame->bytes());
    } else {
      runtime::Unref(frame);
    }
  } while (payload > 0);
}

void KernelDatagram::PeekPayload(RecvBuffer& data, size_t payload) {
  for (Frame* frame = queue_.head(); payload > 0; frame = frame->next) {
    runtime::Ref(frame);
    data.Append(frame, frame->bytes());
    payload -= frame->len;
  }
}

// ---- send

void KernelDatagram::StartSend(DatagramSendOp& op, const void* name, socklen_t name_length,
                               std::span<std::byte> control) {
  WEIR_CHECK(send_op_ == nullptr && !closing_);
  send_op_ = &op;
  send_cancelled_ = false;
  const std::span<const iovec> slices = op.buffer.empty() ? op.from : op.buffer.buffers();
  send_message_ = {};
  send_message_.msg_name = const_cast<void*>(name);
  send_message_.msg_namelen = name_length;
  send_message_.msg_iov = const_cast<iovec*>(slices.data());
  send_message_.msg_iovlen = slices.size();
  send_message_.msg_control = control.empty() ? nullptr : control.data();
  send_message_.msg_controllen = control.size();
  send_retry_ns_ = kFirstRetry;
  SubmitSend();
}

void KernelDatagram::SubmitSend() {
  const int flags = MSG_NOSIGNAL | (sizes_ == Sizes::kAny ? MSG_DONTWAIT : 0);
  send_file_.Use(stack_.reactor().fixed_files());
  io_uring_sqe* sqe = stack_.reactor().Prepare(send_);
  io_uring_prep_sendmsg(sqe, fd_, &send_message_, flags);
  send_file_.Name(sqe);
}

void KernelDatagram::CancelSend(DatagramSendOp& op) {
  WEIR_CHECK(send_op_ == &op);
  send_cancelled_ = true;
  if (!send_retry_.armed()) {
    stack_.reactor().Cancel(send_);
    return;
  }
  stack_.scheduler().timers().Cancel(send_retry_);
  FinishSend(absl::CancelledError("Sendmsg cancelled"));
}

void KernelDatagram::OnSend(int32_t result, uint32_t) {
  if (result >= 0) return FinishSend(absl::OkStatus());
  if (send_cancelled_) return FinishSend(absl::CancelledError("Sendmsg cancelled"));
  if (send_file_.FallBack(stack_.reactor().fixed_files(), result)) return SubmitSend();
  if (result == -EAGAIN && !closing_) {
    stack_.scheduler().timers().Arm(send_retry_, SaturatingAdd(stack_.scheduler().now_ns(), send_retry_ns_));
    send_retry_ns_ = std::min(2 * send_retry_ns_, kLastRetry);
    return;
  }
  FinishSend(ErrnoStatus(-result, absl::StrCat("Sendmsg to ", SendTarget())));
}

void KernelDatagram::OnSendRetry(runtime::Timer& timer, Nanos) {
  static_cast<RetryTimer&>(timer).socket.SubmitSend();
}

void KernelDatagram::FinishSend(absl::Status status) {
  DatagramSendOp* op = std::exchange(send_op_, nullptr);
  op->status = std::move(status);
  op->Wake();
  MaybeFree();
}

// ---- end

void KernelDatagram::CloseSocket() {
  WEIR_CHECK(send_op_ == nullptr);
  closing_ = true;
  if (linked()) Unlink();
  queue_.Clear();
  stack_.reactor().Cancel(recv_);
  MaybeFree();
}

void KernelDatagram::MaybeFree() {
  if (!closing_ || recv_.in_flight() || send_.in_flight()) return;
  send_file_.Leave(stack_.reactor().fixed_files());
  stack_.reactor().CloseFd(fd_);
  large_.reset();
  stack_.Leave(*this);
}

}  // namespace weir::netstack
