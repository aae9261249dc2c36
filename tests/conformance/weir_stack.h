// WeirStack: weir's own stack in memory, in virtual time, with its sockets as programs have them.
#ifndef TESTS_CONFORMANCE_WEIR_STACK_H_
#define TESTS_CONFORMANCE_WEIR_STACK_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "netstack/ip/inet.h"
#include "netstack/socket/inet_stack.h"
#include "netstack/socket/tcp_listener.h"
#include "netstack/socket/tcp_stream.h"
#include "netstack/socket/udp_socket.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/scheduler.h"
#include "tests/conformance/stack.h"

namespace weir::conformance {

class WeirStack final : public Stack {
 public:
  // `mtu`: of the link.
  WeirStack(bool v6, uint32_t mtu, const netstack::TcpSettings& settings);
  ~WeirStack() override;

  StackKind kind() const override { return StackKind::kWeir; }
  // The timer wheel rounds up, by microseconds.
  Tolerance tolerance() const override { return {.early_ms = 1, .late_ms = 1, .late_share = 0.002, .call_ms = 0}; }
  Nanos now_ns() override { return scheduler_.now_ns(); }
  void Wait(Nanos until_ns) override;
  void Send(const Bytes& frame) override;
  void Start(int number, const Call& call) override;
  Nanos settle_ns() const override { return 0; }
  std::string End() override;

 private:
  // An option that is set before there is a connection, for when there is.
  struct Setting {
    std::string name;
    int64_t value;
    std::string text;
  };
  struct Socket {
    std::vector<Setting> settings;
    TcpListener listener;
    TcpStream stream;
    UdpSocket udp;
    netstack::ListenerBackend* listener_backend = nullptr;  // of `listener`
    bool is_udp = false, opened = false;
    std::optional<int64_t> linger;
    TcpKeepAlive keepalive;
    bool keeps_alive = false;
  };

  Task<void> Accept(Socket& from, std::string name, int number);
  Task<void> Connect(Socket& socket, Endpoint peer, TcpConnectOptions options, int number);
  Task<void> Read(Socket& socket, Call call, int number);
  Task<void> Write(Socket& socket, Call call, int number);
  Task<void> SendTo(Socket& socket, Call call, int number);
  Task<void> CloseWithLinger(Socket& socket, int number);

  Endpoint At(bool peer, uint16_t port) const;
  void Return(int number, const absl::Status& status, Outcome outcome = {});
  void StartHere(int number, const Call& call, Socket& socket);
  absl::Status Listen(Socket& socket, const Call& call);
  void StartConnect(Socket& socket, const Call& call, int number);
  absl::Status Set(Socket& socket, const Setting& setting);
  absl::StatusOr<int64_t> Get(Socket& socket, const std::string& name);
  absl::StatusOr<TcpInfo> Info(Socket& socket);
  // Until nothing more happens at this time.
  void Settle();

  const bool v6_;
  runtime::Scheduler scheduler_{kSecond};
  runtime::FramePool::Ptr pool_;
  std::optional<netstack::Inet> inet_;
  std::optional<netstack::InetStack> stack_;
  StopSource stop_;
  std::optional<AsyncScope> scope_;
  AsyncScope* spawn_in_ = nullptr;  // of the call that starts
  std::map<std::string, Socket> sockets_;
};

}  // namespace weir::conformance

#endif  // TESTS_CONFORMANCE_WEIR_STACK_H_
