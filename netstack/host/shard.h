// Shard: one thread with everything it needs: scheduler, timers, io_uring reactor, frames, and the sockets of the chosen
// stack. Nothing in it is shared; other threads reach it through its mailbox. A program's main coroutine gets one.
//
//   weir::Task<absl::Status> Main(weir::Shard& shard) {
//     absl::StatusOr<weir::TcpListener> listener = shard.ListenTcp({.port = 7});
//     if (!listener.ok()) co_return listener.status();
//     shard.Ready("echo on port 7");
//     weir::AsyncScope scope(co_await weir::CurrentContext());
//     ...
#ifndef NETSTACK_HOST_SHARD_H_
#define NETSTACK_HOST_SHARD_H_

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netstack/host/host_options.h"
#include "netstack/host/idle_policy.h"
#include "netstack/host/xdp_stack.h"
#include "netstack/socket/kernel_stack.h"
#include "netstack/socket/tcp_listener.h"
#include "netstack/socket/tcp_stream.h"
#include "netstack/socket/udp_socket.h"
#include "netstack/socket/unix_datagram_socket.h"
#include "netstack/socket/unix_stream.h"
#include "runtime/buffer/frame_pool.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/scheduler.h"
#include "runtime/core/task.h"
#include "runtime/io/frame_returns.h"
#include "runtime/io/mailbox.h"
#include "runtime/io/reactor.h"

namespace weir {

class Host;
class Shard;
template <typename Fn>
class SubmitAwaiter;

// What a program runs on each shard. An error ends the whole host with it; OK ends this shard.
using ShardMain = std::function<Task<absl::Status>(Shard&)>;

class Shard {
 public:
  struct Counters {
    uint64_t turns = 0;
    uint64_t sleeps = 0;
    uint64_t resumes = 0;
    uint64_t spin_hits = 0;  // arrivals that were caught spinning, without a sleep
  };

  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard();

  int index() const { return index_; }
  // The host's shards, this one among them. Another one may only be talked to, by SubmitTo or its mailbox.
  int shards() const { return options().shards; }
  Shard& peer(int index);
  // Awaitable: runs `fn` on `there`'s thread and resumes on this one, with what it returned. Include
  // netstack/host/submit.h.
  template <typename Fn>
  SubmitAwaiter<Fn> SubmitTo(Shard& there, Fn fn);
  // The counterpart of socket(2) and its kin on the chosen stack; see the sockets' own comments for errors.
  absl::StatusOr<TcpListener> ListenTcp(const Endpoint& local, const TcpListenOptions& options = {}) {
    return TcpListener::Listen(stack(), local, options);
  }
  Task<absl::StatusOr<TcpStream>> ConnectTcp(const Endpoint& peer, const TcpConnectOptions& options = {}) {
    return TcpStream::Connect(stack(), peer, options);
  }
  absl::StatusOr<UdpSocket> BindUdp(const Endpoint& local, const UdpBindOptions& options = {}) {
    return UdpSocket::Bind(stack(), local, options);
  }
  netstack::SocketStack& stack();
  // Unix sockets are the kernel's with either stack.
  absl::StatusOr<UnixListener> ListenUnix(const UnixAddress& local, const UnixListener::Options& options = {}) {
    return UnixListener::Listen(kernel_sockets(), local, options);
  }
  Task<absl::StatusOr<UnixStream>> ConnectUnix(const UnixAddress& peer) {
    return UnixStream::Connect(kernel_sockets(), peer);
  }
  absl::StatusOr<UnixDatagramSocket> BindUnix(const UnixAddress& local, std::optional<mode_t> mode = std::nullopt) {
    return UnixDatagramSocket::Bind(kernel_sockets(), local, mode);
  }

  // To be called once, when the program serves. With the last shard's call the host prints `weir: ready`, how it runs
  // and `what`; from then on this thread has no capabilities.
  void Ready(const std::string& what);

  runtime::Reactor& reactor() { return *reactor_; }
  runtime::FramePool& pool() { return *pool_; }
  runtime::Mailbox& mailbox() { return *mailbox_; }
  Nanos now_ns() const { return scheduler_.now_ns(); }

  Counters counters() const;
  // nullptr on --stack=kernel.
  XdpStack* xdp() { return xdp_.get(); }
  // Sockets of the kernel, on --stack=xdp for Unix sockets only, with few frames of their own.
  netstack::KernelStack& kernel_sockets() { return *kernel_; }
  const HostOptions& options() const;
  // What tasks that the host itself starts here run in; a program's tasks use CurrentContext.
  const TaskContext& root_context() const { return root_->context(); }

 private:
  friend class Host;
  // A poll on a port's AF_XDP socket; that it completes wakes us, which is enough.
  struct FramesArrived : runtime::UringOp {
    FramesArrived() : UringOp([](UringOp&, int32_t, uint32_t) {}) {}
  };

  Shard(Host& host, int index);

  // On the shard's own thread: builds everything, or says what is wrong; and, when all shards are up, gives the stack its
  // addresses.
  absl::Status BringUp();
  absl::Status Start() { return xdp_ != nullptr ? xdp_->Start() : absl::OkStatus(); }
  // Runs `main` and then the loop until it has returned and connections have said goodbye.
  absl::Status Run(const ShardMain& main);
  // Asks every task for its end; those that do not end within HostOptions::drain_seconds take the process with them.
  void RequestStop();

  Task<void> RunMain(const ShardMain& main);
  void Turn();
  void Idle(bool worked);
  void Sleep(Nanos deadline_ns);
  // Lets connections finish what they have to send, for a moment, and gives back what addresses were leased.
  void Linger();
  void LingerWhile(const std::function<bool()>& busy, Nanos limit_ns = kSecond);

  Host& host_;
  const int index_;
  Counters counters_;
  runtime::Scheduler scheduler_;
  runtime::FramePool::Ptr pool_;
  runtime::FramePool::Ptr unix_pool_;  // on --stack=xdp
  std::unique_ptr<runtime::Reactor> reactor_;
  std::unique_ptr<runtime::Mailbox> mailbox_;
  std::unique_ptr<runtime::FrameReturns> frame_returns_;
  std::unique_ptr<runtime::FrameReturns> unix_frame_returns_;
  // One for each link of xdp_'s ports.
  std::vector<std::unique_ptr<FramesArrived>> frames_arrived_;
  std::unique_ptr<netstack::KernelStack> kernel_;
  std::unique_ptr<XdpStack> xdp_;
  StopSource stop_;
  TaskContext context_;
  std::unique_ptr<AsyncScope> root_;
  IdlePolicy idle_;
  Nanos stop_deadline_ns_ = kNever;
  absl::Status result_;
};

}  // namespace weir

#endif  // NETSTACK_HOST_SHARD_H_
