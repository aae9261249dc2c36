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

InetTcp::InetTcp(TcpSock& sock, runtime::Scheduler& scheduler) : sock_(sock), scheduler_(scheduler) {
  sock.owner = this;
  sock.on_ready = &OnReady;
}

absl::Status InetTcp::Error() const {
  return runtime::ErrnoStatus(sock_.error, absl::StrCat("connection with ", peer().ToString()));
}

void InetTcp::OnReady(ReadySock& sock, uint8_t) {
  auto& self = *static_cast<InetTcp*>(sock.owner);
  if (RecvOp* op = self.reader(); op != nullptr && self.TryRecv(*op)) op->Wake();
  OutputOp* const op = self.output_;
  if (op == nullptr || !self.TryOutput(*op)) return;
  self.WakeOutput(*op);
}

void InetTcp::WakeOutput(OutputOp& op) {
  output_ = nullptr;
  if (op.kind == OutputOp::Kind::kSend && static_cast<SendOp&>(op).then_shutdown) TcpShutdown(sock_);
  op.Wake();
}

bool InetTcp::TryOutput(OutputOp& op) {
  switch (op.kind) {
    case OutputOp::Kind::kConnect:
      return TryConnect(static_cast<ConnectOp&>(op));
    case OutputOp::Kind::kSend:
      return TrySend(static_cast<SendOp&>(op));
    case OutputOp::Kind::kClose:
      return TryClose(static_cast<CloseOp&>(op));
  }
}

bool InetTcp::StartConnect(ConnectOp& op) {
  WEIR_CHECK(output_ == nullptr);
  int error = 0;
  TcpContext& tcp = sock_.context;
  if (TcpConnect(tcp, op.peer, scheduler_.now_ns(), &error, op.options, &sock_) == nullptr) {
    op.status = runtime::ErrnoStatus(error, absl::StrCat("cannot connect to ", op.peer.ToString()));
    return true;
  }
  if (sock_.fast_open.early) return true;
  output_ = &op;
  return false;
}

bool InetTcp::TryConnect(ConnectOp& op) {
  if (sock_.state == TcpState::kSynSent || sock_.state == TcpState::kSynReceived) return false;
  if (sock_.error != 0) op.status = Error();
  return true;
}

void InetTcp::CancelConnect(ConnectOp& op) {
  output_ = nullptr;
  op.status = absl::CancelledError("connect cancelled");
  op.Wake();
}

bool InetTcp::StartRecv(RecvOp& op) {
  WEIR_CHECK(sock_.reader == nullptr);
  if (TryRecv(op)) return true;
  op.reader.call = &op;
  op.reader.peeks = op.flags.peek;
  sock_.reader = &op.reader;
  if (sock_.fast_open.deferred) sock_.context.WantOutput(sock_);  // nothing will come before the SYN
  return false;
}

// Data before errors, errors before the FIN: as tcp_recvmsg.
bool InetTcp::TryRecv(RecvOp& op) {
  if (!op.plain()) [[unlikely]] return TryRecvWithFlags(op);
  if (op.reader.copied > 0) {
    // Straight to the caller's memory, while it waited.
  } else if (!sock_.receive_queue.empty()) {
    if (op.reader.into.empty()) {
      TcpRecvmsg(sock_, op.MakeBuffer());
    } else {
      op.reader.copied = TcpRecvmsg(sock_, op.reader.into);
    }
  } else if (sock_.error != 0) {
    op.status = Error();
  } else if (!sock_.rcv.fin && sock_.state != TcpState::kClosed) {
    return false;
  }
  sock_.reader = nullptr;
  TcpCleanupRbuf(sock_);
  return true;
}

// What was copied to the caller's memory counts, whatever came after it: as tcp_recvmsg.
bool InetTcp::TryRecvWithFlags(RecvOp& op) {
  if (op.flags.peek) {
    op.reader.copied = TcpPeekmsg(sock_, op.reader.into);
  } else {
    op.reader.copied += TcpRecvmsg(sock_, op.reader.into, op.reader.copied);
    TcpCleanupRbuf(sock_);
  }
  const bool ended = sock_.error != 0 || sock_.rcv.fin || sock_.state == TcpState::kClosed;
  if (!ended && (op.flags.wait_all ? !op.full() : op.reader.copied == 0)) return false;
  if (op.reader.copied == 0 && sock_.error != 0) op.status = Error();
  sock_.reader = nullptr;
  return true;
}

void InetTcp::CancelRecv(RecvOp& op) {
  // What was copied to the reader's memory is received, stop or not.
  if (op.reader.copied == 0) op.status = absl::CancelledError("receive cancelled");
  sock_.reader = nullptr;
  op.Wake();
}

bool InetTcp::StartSend(SendOp& op) {
  WEIR_CHECK(output_ == nullptr);
  if (TrySend(op)) return true;
  output_ = &op;
  return false;
}

bool InetTcp::TrySend(SendOp& op) {
  if (sock_.error != 0) {
    op.status = Error();
    return true;
  }
  if (sock_.send_shut || sock_.state == TcpState::kClosed) {
    op.status = runtime::ErrnoStatus(EPIPE, absl::StrCat("connection with ", peer().ToString()));
    return true;
  }
  if (op.has_frames) {
    if (!TcpSendFrames(sock_, op.frames)) return false;
    if (!op.GoOnWithMemory()) return true;
  }
  return TcpSendmsg(sock_, op.memory.from, &op.memory.sent);
}

void InetTcp::CancelSend(SendOp& op) {
  op.status = absl::CancelledError("send cancelled");
  WakeOutput(op);
}

absl::Status InetTcp::ShutdownWrite() {
  if (sock_.error != 0) return Error();
  if (output_ != nullptr && output_->kind == OutputOp::Kind::kSend) {
    static_cast<SendOp*>(output_)->then_shutdown = true;
  } else {
    TcpShutdown(sock_);
  }
  return absl::OkStatus();
}

void InetTcp::Reset() { TcpAbort(sock_, scheduler_.now_ns()); }

bool InetTcp::StartClose(CloseOp& op) {
  WEIR_CHECK(sock_.reader == nullptr && output_ == nullptr);
  TcpLinger(sock_, scheduler_.now_ns());
  if (TryClose(op)) return true;
  output_ = &op;
  return false;
}

bool InetTcp::TryClose(CloseOp& op) {
  if (TcpLingers(sock_)) return false;
  if (sock_.error != 0) op.status = Error();
  return true;
}

void InetTcp::CancelClose(CloseOp& op) {
  output_ = nullptr;
  op.status = absl::CancelledError("close cancelled");
  op.Wake();
}

void InetTcp::Close() {
  WEIR_CHECK(sock_.reader == nullptr && output_ == nullptr);
  TcpSock& sock = sock_;
  const Nanos now_ns = scheduler_.now_ns();
  this->~InetTcp();
  TcpClose(sock, now_ns);
}

SendBuffer InetTcp::NewSendBuffer(size_t bytes) {
  // The shard's last frames are for receiving and acknowledging; a sender gets none of them.
  if (!TcpMakeRoom(sock_.context, &sock_, TcpSendReserve(sock_.context.ip.pool))) return {};
  return SendBuffer::Allocate(sock_.context.ip.pool, bytes, sock_.snd.mss);
}

absl::Status InetTcp::SetTcpOption(TcpSockOption option, uint64_t value) {
  const int error = netstack::TcpSetOption(sock_, option, value);
  return error == 0 ? absl::OkStatus() : CannotSet(error, value);
}

absl::Status InetTcp::SetKeepAlive(const std::optional<TcpKeepAlive>& times) {
  const TcpKeepAlive set = times.value_or(TcpKeepAlive());
  if (!set.valid()) return runtime::ErrnoStatus(EINVAL, "cannot set SO_KEEPALIVE");
  const auto idle_s = static_cast<uint32_t>(times.has_value() ? set.idle_s : 0);
  TcpSetKeepAlive(sock_, idle_s, static_cast<uint32_t>(set.interval_s), static_cast<uint8_t>(set.count),
                  scheduler_.now_ns());
  return absl::OkStatus();
}

absl::Status InetTcp::SetCongestionControl(std::string_view name) {
  if (TcpSetCongestionControl(sock_, name)) return absl::OkStatus();
  return runtime::ErrnoStatus(ENOENT, "cannot set TCP_CONGESTION");
}

absl::StatusOr<uint64_t> InetTcp::GetTcpOption(TcpSockOption option) const { return TcpGetOption(sock_, option); }

absl::StatusOr<std::optional<TcpKeepAlive>> InetTcp::GetKeepAlive() const { return TcpGetKeepAlive(sock_); }

absl::StatusOr<std::string> InetTcp::GetCongestionControl() const {
  return std::string(TcpCongestionControlName(sock_.congestion.control()));
}

absl::StatusOr<TcpInfo> InetTcp::Info() const { return TcpGetInfo(sock_); }

absl::StatusOr<TcpMemInfo> InetTcp::MemInfo() const { return TcpGetMemInfo(sock_); }

// What this side did itself stays what it is.
absl::Status InetTcp::TakeError() {
  if (sock_.error == ECONNABORTED) return Error();
  int error = std::exchange(sock_.error, uint8_t{0});
  if (error == 0) error = std::exchange(sock_.soft_error, uint8_t{0});
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
    op.stream.reset(InetTcp::Make(*sock, scheduler_));
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
