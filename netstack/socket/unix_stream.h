// UnixStream and UnixListener: stream sockets between processes of one machine (unix(7)), always the kernel's, whatever
// the shard's stack is. Sending and receiving are Stream's (stream.h).
//
//   absl::StatusOr<weir::UnixListener> listener = shard.ListenUnix(*weir::UnixAddress::Parse("/run/app.sock"));
//   absl::StatusOr<weir::UnixStream> stream = co_await listener->Accept();
#ifndef NETSTACK_SOCKET_UNIX_STREAM_H_
#define NETSTACK_SOCKET_UNIX_STREAM_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <utility>

#include "netstack/socket/backend.h"
#include "netstack/socket/operation.h"
#include "netstack/socket/stream.h"
#include "runtime/base/unix_address.h"
#include "runtime/core/task.h"

namespace weir {

namespace netstack {
class KernelStack;
struct UnixListening;
}  // namespace netstack

class UnixStream : public Stream {
 public:
  // The process at the other end, as it was when it connected or began to listen (SO_PEERCRED).
  struct Credentials {
    pid_t pid;
    uid_t uid;
    gid_t gid;
  };

  using Stream::Stream;

  // Connects to the listener at `peer`; while that one's backlog is full it waits, as connect(2) does, until the scope
  // is stopped (see WithTimeout). kNotFound: no such path; kUnavailable: nobody listens there; kPermissionDenied.
  static Task<absl::StatusOr<UnixStream>> Connect(netstack::KernelStack& stack, UnixAddress peer);

  absl::StatusOr<Credentials> peer_credentials() const;
};

class UnixListener {
 public:
  struct Options {
    // Connections that are established and not yet accepted.
    int backlog = 1024;
    // Permissions of the path; who may write to it may connect. Without it what umask(2) leaves of 0777.
    std::optional<mode_t> mode;
  };

  UnixListener() = default;

  // Listens at `local`. A path left over by a process that is gone is replaced, and removed when the listener is
  // destroyed. kAlreadyExists: somebody listens there, or the path is no socket. With several shards each has its own
  // listener at the same address, and each connection goes to one of them.
  static absl::StatusOr<UnixListener> Listen(netstack::KernelStack& stack, const UnixAddress& local,
                                             const Options& options);
  static absl::StatusOr<UnixListener> Listen(netstack::KernelStack& stack, const UnixAddress& local) {
    return Listen(stack, local, Options{});
  }

  // The next connection. Passing trouble, as want of descriptors, is waited out inside.
  auto Accept() { return netstack::Operation<AcceptTraits>(*backend_, {}); }

  const UnixAddress& local() const { return local_; }

 private:
  struct AcceptTraits {
    using Backend = netstack::ListenerBackend;
    using Op = netstack::AcceptOp;
    void Fill(Op&) {}
    static bool Start(Backend& backend, Op& op) { return backend.StartAccept(op); }
    static void Cancel(Backend& backend, Op& op) { backend.CancelAccept(op); }
    static absl::StatusOr<UnixStream> Take(Op& op) {
      if (!op.status.ok()) return std::move(op.status);
      return UnixStream(std::move(op.stream));
    }
  };

  UnixAddress local_;
  std::shared_ptr<netstack::UnixListening> listening_;  // with other shards' listeners; goes after the backend
  netstack::ListenerBackendPtr backend_;
};

}  // namespace weir

#endif  // NETSTACK_SOCKET_UNIX_STREAM_H_
