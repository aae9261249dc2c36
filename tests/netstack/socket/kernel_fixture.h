// A kernel stack on a loop of its own, and the coroutines that its tests share. At the end every socket must be closed
// and every frame back.
#ifndef TESTS_NETSTACK_SOCKET_KERNEL_FIXTURE_H_
#define TESTS_NETSTACK_SOCKET_KERNEL_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "netstack/socket/kernel_stack.h"
#include "netstack/socket/tcp_listener.h"
#include "netstack/socket/tcp_stream.h"
#include "netstack/socket/udp_socket.h"
#include "runtime/base/ip_address.h"
#include "runtime/buffer/frame_pool.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/sleep.h"
#include "runtime/core/task.h"
#include "tests/support/loop.h"

namespace weir::testing {

inline constexpr uint32_t kLoopbackV4 = 0x7f000001;

inline Endpoint Loopback(bool v6 = false) {
  return {v6 ? *IpAddress::Parse("::1") : IpAddress::V4(kLoopbackV4), 0};
}

class KernelFixture : public ::testing::Test {
 protected:
  explicit KernelFixture(uint32_t frames = 4096, const netstack::KernelStack::Options& options = {})
      : pool_(*runtime::FramePool::Create({.frame_size = 2048, .frames = frames})) {
    auto stack = netstack::KernelStack::Create(loop_.reactor(), *pool_, loop_.scheduler(), options);
    EXPECT_TRUE(stack.ok()) << stack.status();
    stack_ = *std::move(stack);
  }
  ~KernelFixture() override {
    EXPECT_TRUE(loop_.RunUntil([&] { return stack_->stats().sockets == 0; }));
    stack_.reset();
    EXPECT_TRUE(loop_.RunUntil([&] { return loop_.reactor().stats().notifications_pending == 0; }));
    EXPECT_EQ(pool_->outstanding(), frames_left_) << "frames are lost";
  }

  TcpListener Listen(const Endpoint& at, const TcpListenOptions& options = {}) {
    absl::StatusOr<TcpListener> listener = TcpListener::Listen(*stack_, at, options);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return *std::move(listener);
  }

  // Both ends of a connection over the loopback.
  struct Ends {
    TcpStream client, server;
  };
  Task<void> AcceptOne(TcpListener& listener, TcpStream& stream) {
    absl::StatusOr<TcpStream> accepted = co_await listener.Accept();
    EXPECT_TRUE(accepted.ok()) << accepted.status();
    if (accepted.ok()) stream = *std::move(accepted);
  }
  Task<Ends> Connected(TcpListener& listener) {
    Ends ends;
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(AcceptOne(listener, ends.server));
    absl::StatusOr<TcpStream> connected = co_await TcpStream::Connect(*stack_, listener.local());
    EXPECT_TRUE(connected.ok()) << connected.status();
    if (connected.ok()) ends.client = *std::move(connected);
    co_await scope.Join();
    co_return ends;
  }
  Ends Connect(bool v6 = false) {
    TcpListener listener = Listen(Loopback(v6));
    return loop_.Run(Connected(listener));
  }

  Loop loop_;
  runtime::FramePool::Ptr pool_;
  std::unique_ptr<netstack::KernelStack> stack_;
  uint32_t frames_left_ = 0;  // that a program still holds at the end
};

inline std::string TextOf(const runtime::FrameChain& chain) {
  std::string text;
  for (const iovec& slice : chain.buffers()) text.append(static_cast<const char*>(slice.iov_base), slice.iov_len);
  return text;
}

// Text that differs everywhere, so that a lost or doubled piece shows.
inline std::string Pattern(size_t bytes, uint32_t state = 1) {
  std::string text(bytes, '\0');
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

inline Task<absl::Status> SendText(Stream& stream, const std::string& text) {
  const iovec slice{const_cast<char*>(text.data()), text.size()};
  co_return co_await stream.Sendmsg(std::span(&slice, 1));
}

// Exactly `bytes`, or what came before the end.
inline Task<absl::StatusOr<std::string>> RecvText(Stream& stream, size_t bytes) {
  std::string text(bytes, '\0');
  size_t have = 0;
  while (have < bytes) {
    const iovec slice{text.data() + have, bytes - have};
    absl::StatusOr<size_t> n = co_await stream.Recvmsg(std::span(&slice, 1));
    if (!n.ok()) co_return n.status();
    if (*n == 0) break;
    have += *n;
  }
  text.resize(have);
  co_return text;
}

// The server of the public example: sends everything back until the peer's FIN.
inline Task<void> Echo(Stream stream) {
  for (;;) {
    absl::StatusOr<RecvBuffer> msg = co_await stream.Recvmsg();
    if (!msg.ok() || msg->empty()) co_return;
    absl::Status sent = co_await stream.Sendmsg(*std::move(msg));
    if (!sent.ok()) co_return;
  }
}

}  // namespace weir::testing

#endif  // TESTS_NETSTACK_SOCKET_KERNEL_FIXTURE_H_
