// TCP sockets on weir's own stack: what connects a TcpSock to the operations that wait for it.
#ifndef NETSTACK_SOCKET_INET_TCP_H_
#define NETSTACK_SOCKET_INET_TCP_H_

#include <new>

#include "netstack/socket/backend.h"
#include "netstack/tcp/tcp_context.h"
#include "runtime/core/scheduler.h"

namespace weir::netstack {

// It lies in the control block of its connection (TcpSock::owner_room): every open connection has one, and each of its
// wake-ups reads both.
class InetTcp final : public StreamBackend {
 public:
  // For `sock`, which nobody holds: accepted, or to be connected. It is given back by Close.
  static InetTcp* Make(TcpSock& sock, runtime::Scheduler& scheduler) {
    return new (sock.owner_room) InetTcp(sock, scheduler);
  }

  // For a socket that is ready, some others before its turn (tcp_early_demux.h).
  static void PrefetchWake(ReadySock& sock) {
    if (sock.on_ready != &OnReady) return;
    if (const RecvOp* op = static_cast<const InetTcp*>(sock.owner)->reader()) op->PrefetchWake();
  }

  bool StartConnect(ConnectOp& op) override;
  void CancelConnect(ConnectOp& op) override;
  bool StartRecv(RecvOp& op) override;
  void CancelRecv(RecvOp& op) override;
  bool StartSend(SendOp& op) override;
  void CancelSend(SendOp& op) override;
  absl::Status ShutdownWrite() override;
  void Reset() override;
  bool StartClose(CloseOp& op) override;
  void CancelClose(CloseOp& op) override;
  void Close() override;
  Endpoint local() const override { return sock_.local; }
  Endpoint peer() const override { return sock_.remote; }
  SendBuffer NewSendBuffer(size_t bytes) override;
  absl::Status SetTcpOption(TcpSockOption option, uint64_t value) override;
  absl::StatusOr<uint64_t> GetTcpOption(TcpSockOption option) const override;
  absl::Status SetKeepAlive(const std::optional<TcpKeepAlive>& times) override;
  absl::StatusOr<std::optional<TcpKeepAlive>> GetKeepAlive() const override;
  absl::Status SetCongestionControl(std::string_view name) override;
  absl::StatusOr<std::string> GetCongestionControl() const override;
  absl::StatusOr<TcpInfo> Info() const override;
  absl::StatusOr<TcpMemInfo> MemInfo() const override;
  absl::Status TakeError() override;

 private:
  InetTcp(TcpSock& sock, runtime::Scheduler& scheduler);
  ~InetTcp() = default;

  static void OnReady(ReadySock& sock, uint8_t events);
  // Each completes `op` and returns true when it can be completed now.
  bool TryOutput(OutputOp& op);
  bool TryConnect(ConnectOp& op);
  bool TryRecv(RecvOp& op);
  bool TryRecvWithFlags(RecvOp& op);
  bool TrySend(SendOp& op);
  bool TryClose(CloseOp& op);
  void WakeOutput(OutputOp& op);
  absl::Status Error() const;
  // The receive that waits; nullptr: none.
  RecvOp* reader() const { return sock_.reader == nullptr ? nullptr : static_cast<RecvOp*>(sock_.reader->call); }

  TcpSock& sock_;
  runtime::Scheduler& scheduler_;
  OutputOp* output_ = nullptr;  // that waits
};

static_assert(sizeof(InetTcp) <= TcpSock::kOwnerRoom);

class InetListener final : public ListenerBackend {
 public:
  InetListener(TcpContext& tcp, runtime::Scheduler& scheduler) : tcp_(tcp), scheduler_(scheduler) {}

  // Returns 0 or an errno; called once, first.
  int Listen(const Endpoint& local, const TcpListenOptions& options);

  bool StartAccept(AcceptOp& op) override;
  void CancelAccept(AcceptOp& op) override;
  void Close() override;
  Endpoint local() const override { return sock_.local; }
  absl::Status SetTcpOption(TcpSockOption option, uint64_t value) override;
  absl::StatusOr<uint64_t> GetTcpOption(TcpSockOption option) const override;
  absl::Status SetKeepAlive(const std::optional<TcpKeepAlive>& times) override;
  absl::StatusOr<std::optional<TcpKeepAlive>> GetKeepAlive() const override;
  absl::Status SetCongestionControl(std::string_view name) override;
  absl::StatusOr<std::string> GetCongestionControl() const override;

 private:
  static void OnReady(ReadySock& sock, uint8_t events);

  TcpContext& tcp_;
  runtime::Scheduler& scheduler_;
  TcpListenSock sock_;
  bool listening_ = false;
  AcceptOp* accept_ = nullptr;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_INET_TCP_H_
