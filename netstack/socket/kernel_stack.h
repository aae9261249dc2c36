// KernelStack: TCP and UDP over kernel sockets and io_uring (--stack=kernel). It opens a shard's sockets and owns what
// they share: the ring of receive buffers, the list of sockets whose receive ended because there were none, and the
// account of what programs keep. A socket of whose frames too many are out is not read any further, so that its kernel
// queue fills and, with TCP, its window closes; the others go on.
//
// Belongs to one shard, which may have several (a second one, with a small pool of its own, for metrics). Its sockets
// are closed before it is destroyed; the destructor waits for the completions that they still have in the kernel.
#ifndef NETSTACK_SOCKET_KERNEL_STACK_H_
#define NETSTACK_SOCKET_KERNEL_STACK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "netstack/socket/backend.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/buffer/frame_pool.h"
#include "runtime/core/scheduler.h"
#include "runtime/io/buffer_ring.h"
#include "runtime/io/reactor.h"

namespace weir::netstack {

class KernelStack;

// A socket's receiving side, as the stack sees it. What its program keeps of what it got counts against it.
class KernelReceiver : public runtime::ListNode<KernelReceiver>, public runtime::FrameHolder {
 public:
  explicit KernelReceiver(KernelStack& stack) : FrameHolder(Kind::kKernel), stack_(stack) {}

  // There are receive buffers again, or fewer frames of it are out: what may be received now is to be.
  virtual void BuffersBack() = 0;
  // Frames that were received and nobody has read.
  virtual uint32_t unread() const = 0;
  // Frees the object, which has no frame: see KernelStack::Leave.
  virtual void Free() = 0;
  KernelStack& stack() const { return stack_; }
  // It is in the stack's list of those that have too much.
  bool stalled() const { return linked() && tell(); }

 protected:
  ~KernelReceiver() = default;

  KernelStack& stack_;
};

class KernelStack final : public SocketStack {
 public:
  struct Options {
    // SO_REUSEPORT on listeners and UDP sockets: each shard has its own, and the kernel spreads the flows.
    bool reuse_port = false;
  };
  struct Stats {
    uint64_t sockets = 0;           // open now, or closing
    uint64_t accept_retries = 0;    // accepts that failed for want of descriptors or memory and were put off
    uint64_t accept_dropped = 0;    // connections reset because the queue of accepted ones was full
    uint64_t out_of_buffers = 0;    // receives that ended because the kernel had no buffer
    uint64_t recv_paused = 0;       // receives stopped because the reader was behind
    uint64_t recv_stalled = 0;      // receives put off because the program keeps too much
    uint64_t zero_copy_sends = 0;   // sends by reference
    uint64_t zero_copy_copied = 0;  // of these, while their streams are open: copied by the kernel all the same
    uint64_t zero_copy_refused = 0;  // sends that the kernel would not do by reference, done by copy
    uint64_t copied_bytes = 0;       // by weir, between frames and programs' memory or from frame to frame
    uint64_t datagrams_truncated = 0;  // longer than the frames there were for them
  };

  // `reactor`, `pool` and `scheduler` are the shard's and stay longer than the stack.
  static absl::StatusOr<std::unique_ptr<KernelStack>> Create(runtime::Reactor& reactor, runtime::FramePool& pool,
                                                             runtime::Scheduler& scheduler, const Options& options);
  static absl::StatusOr<std::unique_ptr<KernelStack>> Create(runtime::Reactor& reactor, runtime::FramePool& pool,
                                                             runtime::Scheduler& scheduler) {
    return Create(reactor, pool, scheduler, Options{});
  }
  ~KernelStack() override;

  // "::" listens for both families (IPV6_V6ONLY=0). Sockets get SO_REUSEADDR.
  absl::StatusOr<ListenerBackendPtr> ListenTcp(const Endpoint& local, const TcpListenOptions& options) override;
  absl::StatusOr<StreamBackendPtr> OpenTcp(const Endpoint& peer) override;
  absl::StatusOr<UdpBackendPtr> BindUdp(const Endpoint& local, const UdpBindOptions& options) override;

  // Over a descriptor that the caller opened, and that passes to the stack: a connected stream socket, a listening one
  // (see KernelListener), and a bound Unix datagram socket.
  StreamBackendPtr AdoptStream(int fd);
  ListenerBackendPtr AdoptListener(int fd, int backlog, std::string name, bool shared);
  UnixDatagramBackendPtr AdoptUnixDatagram(int fd);

  const Options& options() const { return options_; }
  const Stats& stats() const { return stats_; }

  // For the sockets:
  runtime::Reactor& reactor() { return reactor_; }
  runtime::FramePool& pool() { return pool_; }
  runtime::Scheduler& scheduler() { return scheduler_; }
  runtime::BufferRing& buffers() { return *buffers_; }
  Stats& stats() { return stats_; }
  // To be called when a receive ended with ENOBUFS. True: there are buffers, prepare it again. False: `receiver` is in
  // the list, and BuffersBack is called later, unless it unlinks itself before.
  bool BuffersOrWait(KernelReceiver& receiver);
  // The pool gave no frame: BuffersBack is called later, as above.
  void WaitForFrames(KernelReceiver& receiver);

  // Whether what `receiver` got, and nobody read or the program keeps, is more than is left for all others: the share
  // that shrinks with what is left (dynamic thresholds, Choudhury and Hahne 1998), so that N who keep what they get
  // leave an (N+1)th of the frames. Once it was too much, until it is half of what is left.
  bool HasTooMuch(const KernelReceiver& receiver) const;
  // Before a receive is prepared, of one that is in no list or stalled(). False: it is stalled() from now on, and
  // BuffersBack is called later, unless it unlinks itself.
  bool MayReceive(KernelReceiver& receiver);
  // `frame` is in the program's hands from now on.
  static void HandOver(KernelReceiver& receiver, runtime::Frame* frame) { frame->pool->Charge(frame, receiver); }
  // The last that a closed socket says, when it is in no list and has no frame in a queue: it is freed, at once or when
  // the program has given back what it keeps.
  void Leave(KernelReceiver& receiver);

 private:
  KernelStack(runtime::Reactor& reactor, runtime::FramePool& pool, runtime::Scheduler& scheduler,
              const Options& options);
  static void OnRetry(runtime::Timer& timer, Nanos now_ns);
  static void OnStalledRetry(runtime::Timer& timer, Nanos now_ns);
  static void OnFrameBack(runtime::FrameHolder& holder);  // FramePool::OnReturn

  struct RetryTimer : runtime::Timer {
    RetryTimer(KernelStack& stack, void (*retry)(runtime::Timer&, Nanos)) : Timer(retry), stack(stack) {}
    KernelStack& stack;
  };

  runtime::Reactor& reactor_;
  runtime::FramePool& pool_;
  runtime::Scheduler& scheduler_;
  const Options options_;
  std::unique_ptr<runtime::BufferRing> buffers_;
  runtime::List<KernelReceiver, KernelReceiver> waiting_;    // for receive buffers
  runtime::List<KernelReceiver, KernelReceiver> stalled_;    // they have too much; their tell() is on
  runtime::List<KernelReceiver, KernelReceiver> leftovers_;  // nobody holds them but the frames that a program keeps
  RetryTimer retry_{*this, &OnRetry};
  RetryTimer stalled_retry_{*this, &OnStalledRetry};
  Stats stats_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_KERNEL_STACK_H_
