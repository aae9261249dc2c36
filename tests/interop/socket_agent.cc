// socket_agent: lends weir's sockets to a test client, one POSIX-like call per message on a Unix SEQPACKET socket
// (shared/interop/socket_agent.md). One coroutine serves each control connection; README.md has what differs from
// Linux.
//
//   socket_agent --stack=xdp --interface=eth0 --address=10.0.0.2/24,fd00::2/64 --control=/tmp/agent
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <thread>
#include <variant>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "netstack/host/host_flags.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/unique_fd.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/when_any.h"
#include "runtime/io/uring_call.h"
#include "tests/interop/agent_calls.h"

ABSL_FLAG(std::string, control, "", "path of the Unix SEQPACKET socket that clients connect to");

namespace weir::interop {
namespace {

using runtime::ErrnoStatus;
using runtime::UniqueFd;
using runtime::UringCall;

// Control connections at a time; each has room for two messages.
constexpr size_t kMaxControls = 1024;

// Accepts, on a thread that keeps the capabilities which the shard's gives up: a reply of a mebibyte needs a send
// buffer that only CAP_NET_ADMIN gives (SO_SNDBUFFORCE). What it accepted comes through a pipe.
class ControlListener {
 public:
  static absl::StatusOr<std::unique_ptr<ControlListener>> Open(const std::string& path) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    if (path.empty() || path.size() >= sizeof address.sun_path) {
      return absl::InvalidArgumentError("--control takes the path of a socket to be made");
    }
    path.copy(address.sun_path, path.size());
    unlink(path.c_str());
    std::unique_ptr<ControlListener> self(new ControlListener);
    self->path_ = path;
    self->fd_ = UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    int ends[2];
    if (!self->fd_.valid() || bind(self->fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(self->fd_.get(), 64) != 0 || pipe2(ends, O_CLOEXEC) != 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot listen on ", path));
    }
    self->accepted_ = UniqueFd(ends[0]);
    self->accepting_ = UniqueFd(ends[1]);
    self->thread_ = std::thread([listener = self.get()] { listener->Run(); });
    return self;
  }
  ~ControlListener() {
    if (!thread_.joinable()) return;
    shutdown(fd_.get(), SHUT_RDWR);  // wakes accept
    thread_.join();
    unlink(path_.c_str());
  }

  int accepted() const { return accepted_.get(); }

 private:
  ControlListener() = default;
  void Run() {
    for (;;) {
      const int control = accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (control < 0 && errno == EINVAL) return;
      if (control < 0) {
        usleep(10000);  // descriptors or memory ran out
        continue;
      }
      const int size = 4 << 20;
      if (setsockopt(control, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0) {
        setsockopt(control, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
      }
      if (write(accepting_.get(), &control, sizeof control) != sizeof control) return;
    }
  }

  std::string path_;
  UniqueFd fd_, accepted_, accepting_;
  std::thread thread_;
};

// Ends when the client has closed its end.
Task<int32_t> HungUp(runtime::Reactor& reactor, int fd) {
  co_return co_await UringCall(reactor, [&](io_uring_sqe* sqe) { io_uring_prep_poll_add(sqe, fd, POLLRDHUP); });
}

Task<bool> SendReply(runtime::Reactor& reactor, int fd, const CallResult& result, std::span<const std::byte> data) {
  ReplyHeader header{.rc = result.rc < 0 ? -1 : result.rc,
                     .err = result.rc < 0 ? static_cast<int32_t>(-result.rc) : 0,
                     .alen = static_cast<uint32_t>(result.address.length),
                     .dlen = static_cast<uint32_t>(result.length)};
  std::array<iovec, 3> pieces{{{&header, sizeof header},
                               {const_cast<sockaddr_in6*>(&result.address.v6), result.address.length},
                               {const_cast<std::byte*>(data.data()), result.length}}};
  const msghdr message{.msg_iov = pieces.data(), .msg_iovlen = pieces.size()};
  const int32_t sent = co_await UringCall(
      reactor, [&](io_uring_sqe* sqe) { io_uring_prep_sendmsg(sqe, fd, &message, MSG_NOSIGNAL); });
  co_return sent >= 0;
}

Task<void> ServeControl(Shard& shard, AgentCalls& calls, UniqueFd control) {
  const int fd = control.get();
  runtime::Reactor& reactor = shard.reactor();
  // Not initialized, so that only what is used is there.
  const std::unique_ptr<std::byte[]> in(new std::byte[kMaxMessage]), out(new std::byte[kMaxMessage]);
  for (;;) {
    const int32_t got = co_await UringCall(
        reactor, [&](io_uring_sqe* sqe) { io_uring_prep_recv(sqe, fd, in.get(), kMaxMessage, 0); });
    if (got <= 0) co_return;
    const std::optional<Request> request = ParseRequest({in.get(), static_cast<size_t>(got)});
    if (!request.has_value()) co_return;  // as the reference does
    auto done = co_await WhenAny(calls.Call(*request, {out.get(), kMaxMessage}), HungUp(reactor, fd));
    if (done.index() != 0) co_return;
    if (!co_await SendReply(reactor, fd, std::get<0>(done), {out.get(), kMaxMessage})) co_return;
  }
}

Task<absl::Status> Main(Shard& shard) {
  if (shard.xdp() == nullptr) {
    co_return absl::InvalidArgumentError("takes --stack=xdp: what sockets are ready for, weir knows of its own alone");
  }
  auto listener = ControlListener::Open(absl::GetFlag(FLAGS_control));
  if (!listener.ok()) co_return listener.status();
  AgentCalls calls(shard);
  shard.Ready(absl::StrCat("sockets on ", absl::GetFlag(FLAGS_control)));
  AsyncScope controls(co_await CurrentContext());
  int32_t got = 0;
  for (;;) {
    int fd = -1;
    got = co_await UringCall(shard.reactor(), [&](io_uring_sqe* sqe) {
      io_uring_prep_read(sqe, (*listener)->accepted(), &fd, sizeof fd, 0);
    });
    if (got != static_cast<int32_t>(sizeof fd)) break;
    UniqueFd control(fd);
    if (controls.live() < kMaxControls) controls.Spawn(ServeControl(shard, calls, std::move(control)));
  }
  controls.RequestStop();
  co_await controls.Join();
  co_return got == -ECANCELED ? absl::OkStatus() : ErrnoStatus(-got, "reading accepted control connections");
}

}  // namespace
}  // namespace weir::interop

int main(int argc, char** argv) {
  const auto as_linux = [](weir::HostOptions& options) {
    // There a program may give as much as the send buffer takes.
    uint32_t& lowat = options.tcp.notsent_lowat;
    if (lowat == weir::netstack::TcpSettings().notsent_lowat) lowat = UINT32_MAX;
  };
  return weir::RunWithFlags(argc, argv, "Lends weir's sockets to a test client.", weir::interop::Main, as_linux);
}
