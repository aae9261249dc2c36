#include "netstack/socket/unix_stream.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "netstack/socket/kernel_stack.h"
#include "netstack/socket/unix_binding.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/unique_fd.h"
#include "runtime/core/sleep.h"

namespace weir {

using runtime::ErrnoStatus;
using runtime::UniqueFd;

namespace {

// The kernel does not tell when a full backlog has room again: looked at after 1 ms, then at ever longer intervals.
constexpr Nanos kFirstRetry = kMillisecond;
constexpr Nanos kLastRetry = 64 * kMillisecond;

}  // namespace

Task<absl::StatusOr<UnixStream>> UnixStream::Connect(netstack::KernelStack& stack, UnixAddress peer) {
  const std::string what = absl::StrCat("cannot connect to ", peer.ToString());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) co_return ErrnoStatus(errno, what);
  const UnixAddress::Sockaddr to = peer.ToSockaddr();
  Nanos retry_ns = kFirstRetry;
  while (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to.address), to.length) != 0) {
    if (errno != EAGAIN && errno != EINTR) co_return ErrnoStatus(errno, what);
    absl::Status slept = co_await Sleep(std::chrono::nanoseconds(retry_ns));
    if (!slept.ok()) co_return slept;
    retry_ns = std::min(2 * retry_ns, kLastRetry);
  }
  co_return UnixStream(stack.AdoptStream(fd.Release()));
}

absl::StatusOr<UnixStream::Credentials> UnixStream::peer_credentials() const {
  ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(backend().kernel_fd(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return ErrnoStatus(errno, "SO_PEERCRED");
  }
  return Credentials{credentials.pid, credentials.uid, credentials.gid};
}

absl::StatusOr<UnixListener> UnixListener::Listen(netstack::KernelStack& stack, const UnixAddress& local,
                                                  const Options& options) {
  if (local.is_unnamed() || options.backlog < 1) {
    return absl::InvalidArgumentError("a Unix listener needs an address and a backlog of at least 1");
  }
  const bool share = stack.options().reuse_port;
  auto listening = netstack::UnixListening::Open(local, options.backlog, options.mode, share);
  if (!listening.ok()) return listening.status();
  UniqueFd fd(fcntl((*listening)->fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("cannot listen on ", local.ToString()));
  UnixListener listener;
  listener.local_ = local;
  listener.listening_ = *std::move(listening);
  listener.backend_ = stack.AdoptListener(fd.Release(), options.backlog, local.ToString(), share);
  return listener;
}

}  // namespace weir
