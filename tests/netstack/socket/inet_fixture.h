// InetFixture: two hosts with weir's own stack on a cable, their sockets and coroutines on one scheduler, in virtual time.
#ifndef TESTS_NETSTACK_SOCKET_INET_FIXTURE_H_
#define TESTS_NETSTACK_SOCKET_INET_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "netstack/ip/inet.h"
#include "netstack/link/memory_link.h"
#include "netstack/socket/inet_stack.h"
#include "netstack/socket/tcp_listener.h"
#include "netstack/socket/udp_socket.h"
#include "netstack/tcp/tcp_output.h"
#include "runtime/core/async_scope.h"

namespace weir::testing {

struct InetHost {
  InetHost(uint8_t number, runtime::Scheduler& scheduler, uint32_t frames = 4096,
           const netstack::TcpSettings& tcp = {.fastopen = 3}, uint32_t mtu = 1500)
      : pool(*runtime::FramePool::Create({.frames = frames})),
        inet(Options(number, mtu), tcp, *pool, scheduler.timers()),
        stack(inet, scheduler) {}

  static netstack::IpOptions Options(uint8_t number, uint32_t mtu) {
    netstack::InterfaceOptions interface{.addresses = {{IpAddress::V4(0x0a000000u + number), 24}}};
    interface.device.mac.bytes = {2, 0, 0, 0, 0, number};
    interface.device.mtu = mtu;
    return {.interfaces = {interface}, .secret = {number, 1}};
  }
  IpAddress ip() const { return inet.ip.interfaces.front()->addresses().front().prefix.ip; }
  // Frames that neither a ring nor a queue nor a buffer gave back.
  uint32_t frames_out() const {
    return pool->outstanding() + (inet.ip.heap() == nullptr ? 0 : inet.ip.heap()->outstanding());
  }

  runtime::FramePool::Ptr pool;
  netstack::Inet inet;
  netstack::InetStack stack;
};

class InetFixture : public ::testing::Test {
 protected:
  InetFixture() = default;
  // `mtu`: of the cable.
  explicit InetFixture(uint32_t mtu) : client_(1, scheduler_, 4096, {.fastopen = 3}, mtu),
                                       server_(2, scheduler_, 4096, {.fastopen = 3}, mtu) {}
  // The server's frames and settings.
  InetFixture(uint32_t frames, const netstack::TcpSettings& tcp) : server_{2, scheduler_, frames, tcp} {}

  // Runs turns until `done`; time moves to the next timer when nothing else is left. False when nothing ever will.
  bool RunUntil(const std::function<bool()>& done) {
    while (!done()) {
      if (Turn() > 0 || scheduler_.has_ready()) continue;
      const Nanos next = scheduler_.timers().NextDeadline();
      if (next == kNever) return done();
      scheduler_.set_now_ns(std::max(next, scheduler_.now_ns()));
    }
    return true;
  }
  // The order of a shard's turn, for both hosts. Returns how much happened.
  size_t Turn() {
    size_t work = cut_ ? LoseFrames() : link_.Carry(scheduler_.now_ns());
    client_.stack.RunWakeups();
    server_.stack.RunWakeups();
    work += scheduler_.RunReady();
    scheduler_.timers().Advance(scheduler_.now_ns());
    TcpFlush(client_.inet.tcp, scheduler_.now_ns());
    TcpFlush(server_.inet.tcp, scheduler_.now_ns());
    scheduler_.set_now_ns(scheduler_.now_ns() + kMicrosecond);
    for (InetHost* host : {&client_, &server_}) work += host->inet.ip.interfaces.front()->device.tx_size() + !host->inet.ip.ready.empty();
    return work;
  }
  // What is sent is completed by the device and then lost.
  size_t LoseFrames() {
    size_t lost = 0;
    for (InetHost* host : {&client_, &server_}) {
      netstack::NetDevice& device = host->inet.ip.interfaces.front()->device;
      for (; !device.tx_empty(); ++lost) runtime::Unref(device.TxPop());
    }
    return lost;
  }
  bool Run(Task<void> task) {
    AsyncScope scope(context_);
    scope.Spawn(std::move(task));
    return RunUntil([&] { return scope.live() == 0; });
  }

  runtime::Scheduler scheduler_{kSecond};
  StopSource stop_;
  TaskContext context_{&scheduler_, stop_.token()};
  InetHost client_{1, scheduler_};
  InetHost server_{2, scheduler_};
  netstack::MemoryLink link_{client_.inet, server_.inet};
  bool cut_ = false;  // the cable
};

}  // namespace weir::testing

#endif  // TESTS_NETSTACK_SOCKET_INET_FIXTURE_H_
