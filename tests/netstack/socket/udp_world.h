// UdpWorld: two places where UDP sockets can be, over the kernel (its loopback is both) or over weir's own stack (two hosts
// on a cable), so that one test is for both: the public socket promises the same.
#ifndef TESTS_NETSTACK_SOCKET_UDP_WORLD_H_
#define TESTS_NETSTACK_SOCKET_UDP_WORLD_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

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

}  // namespace weir::testing

#endif  // TESTS_NETSTACK_SOCKET_UDP_WORLD_H_
