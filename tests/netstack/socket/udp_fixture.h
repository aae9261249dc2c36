// UdpWorld: two places where UDP sockets can be, over the kernel (its loopback is both) or over weir's own stack (two
// hosts on a cable), so that one test is for both: the public socket promises the same. UdpSocketTest: such a test,
// once for each stack and each version of IP.
#ifndef TESTS_NETSTACK_SOCKET_UDP_FIXTURE_H_
#define TESTS_NETSTACK_SOCKET_UDP_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "runtime/core/sleep.h"
#include "tests/netstack/socket/inet_fixture.h"
#include "tests/netstack/socket/kernel_fixture.h"

namespace weir::testing {

class UdpWorld {
 public:
  virtual ~UdpWorld() = default;
  virtual netstack::SocketStack& stack(bool server) = 0;
  virtual IpAddress ip(bool server, bool v6) = 0;
  virtual bool Run(Task<void> task) = 0;
  virtual Nanos now_ns() = 0;
};

class KernelUdpWorld final : public UdpWorld, KernelFixture {
 public:
  netstack::SocketStack& stack(bool) override { return *stack_; }
  IpAddress ip(bool, bool v6) override { return Loopback(v6).ip; }
  bool Run(Task<void> task) override {
    loop_.Run(std::move(task));
    return true;
  }
  Nanos now_ns() override { return MonotonicNow(); }

 private:
  void TestBody() override {}
};

class InetUdpWorld final : public UdpWorld, InetFixture {
 public:
  InetUdpWorld() {
    for (InetHost* host : {&client_, &server_}) {
      netstack::Interface& interface = *host->inet.ip.interfaces.front();
      const IpPrefix prefix{ip(host == &server_, /*v6=*/true), 64};
      EXPECT_TRUE(host->inet.ip.AddAddress(interface, {prefix, netstack::AddressState::kPreferred}));
    }
  }
  ~InetUdpWorld() override {
    RunUntil([] { return false; });
    EXPECT_EQ(client_.frames_out(), 0u);
    EXPECT_EQ(server_.frames_out(), 0u);
  }
  netstack::SocketStack& stack(bool server) override { return (server ? server_ : client_).stack; }
  IpAddress ip(bool server, bool v6) override {
    if (v6) return *IpAddress::Parse(server ? "fd00::2" : "fd00::1");
    return (server ? server_ : client_).ip();
  }
  bool Run(Task<void> task) override { return InetFixture::Run(std::move(task)); }
  Nanos now_ns() override { return scheduler_.now_ns(); }
  netstack::Inet& inet(bool server) { return (server ? server_ : client_).inet; }

 private:
  void TestBody() override {}
};

// The first parameter: over the kernel; the second: IPv6.
class UdpSocketTest : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 public:
  UdpSocketTest() {
    if (kernel()) {
      world_ = std::make_unique<KernelUdpWorld>();
    } else {
      world_ = std::make_unique<InetUdpWorld>();
    }
  }
  static std::string Name(const ::testing::TestParamInfo<std::tuple<bool, bool>>& info) {
    return std::string(std::get<0>(info.param) ? "Kernel" : "Inet") + (std::get<1>(info.param) ? "6" : "4");
  }

 protected:
  bool kernel() const { return std::get<0>(GetParam()); }
  bool v6() const { return std::get<1>(GetParam()); }
  Endpoint At(bool server, uint16_t port = 0) { return {world_->ip(server, v6()), port}; }
  UdpSocket Bind(bool server, uint16_t port = 0, const UdpBindOptions& options = {}) {
    absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(world_->stack(server), At(server, port), options);
    EXPECT_TRUE(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  // Bound to any address of the family.
  UdpSocket BindAny(bool server, uint16_t port = 0, const UdpBindOptions& options = {}) {
    const Endpoint any{v6() ? IpAddress() : IpAddress::V4(0), port};
    absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(world_->stack(server), any, options);
    EXPECT_TRUE(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  static Task<absl::Status> Send(UdpSocket& socket, std::string text, Endpoint to = {}, UdpSendOptions options = {}) {
    const iovec slice{text.data(), text.size()};
    co_return co_await socket.Sendmsg(std::span(&slice, 1), to, options);
  }
  static Task<std::string> Receive(UdpSocket& socket) {
    absl::StatusOr<Datagram> got = co_await WithTimeout(socket.Recvmsg(), std::chrono::milliseconds(2000));
    co_return got.ok() ? TextOf(got->data) : absl::StatusCodeToString(got.status().code());
  }
  // Whether nothing comes.
  static Task<bool> Silent(UdpSocket& socket) {
    absl::StatusOr<Datagram> got = co_await WithTimeout(socket.Recvmsg(), std::chrono::milliseconds(20));
    co_return absl::IsDeadlineExceeded(got.status());
  }
  static SendBuffer Buffer(UdpSocket& socket, const std::string& text) {
    SendBuffer buffer = socket.NewSendBuffer(text.size());
    if (!text.empty()) std::memcpy(buffer.writable().front().iov_base, text.data(), text.size());
    return buffer;
  }

  std::unique_ptr<UdpWorld> world_;
};

}  // namespace weir::testing

#endif  // TESTS_NETSTACK_SOCKET_UDP_FIXTURE_H_
