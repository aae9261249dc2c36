// PosixSocket: what the agent has for a socket that POSIX programs see: the options of SOL_SOCKET, who waits for it,
// and the calls that each kind of socket answers in its own way. Calls never wait: what would is -EAGAIN (or what is
// said there), and the caller comes back when `pollers` told of a change. They return what the system call does, or
// -errno.
#ifndef TESTS_INTEROP_POSIX_SOCKET_H_
#define TESTS_INTEROP_POSIX_SOCKET_H_

#include <sys/socket.h>
#include <sys/time.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "netstack/host/shard.h"
#include "netstack/ip/inet.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/time.h"
#include "tests/interop/option_value.h"
#include "tests/interop/posix_address.h"

namespace weir::interop {

// One that waits for a socket to change; called for each change, which it need not be about what is waited for.
struct SockPoller : runtime::ListNode<SockPoller> {
  using Function = void (*)(SockPoller& poller);
  explicit SockPoller(Function function) : on_change(function) {}
  const Function on_change;
};

class SockPollers {
 public:
  ~SockPollers() { Wake(); }
  void Add(SockPoller& poller) { list_.PushBack(poller); }
  void Wake() {
    runtime::List<SockPoller, SockPoller> now;
    now.Splice(list_);
    while (SockPoller* poller = now.PopFront()) poller->on_change(*poller);
  }

 private:
  runtime::List<SockPoller, SockPoller> list_;
};

class TcpPosix;

// What the sockets of the agent share.
struct AgentStack {
  Shard& shard;
  netstack::Inet& inet;
  // Those that bind(2) or the like gave a port: the stack itself knows of a port only when it listens or connects.
  std::vector<TcpPosix*> tcp_bound;
  // Of this machine's kernel (net.core).
  int rmem_max = 212992, wmem_max = 212992, rmem_default = 212992, wmem_default = 212992;
};

// IPPROTO_IP and IPPROTO_IPV6, by both of which a socket of IPv6 may be told.
struct IpSocketOptions {
  int tos = 0, ttl = -1, mtu_discover = 1, min_ttl = 0, multicast_ttl = 1;
  int tclass = 0, hops = -1, mtu_discover6 = 1, min_hops = 0, multicast_hops = -1;
  bool recverr = false, recverr6 = false, multicast_loop = true, multicast_loop6 = true, v6only = false;
  uint32_t multicast_interface = 0, multicast_interface6 = 0;
  in_addr multicast_address{};  // what IP_MULTICAST_IF was told
  // Those that change nothing here: what was set, by level and name.
  std::map<std::pair<int, int>, int> others;
};

// SOL_SOCKET, in the units that getsockopt gives. An accepted connection begins with its listener's.
struct SocketOptions {
  bool reuse_address = false, reuse_port = false, broadcast = false, keepalive = false, oob_inline = false;
  bool no_check = false, dont_route = false, timestamp = false, receive_overflow = false, zero_copy = false;
  int priority = 0, mark = 0, receive_low = 1, busy_poll = 0;
  linger linger_time{0, 0};
  timeval receive_timeout{0, 0}, send_timeout{0, 0};
  std::optional<int> receive_buffer, send_buffer;  // doubled
  uint64_t max_pacing_rate = UINT64_MAX;
  uint32_t bound_interface = 0;
};

class PosixSocket {
 public:
  PosixSocket(AgentStack& stack, int domain, int type, int protocol)
      : stack_(stack), domain_(domain), type_(type), protocol_(protocol) {}
  PosixSocket(const PosixSocket&) = delete;
  virtual ~PosixSocket() = default;

  virtual int Bind(std::span<const std::byte> address) = 0;
  virtual int Listen(int /*backlog*/) { return -EOPNOTSUPP; }
  virtual int Accept(std::shared_ptr<PosixSocket>* /*connection*/, PosixAddress* /*peer*/) { return -EOPNOTSUPP; }
  // -EINPROGRESS or -EALREADY: a blocking call goes on with FinishConnect, which is -EAGAIN as long as it waits.
  virtual int Connect(std::span<const std::byte> address) = 0;
  virtual int FinishConnect() { return 0; }
  // `*done` bytes were received before by the same call; returns how many these are now altogether. -EAGAIN leaves
  // what was received in `*done`. `length`: what the program asked for. `*given`: bytes of `into` that are filled.
  virtual int64_t Recv(std::span<std::byte> into, int flags, size_t* done, size_t* given, PosixAddress* from) = 0;
  virtual int64_t Send(std::span<const std::byte> data, int flags, size_t* done, std::span<const std::byte> to) = 0;
  virtual int Shutdown(int how) = 0;
  // What close(2) has to wait for: -EAGAIN as long as it does. Then the last reference may go.
  virtual int Close() { return 0; }
  // RESET.
  virtual void Abort() = 0;
  virtual int Ioctl(unsigned request, int* value) = 0;
  virtual short Poll() const = 0;
  virtual PosixAddress SockName() const = 0;
  int SetOption(int level, int name, std::span<const std::byte> value);
  int GetOption(int level, int name, int room, OptionValue* value);
  int Fcntl(int command, int argument);

  bool nonblock() const { return nonblock_; }
  void set_nonblock(bool on) { nonblock_ = on; }
  // kNever: no bound.
  Nanos receive_timeout_ns() const { return Timeout(options_.receive_timeout); }
  Nanos send_timeout_ns() const { return Timeout(options_.send_timeout); }
  bool lingers() const { return options_.linger_time.l_onoff != 0; }
  int linger_s() const { return options_.linger_time.l_linger; }
  SockPollers& pollers() { return pollers_; }

 protected:
  static constexpr uint8_t kRecvShut = 1, kSendShut = 2;  // RCV_SHUTDOWN, SEND_SHUTDOWN

  // SO_ERROR, which takes it.
  virtual int TakeError() = 0;
  virtual bool Accepts() const { return false; }
  virtual int DefaultReceiveBuffer() const = 0;
  virtual int DefaultSendBuffer() const = 0;
  virtual std::array<uint32_t, 9> MemInfo() const = 0;
  // An option of SOL_SOCKET has another value now; the number is the program's.
  virtual int SocketOptionSet(int /*name*/, int /*value*/) { return 0; }
  // Levels other than SOL_SOCKET, IPPROTO_IP and IPPROTO_IPV6.
  virtual int SetProtocolOption(int /*level*/, int /*name*/, std::span<const std::byte>) { return -ENOPROTOOPT; }
  virtual int GetProtocolOption(int /*level*/, int /*name*/, int /*room*/, OptionValue*) {
    return domain_ == AF_INET ? -EOPNOTSUPP : -ENOPROTOOPT;  // do_ip_getsockopt, do_ipv6_getsockopt
  }
  // ip_ has other values now.
  virtual void IpOptionsSet() {}
  virtual bool HasPort() const = 0;
  // -ENOTCONN: nobody knows whereto.
  virtual int PathMtu() const = 0;
  // A membership of a group (RFC 3678): of what kind and version, and the value. Not of TCP.
  virtual int GroupOption(int /*level*/, int /*name*/, std::span<const std::byte>) { return -EPROTO; }

  Nanos now_ns() const { return stack_.shard.now_ns(); }
  bool is_stream() const { return type_ == SOCK_STREAM; }
  netstack::IpContext& context() const { return stack_.inet.ip; }

  AgentStack& stack_;
  const int domain_, type_, protocol_;
  SocketOptions options_;
  IpSocketOptions ip_;

 private:
  static Nanos Timeout(const timeval& time);
  int SetSocketOption(int name, std::span<const std::byte> value);
  int SetNumber(int name, int number);
  int SetBuffer(int name, int bytes);
  int SetDevice(std::span<const std::byte> name);
  int GetSocketOption(int name, int room, OptionValue* value);
  int SetIpOption(int name, std::span<const std::byte> value);
  int SetIp6Option(int name, std::span<const std::byte> value);
  int SetMulticastInterface(std::span<const std::byte> value);
  int GetIpOption(int name, int room, OptionValue* value);
  int GetIp6Option(int name, int room, OptionValue* value);
  // The options that are a number; false: none of them.
  bool GetNumber(int name, int* number);

  bool nonblock_ = false;
  bool close_on_exec_ = false;
  SockPollers pollers_;
};

}  // namespace weir::interop

#endif  // TESTS_INTEROP_POSIX_SOCKET_H_
