#include "netstack/socket/kernel_listener.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/socket/kernel_stream.h"
#include "netstack/socket/sockaddr.h"
#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {
namespace {

enum class AcceptError { kNow, kLater, kNever };

// What to do after a failed accept, after accept(2): trouble of one connection that ended while it waited, which that
// accept used up; want of something that others must give back; or a socket that cannot accept.
AcceptError Classify(int error) {
  switch (error) {
    case ECANCELED:
    case EAGAIN:
    case EINTR:
    case ECONNABORTED:
      return AcceptError::kNow;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
    case EFAULT:
      return AcceptError::kNever;
    default:  // EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM (a firewall), and the pending errors of the network
      return AcceptError::kLater;
  }
}

}  // namespace

KernelListener::KernelListener(KernelStack& stack, int fd, size_t backlog, std::string name, bool shared)
    : stack_(stack),
      fd_(fd),
      local_(LocalEndpoint(fd)),
      name_(std::move(name)),
      backlog_(std::min(backlog, kMaxBacklog)),
      shared_(shared),
      accepted_(2 * backlog_) {
  ++stack_.stats().sockets;
}

KernelListener::~KernelListener() { --stack_.stats().sockets; }

bool KernelListener::StartAccept(AcceptOp& op) {
  WEIR_CHECK(accept_op_ == nullptr && !closing_);
  if (accepted_.empty() && error_ != 0) {
    op.status = runtime::ErrnoStatus(error_, absl::StrCat("accept on ", name_));
    return true;
  }
  accept_op_ = &op;
  const bool ready = !accepted_.empty();
  if (ready) Deliver(accepted_.Pop());
  ResumeAccept();
  return ready;
}

// Fills the operation that waits; who called it says whether it must be woken.
void KernelListener::Deliver(int fd) {
  std::exchange(accept_op_, nullptr)->stream = StreamBackendPtr(new KernelStream(stack_, fd));
}

// The multishot accept stays: what it brings is queued for the next call.
void KernelListener::CancelAccept(AcceptOp& op) {
  WEIR_CHECK(accept_op_ == &op);
  accept_op_ = nullptr;
  op.status = absl::CancelledError("Accept cancelled");
  op.Wake();
}

void KernelListener::ResumeAccept() {
  if (accept_.in_flight() || retry_.armed() || closing_ || error_ != 0 || accepted_.size() > backlog_ / 2) return;
  io_uring_prep_multishot_accept(stack_.reactor().Prepare(accept_), fd_, nullptr, nullptr, SOCK_CLOEXEC);
}

void KernelListener::OnAccept(int32_t result, uint32_t flags) {
  if (closing_) {
    if (result >= 0) ResetConnection(result);
    return MaybeFree();
  }
  if (result >= 0) {
    if (accept_op_ != nullptr) {
      AcceptOp* op = accept_op_;
      Deliver(result);
      op->Wake();
    } else if (!accepted_.Push(result)) {
      ++stack_.stats().accept_dropped;
      ResetConnection(result);
    }
  } else {
    switch (Classify(-result)) {
      case AcceptError::kNow:
        break;
      case AcceptError::kLater:
        ++stack_.stats().accept_retries;
        stack_.scheduler().timers().Arm(retry_, SaturatingAdd(stack_.scheduler().now_ns(), kAcceptRetry));
        break;
      case AcceptError::kNever:
        error_ = -result;
        if (accept_op_ != nullptr) {
          AcceptOp* op = std::exchange(accept_op_, nullptr);
          op->status = runtime::ErrnoStatus(error_, absl::StrCat("accept on ", name_));
          op->Wake();
        }
        break;
    }
  }
  if ((flags & IORING_CQE_F_MORE) != 0) {
    if (accepted_.size() >= backlog_) stack_.reactor().Cancel(accept_);
    return;
  }
  ResumeAccept();
}

void KernelListener::OnRetry(runtime::Timer& timer, Nanos) { static_cast<RetryTimer&>(timer).listener.ResumeAccept(); }

void KernelListener::ResetConnection(int fd) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  stack_.reactor().CloseFd(fd);
}

void KernelListener::Close() {
  WEIR_CHECK(accept_op_ == nullptr);
  closing_ = true;
  stack_.scheduler().timers().Cancel(retry_);
  while (!accepted_.empty()) ResetConnection(accepted_.Pop());
  // Stops listening at once, so that the port is free again when this returns; the descriptor goes when the accept has
  // ended.
  if (!shared_) shutdown(fd_, SHUT_RDWR);
  stack_.reactor().Cancel(accept_);
  MaybeFree();
}

void KernelListener::MaybeFree() {
  if (accept_.in_flight()) return;
  stack_.reactor().CloseFd(fd_);
  delete this;
}

}  // namespace weir::netstack
