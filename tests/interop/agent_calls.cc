#include "tests/interop/agent_calls.h"

#include <linux/sockios.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "runtime/core/sleep.h"
#include "tests/interop/datagram_posix.h"
#include "tests/interop/poll_wait.h"
#include "tests/interop/tcp_posix.h"

namespace weir::interop {
namespace {

int ReadSysctl(const char* path, int otherwise) {
  std::ifstream file(path);
  int value = otherwise;
  return file >> value ? value : otherwise;
}

using Sockets = std::span<const std::shared_ptr<PosixSocket>>;

Task<absl::Status> Changed(Sockets sockets) { co_return co_await PollWait(sockets); }

// Until something changes, or `deadline_ns` (kNever: none): kDeadlineExceeded.
Task<absl::Status> WaitChange(Sockets sockets, Nanos now_ns, Nanos deadline_ns) {
  if (deadline_ns == kNever) co_return co_await PollWait(sockets);
  if (deadline_ns <= now_ns) co_return absl::DeadlineExceededError("poll");
  co_return co_await WithTimeout(Changed(sockets), std::chrono::nanoseconds(deadline_ns - now_ns));
}

Nanos Deadline(Nanos now_ns, Nanos timeout_ns) { return timeout_ns == kNever ? kNever : now_ns + timeout_ns; }

// Tries until `attempt` gives something else than -EAGAIN, or the time is over: then -EAGAIN; -EINTR: cancelled.
template <typename Attempt>
Task<int64_t> Retry(Shard& shard, std::shared_ptr<PosixSocket> socket, Nanos timeout_ns, Attempt attempt) {
  const Nanos deadline_ns = Deadline(shard.now_ns(), timeout_ns);
  for (;;) {
    const int64_t rc = attempt();
    if (rc != -EAGAIN || timeout_ns == 0) co_return rc;
    const absl::Status changed = co_await WaitChange({&socket, 1}, shard.now_ns(), deadline_ns);
    if (absl::IsDeadlineExceeded(changed)) co_return -EAGAIN;
    if (!changed.ok()) co_return -EINTR;
  }
}

CallResult Error(int error) { return {.rc = -error}; }

}  // namespace

AgentCalls::AgentCalls(Shard& shard)
    : stack_{.shard = shard,
             .inet = shard.xdp()->inet(),
             .tcp_bound = {},
             .rmem_max = ReadSysctl("/proc/sys/net/core/rmem_max", 212992),
             .wmem_max = ReadSysctl("/proc/sys/net/core/wmem_max", 212992),
             .rmem_default = ReadSysctl("/proc/sys/net/core/rmem_default", 212992),
             .wmem_default = ReadSysctl("/proc/sys/net/core/wmem_default", 212992)},
      handles_(kMaxHandles) {}

AgentCalls::SocketPtr AgentCalls::Find(int handle) const {
  if (handle < 0 || static_cast<size_t>(handle) >= handles_.size()) return nullptr;
  return handles_[static_cast<size_t>(handle)];
}

int AgentCalls::Insert(SocketPtr socket) {
  for (size_t handle = kFirstHandle; handle < handles_.size(); ++handle) {
    if (handles_[handle] != nullptr) continue;
    handles_[handle] = std::move(socket);
    return static_cast<int>(handle);
  }
  return -EMFILE;
}

// inet_create, inet6_create.
int AgentCalls::Open(int domain, int type, int protocol) {
  const int kind = type & 15;
  if ((type & ~(15 | SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) return -EINVAL;
  if (domain < 0 || domain >= AF_MAX) return -EAFNOSUPPORT;
  if (kind < 0 || kind > SOCK_PACKET) return -EINVAL;
  if (domain != AF_INET && domain != AF_INET6) return -EAFNOSUPPORT;
  if (protocol < 0 || protocol >= IPPROTO_MAX) return -EINVAL;
  SocketPtr socket;
  if (kind == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP)) {
    socket = std::make_shared<TcpPosix>(stack_, domain);
  } else if (kind == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP)) {
    socket = std::make_shared<DatagramPosix>(stack_, domain, IPPROTO_UDP);
  } else if (kind == SOCK_DGRAM && protocol == (domain == AF_INET ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6})) {
    socket = std::make_shared<DatagramPosix>(stack_, domain, protocol);
  } else {
    return kind == SOCK_STREAM || kind == SOCK_DGRAM ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT;
  }
  socket->set_nonblock((type & SOCK_NONBLOCK) != 0);
  if ((type & SOCK_CLOEXEC) != 0) socket->Fcntl(2 /* F_SETFD */, 1 /* FD_CLOEXEC */);
  return Insert(std::move(socket));
}

Task<CallResult> AgentCalls::Call(const Request& request, std::span<std::byte> out) {
  const auto op = static_cast<Op>(request.op);
  if (op == Op::kSocket) co_return CallResult{.rc = Open(request.a1, request.a2, request.a3)};
  if (op == Op::kReset) {
    Reset();
    co_return CallResult{};
  }
  if (op == Op::kPoll) co_return co_await PollCall(request, out);
  if (op < Op::kSocket || op > Op::kGetSockName) co_return Error(ENOSYS);
  SocketPtr socket = Find(request.h);
  if (socket == nullptr) co_return Error(EBADF);
  CallResult result;
  if (Immediate(request, *socket, out, &result)) co_return result;
  switch (op) {
    case Op::kAccept:
      co_return co_await Accept(std::move(socket));
    case Op::kConnect:
      co_return co_await Connect(std::move(socket), request);
    case Op::kRecv:
      co_return co_await Recv(std::move(socket), request, out);
    case Op::kSend:
      co_return co_await Send(std::move(socket), request);
    default:
      socket.reset();
      co_return co_await Close(request);
  }
}

// The calls that never wait. False: none of them.
bool AgentCalls::Immediate(const Request& request, PosixSocket& socket, std::span<std::byte> out, CallResult* result) {
  switch (static_cast<Op>(request.op)) {
    case Op::kBind:
      result->rc = socket.Bind(request.address);
      return true;
    case Op::kListen:
      result->rc = socket.Listen(request.a1);
      return true;
    case Op::kShutdown:
      result->rc = socket.Shutdown(request.a1);
      return true;
    case Op::kGetSockOpt: {
      OptionValue value;
      result->rc = socket.GetOption(request.a1, request.a2, request.a3, &value);
      if (result->rc < 0) return true;
      result->length = value.length;
      std::copy_n(value.bytes.begin(), value.length, out.begin());
      return true;
    }
    case Op::kSetSockOpt:
      result->rc = socket.SetOption(request.a1, request.a2, request.data);
      return true;
    case Op::kFcntl:
      result->rc = socket.Fcntl(request.a1, request.a2);
      return true;
    case Op::kIoctl: {
      int value = 0;
      result->rc = socket.Ioctl(static_cast<unsigned>(request.a1), &value);
      result->length = sizeof value;
      std::memcpy(out.data(), &value, sizeof value);
      return true;
    }
    case Op::kGetSockName:
      result->address = socket.SockName();
      return true;
    default:
      return false;
  }
}

Task<CallResult> AgentCalls::Accept(SocketPtr socket) {
  CallResult result;
  SocketPtr connection;
  result.rc = co_await Retry(stack_.shard, socket, socket->nonblock() ? 0 : socket->receive_timeout_ns(),
                             [&]() -> int64_t { return socket->Accept(&connection, &result.address); });
  if (result.rc >= 0) result.rc = Insert(std::move(connection));
  if (result.rc < 0) result.address.length = 0;
  co_return result;
}

Task<CallResult> AgentCalls::Connect(SocketPtr socket, const Request& request) {
  CallResult result{.rc = socket->Connect(request.address)};
  if ((result.rc != -EINPROGRESS && result.rc != -EALREADY) || socket->nonblock()) co_return result;
  const int64_t rc = co_await Retry(stack_.shard, socket, socket->send_timeout_ns(),
                                    [&]() -> int64_t { return socket->FinishConnect(); });
  if (rc != -EAGAIN) result.rc = rc;
  co_return result;
}

Task<CallResult> AgentCalls::Recv(SocketPtr socket, const Request& request, std::span<std::byte> out) {
  CallResult result;
  size_t done = 0;
  const size_t length = std::min(static_cast<size_t>(static_cast<uint32_t>(request.a1)), kMaxData - kMaxAddress);
  const bool now = socket->nonblock() || (request.a2 & MSG_DONTWAIT) != 0;
  result.rc = co_await Retry(stack_.shard, socket, now ? 0 : socket->receive_timeout_ns(), [&] {
    return socket->Recv(out.first(length), request.a2, &done, &result.length, &result.address);
  });
  // What came before the time was over, or the call was stopped.
  if (result.rc == -EAGAIN && done > 0) result.rc = static_cast<int64_t>(done);
  if (result.rc < 0) result.length = result.address.length = 0;
  co_return result;
}

Task<CallResult> AgentCalls::Send(SocketPtr socket, const Request& request) {
  CallResult result;
  size_t done = 0;
  const bool now = socket->nonblock() || (request.a1 & MSG_DONTWAIT) != 0;
  result.rc = co_await Retry(stack_.shard, socket, now ? 0 : socket->send_timeout_ns(), [&] {
    return socket->Send(request.data, request.a1, &done, request.address);
  });
  if (result.rc == -EAGAIN && done > 0) result.rc = static_cast<int64_t>(done);
  co_return result;
}

// The handle is free at once. Calls that wait on the socket go on, as those of threads do; the last of them closes it.
Task<CallResult> AgentCalls::Close(const Request& request) {
  SocketPtr socket = std::move(handles_[static_cast<size_t>(request.h)]);
  if (socket.use_count() > 1) co_return CallResult{};
  const bool lingers = socket->lingers() && socket->linger_s() > 0;
  const Nanos bound_ns = lingers ? Nanos{socket->linger_s()} * kSecond : 0;
  static_cast<void>(co_await Retry(stack_.shard, socket, bound_ns, [&]() -> int64_t { return socket->Close(); }));
  co_return CallResult{};
}

void AgentCalls::Reset() {
  for (SocketPtr& handle : handles_) {
    if (handle != nullptr) std::exchange(handle, nullptr)->Abort();
  }
}

Task<CallResult> AgentCalls::PollCall(const Request& request, std::span<std::byte> out) {
  const auto count = static_cast<size_t>(std::max(request.a1, 0));
  if (request.a1 < 0 || request.dlen < count * sizeof(pollfd)) co_return Error(EINVAL);
  std::vector<pollfd> fds(count);
  std::vector<SocketPtr> sockets(count);
  if (count > 0) std::memcpy(fds.data(), request.data.data(), count * sizeof(pollfd));
  for (size_t i = 0; i < count; ++i) sockets[i] = fds[i].fd < 0 ? nullptr : Find(fds[i].fd);
  const auto look = [&] {
    int64_t ready = 0;
    for (size_t i = 0; i < count; ++i) {
      pollfd& fd = fds[i];
      fd.revents = 0;
      if (fd.fd < 0) continue;
      constexpr short kAlways = POLLERR | POLLHUP;
      fd.revents = sockets[i] == nullptr ? short{POLLNVAL}
                                         : static_cast<short>(sockets[i]->Poll() & (fd.events | kAlways));
      ready += fd.revents != 0;
    }
    return ready;
  };
  const Nanos timeout_ns = request.a2 < 0 ? kNever : request.a2 * kMillisecond;
  const Nanos deadline_ns = Deadline(stack_.shard.now_ns(), timeout_ns);
  CallResult result{.rc = look()};
  while (result.rc == 0 && timeout_ns != 0) {
    const absl::Status changed = co_await WaitChange(sockets, stack_.shard.now_ns(), deadline_ns);
    result.rc = look();
    if (changed.ok()) continue;
    if (!absl::IsDeadlineExceeded(changed)) result.rc = -EINTR;
    break;
  }
  result.length = request.dlen;
  std::copy(request.data.begin(), request.data.end(), out.begin());
  if (count > 0) std::memcpy(out.data(), fds.data(), count * sizeof(pollfd));
  co_return result;
}

}  // namespace weir::interop
