#include "netstack/socket/inet_tcp.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_keepalive.h"
#include "netstack/tcp/tcp_memory.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {

namespace {

absl::Status CannotSet(int error, uint64_t value) {
  return runtime::ErrnoStatus(error, absl::StrCat("cannot set a socket option to ", value));
}

}  // namespace

InetTcp::InetTcp(TcpContext& tcp, runtime::Scheduler& scheduler) : tcp_(tcp), scheduler_(scheduler) {}

InetTcp::InetTcp(TcpSock& sock, runtime::Scheduler& scheduler) : tcp_(sock.context), scheduler_(scheduler) {
  Attach(sock);
}

void InetTcp::Attach(TcpSock& sock) {
  sock_ = &sock;
  sock.owner = this;
  sock.on_ready = &OnReady;
}

absl::Status InetTcp::Error() const {
  return runtime::ErrnoStatus(sock_->error, absl::StrCat("connection with ", peer().ToString()));
}

void InetTcp::OnReady(ReadySock& sock, uint8_t) {
  auto& self = *static_cast<InetTcp*>(sock.owner);
  if (self.connect_ != nullptr && self.TryConnect(*self.connect_)) std::exchange(self.connect_, nullptr)->Wake();
  if (self.recv_ != nullptr && self.TryRecv(*self.recv_)) std::exchange(self.recv_, nullptr)->Wake();
  if (self.send_ != nullptr && self.TrySend(*self.send_)) std::exchange(self.send_, nullptr)->Wake();
}

bool InetTcp::StartConnect(ConnectOp& op) {
  int error = 0;
  TcpSock* sock = TcpConnect(tcp_, op.peer, scheduler_.now_ns(), &error, op.options);
  if (sock == nullptr) {
    op.status = runtime::ErrnoStatus(error, absl::StrCat("cannot connect to ", op.peer.ToString()));
    return true;
  }
  Attach(*sock);
  if (sock->fast_open.early) return true;
  connect_ = &op;
  return false;
}

bool InetTcp::TryConnect(ConnectOp& op) {
  if (sock_->state == TcpState::kSynSent || sock_->state == TcpState::kSynReceived) return false;
  if (sock_->error != 0) op.status = Error();
  return true;
}

void InetTcp::CancelConnect(ConnectOp& op) {
  connect_ = nullptr;
  op.status = absl::CancelledError("connect cancelled");
  op.Wake();
}

bool InetTcp::StartRecv(RecvOp& op) {
  WEIR_CHECK(recv_ == nullptr);
  if (TryRecv(op)) return true;
  recv_ = &op;
  sock_->reader = &op.reader;
  if (sock_->fast_open.deferred) tcp_.WantOutput(*sock_);  // nothing will come before the SYN
  return false;
}

// Data before errors, errors before the FIN: as tcp_recvmsg.
bool InetTcp::TryRecv(RecvOp& op) {
  if (op.reader.copied > 0) {
    // Straight to the caller's memory, while it waited.
  } else if (!sock_->receive_queue.empty()) {
    if (op.reader.into.empty()) {
      TcpRecvmsg(*sock_, op.MakeBuffer());
    } else {
      op.reader.copied = TcpRecvmsg(*sock_, op.reader.into);
    }
  } else if (sock_->error != 0) {
    op.status = Error();
  } else if (!sock_->rcv.fin && sock_->state != TcpState::kClosed) {
    return false;
  }
  sock_->reader = nullptr;
  TcpCleanupRbuf(*sock_);
  return true;
}

void InetTcp::CancelRecv(RecvOp& op) {
  recv_ = nullptr;
  // What was copied to the reader's memory is received, stop or not.
  if (op.reader.copied == 0) op.status = absl::CancelledError("receive cancelled");
  sock_->reader = nullptr;
  op.Wake();
}

bool InetTcp::StartSend(SendOp& op) {
  WEIR_CHECK(send_ == nullptr);
  if (TrySend(op)) return true;
  send_ = &op;
  return false;
}

bool InetTcp::TrySend(SendOp& op) {
  if (sock_->error != 0) {
    op.status = Error();
    return true;
  }
  if (sock_->send_shut || sock_->state == TcpState::kClosed) {
    op.status = runtime::ErrnoStatus(EPIPE, absl::StrCat("connection with ", peer().ToString()));
    return true;
  }
  if (op.has_frames) return TcpSendFrames(*sock_, op.frames);
  return TcpSendmsg(*sock_, op.memory.from, &op.memory.sent);
}

void InetTcp::CancelSend(SendOp& op) {
  send_ = nullptr;
  op.status = absl::CancelledError("send cancelled");
  op.Wake();
}

absl::Status InetTcp::ShutdownWrite() {
  if (sock_->error != 0) return Error();
  TcpShutdown(*sock_);
  return absl::OkStatus();
}

void InetTcp::Reset() { TcpAbort(*sock_, scheduler_.now_ns()); }

void InetTcp::Close() {
  WEIR_CHECK(recv_ == nullptr && send_ == nullptr && connect_ == nullptr);
  if (sock_ != nullptr) TcpClose(*sock_, scheduler_.now_ns());
  delete this;
}

SendBuffer InetTcp::NewSendBuffer(size_t bytes) {
  // The shard's last frames are for receiving and acknowledging; a sender gets none of them.
  if (!TcpMakeRoom(tcp_, sock_, TcpSendReserve(tcp_.ip.pool))) return {};
  return SendBuffer::Allocate(tcp_.ip.pool, bytes, sock_->snd.mss);
}

absl::Status InetTcp::SetTcpOption(TcpSockOption option, uint64_t value) {
  const int error = netstack::TcpSetOption(*sock_, option, value);
  return error == 0 ? absl::OkStatus() : CannotSet(error, value);
}

absl::Status InetTcp::SetKeepAlive(const std::optional<TcpKeepAlive>& times) {
  const TcpKeepAlive set = times.value_or(TcpKeepAlive());
  if (!set.valid()) return runtime::ErrnoStatus(EINVAL, "cannot set SO_KEEPALIVE");
  const auto idle_s = static_cast<uint32_t>(times.has_value() ? set.idle_s : 0);
  TcpSetKeepAlive(*sock_, idle_s, static_cast<uint32_t>(set.interval_s), static_cast<uint8_t>(set.count),
                  scheduler_.now_ns());
  return absl::OkStatus();
}

absl::Status InetTcp::SetCongestionControl(std::string_view name) {
  if (TcpSetCongestionControl(*sock_, name)) return absl::OkStatus();
  return runtime::ErrnoStatus(ENOENT, "cannot set TCP_CONGESTION");
}

absl::StatusOr<uint64_t> InetTcp::GetTcpOption(TcpSockOption option) const { return TcpGetOption(*sock_, option); }

absl::StatusOr<std::optional<TcpKeepAlive>> InetTcp::GetKeepAlive() const { return TcpGetKeepAlive(*sock_); }

absl::StatusOr<std::string> InetTcp::GetCongestionControl() const {
  return std::string(TcpCongestionControlName(sock_->congestion.control()));
}

absl::StatusOr<TcpInfo> InetTcp::Info() const { return TcpGetInfo(*sock_); }

absl::StatusOr<TcpMemInfo> InetTcp::MemInfo() const { return TcpGetMemInfo(*sock_); }

// What this side did itself stays what it is.
absl::Status InetTcp::TakeError() {
  if (sock_->error == ECONNABORTED) return Error();
  int error = std::exchange(sock_->error, int16_t{0});
  if (error == 0) error = std::exchange(sock_->soft_error, int16_t{0});
  if (error == 0) return absl::OkStatus();
  return runtime::ErrnoStatus(error, absl::StrCat("connection with ", peer().ToString()));
}

absl::Status InetListener::SetTcpOption(TcpSockOption option, uint64_t value) {
  if (!TcpOptionValid(option, value)) return CannotSet(EINVAL, value);
  if (option == TcpSockOption::kDeferAccept) {
    sock_.defer_accept = TcpSecsToRetrans(value);
  } else {
    sock_.inherited.options[static_cast<size_t>(option)] = TcpOptionValue(tcp_.settings, option, value);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> InetListener::GetTcpOption(TcpSockOption option) const {
  if (option == TcpSockOption::kDeferAccept) return TcpRetransToSecs(sock_.defer_accept);
  const std::optional<uint64_t>& set = sock_.inherited.options[static_cast<size_t>(option)];
  const bool hosts = set == 0 && (option == TcpSockOption::kTtl || option == TcpSockOption::kFinTimeout ||
                                  option == TcpSockOption::kMaxSegment);
  return set.has_value() && !hosts ? *set : TcpGetOption(TcpSock(tcp_), option);
}

absl::Status InetListener::SetKeepAlive(const std::optional<TcpKeepAlive>& times) {
  if (times.has_value() && !times->valid()) return runtime::ErrnoStatus(EINVAL, "cannot set SO_KEEPALIVE");
  sock_.inherited.keepalive = times;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<TcpKeepAlive>> InetListener::GetKeepAlive() const { return sock_.inherited.keepalive; }

absl::Status InetListener::SetCongestionControl(std::string_view name) {
  const std::optional<TcpCongestionControl> control = TcpCongestionControlByName(name);
  if (!control.has_value()) return runtime::ErrnoStatus(ENOENT, "cannot set TCP_CONGESTION");
  sock_.inherited.congestion = control;
  return absl::OkStatus();
}

absl::StatusOr<std::string> InetListener::GetCongestionControl() const {
  return std::string(TcpCongestionControlName(sock_.inherited.congestion.value_or(tcp_.settings.congestion_control)));
}

int InetListener::Listen(const Endpoint& local, const TcpListenOptions& options) {
  sock_.owner = this;
  sock_.on_ready = &OnReady;
  sock_.fast_open_max = static_cast<uint32_t>(std::max(options.fast_open, 0));
  const int error = TcpListen(tcp_, sock_, local, options.backlog);
  listening_ = error == 0;
  return error;
}

void InetListener::OnReady(ReadySock& sock, uint8_t) {
  auto& self = *static_cast<InetListener*>(sock.owner);
  if (self.accept_ == nullptr) return;
  AcceptOp* op = std::exchange(self.accept_, nullptr);
  if (self.StartAccept(*op)) op->Wake();
}

bool InetListener::StartAccept(AcceptOp& op) {
  WEIR_CHECK(accept_ == nullptr);
  if (TcpSock* sock = TcpAccept(sock_)) {
    op.stream.reset(new InetTcp(*sock, scheduler_));
    return true;
  }
  accept_ = &op;
  return false;
}

void InetListener::CancelAccept(AcceptOp& op) {
  accept_ = nullptr;
  op.status = absl::CancelledError("accept cancelled");
  op.Wake();
}

void InetListener::Close() {
  WEIR_CHECK(accept_ == nullptr);
  if (listening_) TcpUnlisten(tcp_, sock_, scheduler_.now_ns());
  delete this;
}

}  // namespace weir::netstack
