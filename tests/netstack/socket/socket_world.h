// SocketWorld: two places where sockets can be, over the kernel (its loopback is both) or over weir's own stack (two hosts
// on a cable in memory), so that one test is for both: the public sockets promise the same. SocketTest: such a test, once
// for each stack and each version of IP, with what tests of streams share.
#ifndef TESTS_NETSTACK_SOCKET_SOCKET_WORLD_H_
#define TESTS_NETSTACK_SOCKET_SOCKET_WORLD_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "tests/netstack/socket/inet_fixture.h"
#include "tests/netstack/socket/kernel_fixture.h"

namespace weir::testing {

class SocketWorld {
 public:
  virtual ~SocketWorld() = default;
  virtual netstack::SocketStack& stack(bool server) = 0;
  virtual IpAddress ip(bool server, bool v6) = 0;
  virtual bool Run(Task<void> task) = 0;
  virtual Nanos now_ns() = 0;
  virtual runtime::FramePool& pool(bool server) = 0;
  // Bytes that weir copied, straight to a waiting reader or otherwise.
  virtual uint64_t copied_bytes(bool server) = 0;
  // Frames that are still out at the end; every other one must be back.
  void LeaveOut(uint32_t frames) { left_out_ = frames; }

 protected:
  uint32_t left_out_ = 0;
};

class KernelWorld final : public SocketWorld, KernelFixture {
 public:
  ~KernelWorld() override { frames_left_ = left_out_; }
  netstack::SocketStack& stack(bool) override { return *stack_; }
  IpAddress ip(bool, bool v6) override { return Loopback(v6).ip; }
  bool Run(Task<void> task) override {
    loop_.Run(std::move(task));
    return true;
  }
  Nanos now_ns() override { return MonotonicNow(); }
  runtime::FramePool& pool(bool) override { return *pool_; }
  uint64_t copied_bytes(bool) override { return stack_->stats().copied_bytes; }

 private:
  void TestBody() override {}
};

class InetWorld final : public SocketWorld, InetFixture {
 public:
  InetWorld() {
    for (InetHost* host : {&client_, &server_}) {
      netstack::Interface& interface = *host->inet.ip.interfaces.front();
      const IpPrefix prefix{ip(host == &server_, /*v6=*/true), 64};
      EXPECT_TRUE(host->inet.ip.AddAddress(interface, {prefix, netstack::AddressState::kPreferred}));
    }
  }
  // What was closed says goodbye, in virtual time.
  ~InetWorld() override {
    RunUntil([] { return false; });
    EXPECT_EQ(client_.inet.tcp.sockets + server_.inet.tcp.sockets, 0u);
    EXPECT_EQ(client_.frames_out() + server_.frames_out(), left_out_);
  }
  netstack::SocketStack& stack(bool server) override { return host(server).stack; }
  IpAddress ip(bool server, bool v6) override {
    if (v6) return *IpAddress::Parse(server ? "fd00::2" : "fd00::1");
    return host(server).ip();
  }
  bool Run(Task<void> task) override { return InetFixture::Run(std::move(task)); }
  Nanos now_ns() override { return scheduler_.now_ns(); }
  runtime::FramePool& pool(bool server) override { return *host(server).pool; }
  uint64_t copied_bytes(bool server) override {
    return inet(server).ip.copied_bytes + inet(server).tcp.counters.direct_copied_bytes;
  }
  netstack::Inet& inet(bool server) { return host(server).inet; }

 private:
  InetHost& host(bool server) { return server ? server_ : client_; }
  void TestBody() override {}
};

// The first parameter: over the kernel; the second: IPv6.
class SocketTest : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 public:
  SocketTest() {
    if (kernel()) {
      world_ = std::make_unique<KernelWorld>();
    } else {
      world_ = std::make_unique<InetWorld>();
    }
  }
  static std::string Name(const ::testing::TestParamInfo<std::tuple<bool, bool>>& info) {
    return std::string(std::get<0>(info.param) ? "Kernel" : "Inet") + (std::get<1>(info.param) ? "6" : "4");
  }

 protected:
  struct Ends {
    TcpStream client, server;
  };

  bool kernel() const { return std::get<0>(GetParam()); }
  bool v6() const { return std::get<1>(GetParam()); }
  Endpoint At(bool server, uint16_t port = 0) { return {world_->ip(server, v6()), port}; }
  TcpListener Listen(bool server = true, const TcpListenOptions& options = {}) {
    absl::StatusOr<TcpListener> listener = TcpListener::Listen(world_->stack(server), At(server), options);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return *std::move(listener);
  }
  static Task<void> AcceptOne(TcpListener& listener, TcpStream& stream) {
    absl::StatusOr<TcpStream> accepted = co_await listener.Accept();
    EXPECT_TRUE(accepted.ok()) << accepted.status();
    if (accepted.ok()) stream = *std::move(accepted);
  }
  // Both ends of a connection to `listener`, from the other place than that is in.
  Task<Ends> Connected(TcpListener& listener, bool from_server = false) {
    Ends ends;
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(AcceptOne(listener, ends.server));
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(world_->stack(from_server), listener.local());
    EXPECT_TRUE(client.ok()) << client.status();
    if (client.ok()) ends.client = *std::move(client);
    co_await scope.Join();
    co_return ends;
  }
  Task<Ends> Connected() {
    TcpListener listener = Listen();
    co_return co_await Connected(listener);
  }
  // `body`, a coroutine of the two ends of a connection.
  void RunWith(const std::function<Task<void>(TcpStream& client, TcpStream& server)>& body) {
    auto run = [&]() -> Task<void> {
      Ends ends = co_await Connected();
      co_await body(ends.client, ends.server);
    };
    EXPECT_TRUE(world_->Run(run()));
  }

  std::unique_ptr<SocketWorld> world_;
};

}  // namespace weir::testing

#endif  // TESTS_NETSTACK_SOCKET_SOCKET_WORLD_H_
