#include "netstack/socket/kernel_stream.h"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/socket/kernel_tcp_options.h"
#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {

using runtime::ErrnoStatus;
using runtime::Frame;

namespace {

size_t Bytes(std::span<const iovec> slices) {
  size_t bytes = 0;
  for (const iovec& slice : slices) bytes += slice.iov_len;
  return bytes;
}

// As TcpConnectOptions::local says. 0 or an errno.
int BindToConnect(int fd, const Endpoint& local, const Endpoint& peer) {
  if (local.ip.is_any() && local.port == 0) return 0;
  if (local.ip != IpAddress() && local.ip.is_v4() != peer.ip.is_v4()) return EINVAL;
  const SocketAddress address(local, FamilyOf(peer.ip));
  const bool set = local.port != 0 ? SetSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1)
                                   : SetSocketOption(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  return set && bind(fd, &address.base, address.length) == 0 ? 0 : errno;
}

}  // namespace

// The kernel tells nobody that a FIN was acknowledged (no event of poll(2) changes), so it is asked: after kFirst, and
// then at intervals that grow by half, up to kMost.
struct KernelStream::Lingering : runtime::Timer, runtime::Recycled {
  static constexpr Nanos kFirst = kMillisecond / 4, kMost = 32 * kMillisecond;

  Lingering(KernelStream& stream, CloseOp& op) : Timer(&OnLinger), stream(stream), op(op) {}
  KernelStream& stream;
  CloseOp& op;
  Nanos interval_ns = kFirst;
};

KernelStream::KernelStream(KernelStack& stack, int fd) : KernelReceiver(stack), fd_(fd), send_file_(fd) {
  ++stack_.stats().sockets;
}

KernelStream::KernelStream(KernelStack& stack, int fd, const Endpoint& peer) : KernelStream(stack, fd) { peer_ = peer; }

KernelStream::~KernelStream() = default;

absl::Status KernelStream::ResetStatus() const {
  return ErrnoStatus(ECONNABORTED, "the connection was reset by this side");
}

// ---- connect

bool KernelStream::StartConnect(ConnectOp& op) {
  WEIR_CHECK(connect_op_ == nullptr && !closing_);
  if (reset_) {
    op.status = ResetStatus();
    return true;
  }
  if (op.options.fast_open && !SetSocketOption(fd_, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1) && errno != EOPNOTSUPP) {
    op.status = ErrnoStatus(errno, "cannot set TCP_FASTOPEN_CONNECT");  // EOPNOTSUPP: tcp_fastopen is off
    return true;
  }
  const auto set = [&](TcpSockOption option, uint64_t value) {
    op.status = SetKernelTcpOption(fd_, option, value);
    return op.status.ok();
  };
  if (!op.options.ForEachOption(set)) return true;
  if (const int error = BindToConnect(fd_, op.options.local, peer_); error != 0) {
    op.status = ErrnoStatus(error, absl::StrCat("cannot connect from ", op.options.local.ToString()));
    return true;
  }
  connect_op_ = &op;
  connect_address_ = SocketAddress(peer_, FamilyOf(peer_.ip));
  io_uring_prep_connect(stack_.reactor().Prepare(connect_), fd_, &connect_address_.base, connect_address_.length);
  return false;
}

void KernelStream::CancelConnect(ConnectOp&) { stack_.reactor().Cancel(connect_); }

void KernelStream::OnConnect(int32_t result, uint32_t) {
  ConnectOp* op = std::exchange(connect_op_, nullptr);
  if (reset_) {
    op->status = ResetStatus();
  } else if (result < 0) {
    // What bind(2) took can only be unavailable because a connection has it.
    const bool taken = result == -EADDRNOTAVAIL && op->options.local.port != 0;
    op->status = ErrnoStatus(taken ? EADDRINUSE : -result, absl::StrCat("cannot connect to ", peer_.ToString()));
  }
  op->Wake();
  MaybeFree();
}

// ---- receive

bool KernelStream::StartRecv(RecvOp& op) {
  WEIR_CHECK(recv_op_ == nullptr && !closing_);
  if (reset_) {
    op.status = ResetStatus();
    return true;
  }
  const bool taken = TakeReceived(op);
  recv_started_ = true;
  ResumeRecv();
  if (!taken) recv_op_ = &op;
  return taken;
}

// The multishot receive belongs to the connection, not to the operation: it stays, and what it brings is queued.
void KernelStream::CancelRecv(RecvOp& op) {
  WEIR_CHECK(recv_op_ == &op);
  recv_op_ = nullptr;
  if (op.reader.copied == 0) op.status = absl::CancelledError("Recvmsg cancelled");  // else it is received, stop or not
  op.Wake();
}

// Prepares the multishot receive when it is not in flight and there is room for what it brings.
void KernelStream::ResumeRecv() {
  if (!recv_started_ || eof_ || recv_error_ != 0 || reset_ || closing_) return;
  if (recv_.in_flight() || (linked() && !stalled())) return;
  if (queue_.count() > kResumeFrames || !stack_.MayReceive(*this)) return;
  io_uring_sqe* sqe = stack_.reactor().Prepare(recv_);
  io_uring_prep_recv_multishot(sqe, fd_, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = stack_.buffers().group();
}

void KernelStream::OnRecv(int32_t result, uint32_t flags) {
  const bool final = (flags & IORING_CQE_F_MORE) == 0;
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    Frame* frame = stack_.buffers().Take(flags);
    if (result > 0) {
      frame->len = static_cast<uint32_t>(result);
      Queue(frame);
    } else {
      runtime::Unref(frame);
    }
  }
  if (closing_ || reset_) {
    if (!queue_.empty()) {
      ResetOnClose();
      queue_.Clear();
    }
    return MaybeFree();
  }
  if (result == 0) {
    eof_ = true;
  } else if (result < 0 && result != -ENOBUFS && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    recv_error_ = -result;
  }
  if (recv_op_ != nullptr && TakeReceived(*recv_op_)) std::exchange(recv_op_, nullptr)->Wake();
  if (!final) {
    const bool stop = queue_.count() >= kPauseFrames || stack_.HasTooMuch(*this);
    if (stop && stack_.reactor().Cancel(recv_)) ++stack_.stats().recv_paused;
    return;
  }
  if (result != -ENOBUFS || stack_.BuffersOrWait(*this)) ResumeRecv();
}

// Queues `frame`, of which it takes over the reference. While the reader is behind, what fits behind the last bytes is
// copied there, so that many small segments do not hold a frame each (tcp_try_coalesce).
void KernelStream::Queue(Frame* frame) {
  Frame* last = queue_.tail();
  if (last == nullptr || last->tailroom() < frame->len) return queue_.PushBack(frame);
  std::memcpy(last->data + last->len, frame->data, frame->len);
  last->len += frame->len;
  stack_.stats().copied_bytes += frame->len;
  runtime::Unref(frame);
}

// Completes `op` if there is something for it: data first, then how it ended.
bool KernelStream::TakeReceived(RecvOp& op) {
  if (!op.plain()) [[unlikely]] return TakeIntoMemory(op);
  if (queue_.empty()) {
    if (recv_error_ != 0) {
      op.status = ErrnoStatus(recv_error_, "Recvmsg");
      return true;
    }
    return eof_;
  }
  if (!op.reader.into.empty()) {
    op.reader.copied = CopyReceived(op.reader.into, 0);
    return true;
  }
  RecvBuffer& buffer = op.MakeBuffer();
  while (!queue_.empty() && !buffer.full()) {
    Frame* frame = queue_.PopFront();
    KernelStack::HandOver(*this, frame);
    buffer.Append(frame, frame->bytes());
  }
  return true;
}

// The same with flags. What was copied counts, whatever came after it.
bool KernelStream::TakeIntoMemory(RecvOp& op) {
  if (op.flags.peek) {
    op.reader.copied = PeekReceived(op.reader.into);
    stack_.stats().copied_bytes += op.reader.copied;
  } else {
    op.reader.copied += CopyReceived(op.reader.into, op.reader.copied);
  }
  const bool ended = eof_ || recv_error_ != 0;
  if (!ended && (op.flags.wait_all ? !op.full() : op.reader.copied == 0)) return false;
  if (op.reader.copied == 0 && recv_error_ != 0) op.status = ErrnoStatus(recv_error_, "Recvmsg");
  return true;
}

size_t KernelStream::CopyReceived(std::span<const iovec> into, size_t skip) {
  size_t copied = 0;
  for (const iovec& slice : into) {
    if (skip >= slice.iov_len) {
      skip -= slice.iov_len;
      continue;
    }
    size_t filled = std::exchange(skip, 0);
    while (filled < slice.iov_len && !queue_.empty()) {
      Frame* frame = queue_.head();
      const size_t n = std::min<size_t>(slice.iov_len - filled, frame->len);
      std::memcpy(static_cast<std::byte*>(slice.iov_base) + filled, frame->data, n);
      filled += n;
      copied += n;
      frame->Pull(static_cast<uint32_t>(n));
      if (frame->len == 0) runtime::Unref(queue_.PopFront());
    }
  }
  stack_.stats().copied_bytes += copied;
  return copied;
}

size_t KernelStream::PeekReceived(std::span<const iovec> into) const {
  size_t copied = 0;
  std::span<const std::byte> bytes;
  const Frame* next = queue_.head();
  for (const iovec& slice : into) {
    size_t filled = 0;
    while (filled < slice.iov_len && (!bytes.empty() || next != nullptr)) {
      if (bytes.empty()) {
        bytes = next->bytes();
        next = next->next;
      }
      const size_t n = std::min(slice.iov_len - filled, bytes.size());
      std::memcpy(static_cast<std::byte*>(slice.iov_base) + filled, bytes.data(), n);
      bytes = bytes.subspan(n);
      filled += n;
    }
    copied += filled;
  }
  return copied;
}

// ---- send

bool KernelStream::StartSend(SendOp& op) {
  WEIR_CHECK(send_op_ == nullptr && !closing_);
  const size_t bytes = op.has_frames ? op.frames.size() : Bytes(op.memory.from);
  if (reset_) {
    op.status = ResetStatus();
  } else if (write_shut_ || shutdown_wanted_) {
    op.status = ErrnoStatus(EPIPE, "Sendmsg after ShutdownWrite");
  }
  if (!op.status.ok() || bytes == 0) return true;
  send_op_ = &op;
  send_cancelled_ = false;
  SubmitSend();
  return false;
}

// Sends what is left: frames as they lie in the operation's chain, or the next slices of the caller's memory.
void KernelStream::SubmitSend() {
  const std::span<const iovec> slices = send_op_->has_frames ? send_op_->frames.buffers() : CallersSlices();
  // WAITALL: the kernel itself goes on after a short write, as room comes.
  // MORE: the caller's memory follows the frames, and shares segments with them.
  const int flags = MSG_NOSIGNAL | MSG_WAITALL | (send_op_->has_more ? MSG_MORE : 0);
  send_file_.Use(stack_.reactor().fixed_files());
  const bool zero_copy = ZeroCopyPays();
  sending_ = zero_copy ? &NewZeroCopySend() : &send_;
  io_uring_sqe* sqe = stack_.reactor().Prepare(*sending_);
  if (slices.size() == 1 && !zero_copy) {  // the usual case; the kernel then has no header and no array to copy in
    io_uring_prep_send(sqe, fd_, slices.front().iov_base, slices.front().iov_len, flags);
  } else {
    message_ = {};
    message_.msg_iov = const_cast<iovec*>(slices.data());
    message_.msg_iovlen = slices.size();
    io_uring_prep_sendmsg(sqe, fd_, &message_, flags);
    if (zero_copy) {
      sqe->opcode = IORING_OP_SENDMSG_ZC;
      sqe->ioprio = IORING_SEND_ZC_REPORT_USAGE;
    }
  }
  send_file_.Name(sqe);
}

// What is left of the caller's memory, as much as one sendmsg takes.
std::span<const iovec> KernelStream::CallersSlices() {
  const SendOp::Memory& memory = send_op_->memory;
  if (memory.from.size() == 1 && memory.sent == 0) return memory.from;
  size_t skip = memory.sent;
  size_t count = 0;
  for (const iovec& slice : memory.from) {
    if (skip >= slice.iov_len) {
      skip -= slice.iov_len;
      continue;
    }
    if (count == kSendSlices) break;
    slices_[count++] = {static_cast<std::byte*>(slice.iov_base) + skip, slice.iov_len - skip};
    skip = 0;
  }
  return {slices_, count};
}

void KernelStream::CancelSend(SendOp& op) {
  WEIR_CHECK(send_op_ == &op);
  send_cancelled_ = true;
  stack_.reactor().Cancel(*sending_);
}

void KernelStream::OnSend(int32_t result, uint32_t) {
  if (result > 0) {
    const auto n = static_cast<size_t>(result);
    if (send_op_->has_frames) {
      send_op_->frames.Consume(n);
    } else {
      send_op_->memory.sent += n;
    }
  }
  GoOnSending(result);
}

// After a send that gave `result`, with what it sent taken off the operation.
void KernelStream::GoOnSending(int32_t result) {
  SendOp& op = *send_op_;
  const bool done = op.has_frames ? op.frames.empty() : op.memory.sent == Bytes(op.memory.from);
  if (done && !op.GoOnWithMemory()) return FinishSend(absl::OkStatus());
  if (reset_) return FinishSend(ResetStatus());
  if (send_cancelled_) return FinishSend(absl::CancelledError("Sendmsg cancelled"));
  if (result >= 0 || result == -EINTR || result == -EAGAIN ||
      send_file_.FallBack(stack_.reactor().fixed_files(), result) || ZeroCopyRefused(result)) {
    return SubmitSend();
  }
  FinishSend(ErrnoStatus(-result, "Sendmsg"));
}

void KernelStream::FinishSend(absl::Status status) {
  SendOp* op = std::exchange(send_op_, nullptr);
  op->status = std::move(status);
  op->Wake();
  // Nobody is told how this ends, as with shutdown(2) itself: the peer's view comes with the next receive.
  if (std::exchange(shutdown_wanted_, false) && !reset_) {
    write_shut_ = true;
    shutdown(fd_, SHUT_WR);
  }
  MaybeFree();
}

// ---- ends

absl::Status KernelStream::ShutdownWrite() {
  if (reset_) return ResetStatus();
  if (write_shut_ || shutdown_wanted_) return absl::OkStatus();
  if (send_op_ != nullptr) {
    shutdown_wanted_ = true;
    return absl::OkStatus();
  }
  if (shutdown(fd_, SHUT_WR) != 0) return ErrnoStatus(errno, "ShutdownWrite");
  write_shut_ = true;
  return absl::OkStatus();
}

// With SO_LINGER 0 the close sends RST and drops what is queued.
void KernelStream::ResetOnClose() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void KernelStream::Reset() {
  if (reset_ || closing_) return;
  // Asked for while there is a descriptor.
  local();
  peer();
  reset_ = true;
  ResetOnClose();
  queue_.Clear();
  if (linked()) Unlink();
  if (recv_op_ != nullptr) {
    RecvOp* op = std::exchange(recv_op_, nullptr);
    if (op->reader.copied == 0) op->status = ResetStatus();
    op->Wake();
  }
  stack_.reactor().Cancel(connect_);
  stack_.reactor().Cancel(recv_);
  if (send_op_ != nullptr) stack_.reactor().Cancel(*sending_);
  MaybeFree();
}

// close(2) of a socket with SO_LINGER would keep the whole shard waiting; this is what it does (__tcp_close), in steps.
bool KernelStream::StartClose(CloseOp& op) {
  WEIR_CHECK(recv_op_ == nullptr && send_op_ == nullptr && connect_op_ == nullptr && lingering_ == nullptr);
  int unread = 0;
  if (!reset_ && (!queue_.empty() || (ioctl(fd_, SIOCINQ, &unread) == 0 && unread > 0))) Reset();
  if (reset_) {
    op.status = ResetStatus();
    return true;
  }
  if (linked()) Unlink();
  write_shut_ = true;
  shutdown(fd_, SHUT_RDWR);  // ENOTCONN: it is over already
  if (TryClose(op)) return true;
  lingering_ = std::make_unique<Lingering>(*this, op);
  stack_.scheduler().timers().Arm(*lingering_, SaturatingAdd(stack_.scheduler().now_ns(), Lingering::kFirst));
  return false;
}

bool KernelStream::TryClose(CloseOp& op) {
  const absl::StatusOr<TcpInfo> info = KernelTcpInfo(fd_);
  if (info.ok() && (info->state == TcpState::kFinWait1 || info->state == TcpState::kClosing ||
                    info->state == TcpState::kLastAck)) {
    return false;
  }
  op.status = info.ok() ? TakeError() : info.status();
  return true;
}

void KernelStream::OnLinger(runtime::Timer& timer, Nanos now_ns) {
  auto& lingering = static_cast<Lingering&>(timer);
  KernelStream& self = lingering.stream;
  if (!self.TryClose(lingering.op)) {
    lingering.interval_ns = std::min(lingering.interval_ns * 3 / 2, Lingering::kMost);
    return self.stack_.scheduler().timers().Arm(timer, SaturatingAdd(now_ns, lingering.interval_ns));
  }
  CloseOp& op = lingering.op;
  self.lingering_.reset();
  op.Wake();
}

void KernelStream::CancelClose(CloseOp& op) {
  stack_.scheduler().timers().Cancel(*lingering_);
  lingering_.reset();
  op.status = absl::CancelledError("close cancelled");
  op.Wake();
}

void KernelStream::Close() {
  WEIR_CHECK(recv_op_ == nullptr && send_op_ == nullptr && connect_op_ == nullptr && lingering_ == nullptr);
  closing_ = true;
  if (linked()) Unlink();
  // The kernel resets when its own receive queue is not empty at close (RFC 9293 §3.6.1); part of that queue is here.
  if (!queue_.empty() && fd_ >= 0) ResetOnClose();
  queue_.Clear();
  stack_.reactor().Cancel(recv_);
  MaybeFree();
}

// Gives the descriptor back when nothing is in flight after a reset or close; the object too, after a close.
void KernelStream::MaybeFree() {
  if (!(closing_ || reset_) || connect_.in_flight() || recv_.in_flight() || send_op_ != nullptr) return;
  if (fd_ >= 0) {
    send_file_.Leave(stack_.reactor().fixed_files());
    stack_.reactor().CloseFd(std::exchange(fd_, -1));
  }
  if (!closing_) return;
  LeaveZeroCopySends();
  stack_.Leave(*this);
}

Endpoint KernelStream::local() const {
  if (local_.port == 0 && fd_ >= 0) local_ = LocalEndpoint(fd_);
  return local_;
}

Endpoint KernelStream::peer() const {
  if (peer_.port == 0 && fd_ >= 0) peer_ = PeerEndpoint(fd_);
  return peer_;
}

SendBuffer KernelStream::NewSendBuffer(size_t bytes) {
  return SendBuffer::Allocate(stack_.pool(), bytes, stack_.pool().frame_size());
}

}  // namespace weir::netstack
