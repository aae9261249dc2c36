// TcpPosix: a TCP socket of the agent: unbound, bound, listening, connecting or connected, over a TcpSock or
// TcpListenSock of the stack, by the user calls of netstack/tcp. What each call answers in each state is Linux's:
// af_inet.c, tcp.c.
#ifndef TESTS_INTEROP_TCP_POSIX_H_
#define TESTS_INTEROP_TCP_POSIX_H_

#include <memory>
#include <string_view>

#include "netstack/tcp/tcp_sock.h"
#include "tests/interop/posix_socket.h"

namespace weir::interop {

class TcpPosix final : public PosixSocket {
 public:
  TcpPosix(AgentStack& stack, int domain);
  ~TcpPosix() override;

  int Bind(std::span<const std::byte> address) override;
  int Listen(int backlog) override;
  int Accept(std::shared_ptr<PosixSocket>* connection, PosixAddress* peer) override;
  int Connect(std::span<const std::byte> address) override;
  int FinishConnect() override;
  int64_t Recv(std::span<std::byte> into, int flags, size_t* done, size_t* given, PosixAddress* from) override;
  int64_t Send(std::span<const std::byte> data, int flags, size_t* done, std::span<const std::byte> to) override;
  int Shutdown(int how) override;
  int Close() override;
  void Abort() override;
  int Ioctl(unsigned request, int* value) override;
  short Poll() const override;
  PosixAddress SockName() const override;

 private:
  // SS_UNCONNECTED, SS_CONNECTING, SS_CONNECTED.
  enum class Phase { kUnconnected, kConnecting, kConnected };

  int TakeError() override;
  bool Accepts() const override { return listener_ != nullptr; }
  int DefaultReceiveBuffer() const override { return 131072; }  // tcp_rmem[1], tcp_wmem[1] of Linux
  int DefaultSendBuffer() const override { return 16384; }
  std::array<uint32_t, 9> MemInfo() const override;
  int SocketOptionSet(int name, int value) override;
  int SetProtocolOption(int level, int name, std::span<const std::byte> value) override;
  int GetProtocolOption(int level, int name, int room, OptionValue* value) override;
  void IpOptionsSet() override;
  bool HasPort() const override { return local_.port != 0; }
  int PathMtu() const override;

  static void OnReady(netstack::ReadySock& sock, uint8_t events);
  void Adopt(netstack::TcpSock& conn);
  bool Overlaps(const Endpoint& local, bool v6only) const;
  // Whether another socket has the port in a way that leaves no room for this one at `local`.
  bool PortTaken(const Endpoint& local) const;
  bool PortLingers(const Endpoint& local) const;
  int TakePort(Endpoint local);
  // The error that the next call tells (sk_err), taken; 0: none.
  int HardError();
  netstack::TcpState state() const { return conn_ == nullptr ? netstack::TcpState::kClosed : conn_->state; }
  bool InHandshake() const;
  // RCV_SHUTDOWN and SEND_SHUTDOWN, by whatever side.
  uint8_t shut() const;
  int StartConnect(const Endpoint& peer, bool fast_open);
  // Back to SS_UNCONNECTED (tcp_disconnect).
  void Disconnect();
  void StopListening();
  int SendFastOpen(std::span<const std::byte> to);
  // What keeps a send from going on: 0, -EAGAIN, or the error; `done`: a part went already.
  int WhyNotSend(bool done);
  void Cork(bool more);
  int64_t RecvUrgent(std::span<std::byte> into, int flags, size_t* given);
  bool Writable() const;

  int Set(netstack::TcpSockOption option, uint64_t value);
  int SetKeepAlive();
  int SetCongestion(std::span<const std::byte> name);
  int SetTcp(int name, int number);
  int SetTcpHere(int name, int number);
  int SetFastOpen(int name, int number);
  bool GetTcp(int name, int* number) const;
  int GetTcpStruct(int name, int room, OptionValue* value) const;
  uint64_t Get(netstack::TcpSockOption option) const;

  netstack::TcpSock* conn_ = nullptr;
  std::unique_ptr<netstack::TcpListenSock> listener_;
  Phase phase_ = Phase::kUnconnected;
  Endpoint local_;  // bound to, or given; port 0: neither
  bool address_bound_ = false, port_bound_ = false;  // by bind(2), or listen(2)
  Endpoint peer_;
  uint8_t shut_ = 0;  // by us
  bool ended_ = false;  // SOCK_DONE: the peer's FIN was there
  bool opened_ = false;  // by us
  int error_ = 0;     // sk_err, without a connection
  bool corked_ = false, msg_more_ = false;
  bool fast_open_connect_ = false;
  int fast_open_queue_ = 0;
  int linger2_ = 0;
  TcpKeepAlive keepalive_;
  netstack::TcpInherited set_;  // what the program set, for the connection that is to come
};

}  // namespace weir::interop

#endif  // TESTS_INTEROP_TCP_POSIX_H_
