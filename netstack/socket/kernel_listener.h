// KernelListener: a listening socket of the kernel with one multishot accept. Connections that were accepted and not
// asked for yet wait here, at most `backlog`, then in the kernel, at most as many again.
//
// Without descriptors or memory (EMFILE, ENFILE, ENOMEM, ENOBUFS) accepting pauses for kAcceptRetry and goes on;
// connections wait in the kernel meanwhile.
#ifndef NETSTACK_SOCKET_KERNEL_LISTENER_H_
#define NETSTACK_SOCKET_KERNEL_LISTENER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "netstack/socket/backend.h"
#include "netstack/socket/kernel_stack.h"
#include "runtime/base/fixed_ring.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/io/reactor.h"

namespace weir::netstack {

class KernelListener final : public ListenerBackend {
 public:
  // Short beside the handshake's own retransmission (1 s), long beside a failing accept.
  static constexpr Nanos kAcceptRetry = 50 * kMillisecond;

  // The kernel's own limit (net.core.somaxconn) since Linux 5.4; a longer queue would only hold descriptors.
  static constexpr size_t kMaxBacklog = 4096;

  // Takes over `fd`, which listens; `name` is for messages. `shared`: others accept on the same socket, which goes on
  // listening when this one is closed.
  KernelListener(KernelStack& stack, int fd, size_t backlog, std::string name, bool shared);

  bool StartAccept(AcceptOp& op) override;
  void CancelAccept(AcceptOp& op) override;
  void Close() override;
  Endpoint local() const override { return local_; }
  absl::Status SetTcpOption(TcpSockOption option, uint64_t value) override;
  absl::StatusOr<uint64_t> GetTcpOption(TcpSockOption option) const override;
  absl::Status SetKeepAlive(const std::optional<TcpKeepAlive>& times) override;
  absl::StatusOr<std::optional<TcpKeepAlive>> GetKeepAlive() const override;
  absl::Status SetCongestionControl(std::string_view name) override;
  absl::StatusOr<std::string> GetCongestionControl() const override;

 private:
  ~KernelListener();

  void OnAccept(int32_t result, uint32_t flags);
  static void OnRetry(runtime::Timer& timer, Nanos now_ns);
  void ResumeAccept();
  void Deliver(int fd);
  void ResetConnection(int fd);
  void MaybeFree();

  struct RetryTimer : runtime::Timer {
    explicit RetryTimer(KernelListener& listener) : Timer(&KernelListener::OnRetry), listener(listener) {}
    KernelListener& listener;
  };

  KernelStack& stack_;
  int fd_;
  const Endpoint local_;
  const std::string name_;
  const size_t backlog_;
  const bool shared_;
  // Twice the bound: the kernel may have accepted its whole backlog before a cancel reaches it.
  runtime::FixedRing<int> accepted_;
  AcceptOp* accept_op_ = nullptr;
  int error_ = 0;  // errno that ended accepting
  bool closing_ = false;
  RetryTimer retry_{*this};
  runtime::MemberOp<KernelListener, &KernelListener::OnAccept> accept_{*this};
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_KERNEL_LISTENER_H_
