// Sends by reference over kernel sockets: when they are used, and that frames stay as they are until the kernel has
// done with them, however the connection, the stack and the reactor end.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "tests/netstack/socket/kernel_fixture.h"
#include "tests/support/random.h"

namespace weir {
namespace {

using runtime::UniqueFd;
using testing::KernelFixture;
using testing::Pattern;
using testing::RecvText;
using testing::TextOf;

constexpr size_t kLong = 100'000;   // by reference
constexpr size_t kShort = 60'000;   // by copy
constexpr int kTriesAgainAfter = 64;  // KernelStream::kCopiesBetweenTries

SendBuffer Frames(TcpStream& stream, const std::string& text) {
  SendBuffer buffer = stream.NewSendBuffer(text.size());
  EXPECT_EQ(buffer.size(), text.size());
  size_t at = 0;
  for (const iovec& slice : buffer.writable()) {
    std::memcpy(slice.iov_base, text.data() + at, slice.iov_len);
    at += slice.iov_len;
  }
  return buffer;
}

Task<void> SendFrames(TcpStream& stream, std::string text) {
  const absl::Status sent = co_await stream.Sendmsg(Frames(stream, text));
  EXPECT_TRUE(sent.ok()) << sent;
}

// A peer outside of weir that reads only when told to, with so small a window that part of each send stays with the
// sender, where nothing has copied it yet.
class LazyPeer {
 public:
  LazyPeer() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int little = 32 * 1024;  // the kernel doubles it: still less than one send
    EXPECT_EQ(setsockopt(listener_.get(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little), 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    EXPECT_EQ(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    at_ = {IpAddress::V4(testing::kLoopbackV4), ntohs(address.sin_port)};
  }
  const Endpoint& at() const { return at_; }
  void Accept() {
    fd_ = UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const timeval limit{.tv_sec = 20, .tv_usec = 0};
    EXPECT_EQ(setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  }
  // All that comes until `bytes`, the end or an error, which is then in `error`.
  std::string Read(size_t bytes) {
    const int much = 1 << 20;
    EXPECT_EQ(setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &much, sizeof much), 0);
    std::string text(bytes, '\0');
    size_t have = 0;
    while (have < bytes) {
      const ssize_t n = recv(fd_.get(), text.data() + have, bytes - have, 0);
      error = n < 0 && errno != EINTR ? errno : 0;
      if (n == 0 || error != 0) break;
      have += static_cast<size_t>(std::max<ssize_t>(n, 0));
    }
    text.resize(have);
    return text;
  }
  int error = 0;

 private:
  UniqueFd listener_, fd_;
  Endpoint at_;
};

class KernelZeroCopyTest : public KernelFixture {
 protected:
  static constexpr size_t kSends = 4;

  // As in WEIR_TEST_OLD_KERNEL: then everything is sent by copy, and arrives all the same.
  bool Supported() { return loop_.reactor().features().send_zc_report; }
  uint64_t IfSupported(uint64_t count) { return Supported() ? count : 0; }
  uint64_t Sends() { return stack_->stats().zero_copy_sends; }
  uint64_t Copied() { return stack_->stats().zero_copy_copied; }
  uint64_t Pending() { return loop_.reactor().stats().notifications_pending; }

  TcpStream ConnectTo(LazyPeer& peer) {
    absl::StatusOr<TcpStream> stream = loop_.Run(TcpStream::Connect(*stack_, peer.at()));
    EXPECT_TRUE(stream.ok()) << stream.status();
    peer.Accept();
    return *std::move(stream);
  }
  // A send over the loopback, which copies, until its notification.
  void SendAndRead(Ends& ends, const std::string& text) {
    auto body = [&]() -> Task<void> {
      AsyncScope scope(co_await CurrentContext());
      scope.Spawn(SendFrames(ends.client, text));
      EXPECT_TRUE(*co_await RecvText(ends.server, text.size()) == text);
      co_await scope.Join();
    };
    loop_.Run(body());
    EXPECT_TRUE(loop_.RunUntil([&] { return Pending() == 0; }));
  }
  // kSends sends of kLong bytes to a peer that does not read; returns the text.
  std::string SendToLazy(TcpStream& stream) {
    std::string text;
    for (uint32_t i = 0; i < kSends; ++i) {
      const std::string piece = Pattern(kLong, i);
      text += piece;
      loop_.Run(SendFrames(stream, piece));
    }
    return text;
  }
  // Writes to every free frame, so that one that was given back too early shows.
  void Scribble() {
    std::vector<runtime::Frame*> frames;
    while (runtime::Frame* frame = pool_->Alloc()) frames.push_back(frame);
    for (runtime::Frame* frame : frames) {
      std::memset(frame->base, '#', pool_->frame_size());
      runtime::Unref(frame);
    }
  }
};

TEST_F(KernelZeroCopyTest, WhatTheKernelCopiesIsSentByCopyForAWhile) {
  Ends ends = Connect();
  SendAndRead(ends, Pattern(kShort));
  EXPECT_EQ(Sends(), 0u);
  SendAndRead(ends, Pattern(kLong));
  EXPECT_EQ(Sends(), IfSupported(1));
  EXPECT_EQ(Copied(), IfSupported(1));
  for (int i = 0; i < kTriesAgainAfter; ++i) SendAndRead(ends, Pattern(kLong));
  EXPECT_EQ(Sends(), IfSupported(1));
  SendAndRead(ends, Pattern(kLong));
  EXPECT_EQ(Sends(), IfSupported(2));
  EXPECT_EQ(Copied(), IfSupported(2));
  EXPECT_EQ(stack_->stats().zero_copy_refused, 0u);
}

TEST_F(KernelZeroCopyTest, CallersMemoryIsCopied) {
  Ends ends = Connect();
  const std::string text = Pattern(2 * kLong);
  auto send = [&]() -> Task<void> { EXPECT_TRUE((co_await testing::SendText(ends.client, text)).ok()); };
  auto body = [&]() -> Task<void> {
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(send());
    EXPECT_TRUE(*co_await RecvText(ends.server, text.size()) == text);
    co_await scope.Join();
  };
  loop_.Run(body());
  EXPECT_EQ(Sends(), 0u);
}

TEST_F(KernelZeroCopyTest, HalfOfThePoolIsNotForIt) {
  Ends ends = Connect();
  std::vector<runtime::Frame*> held;
  while (pool_->free_count() > pool_->size() / 2) held.push_back(pool_->Alloc());
  SendAndRead(ends, Pattern(kLong));
  EXPECT_EQ(Sends(), 0u);
  for (runtime::Frame* frame : held) runtime::Unref(frame);
  SendAndRead(ends, Pattern(kLong));
  EXPECT_EQ(Sends(), IfSupported(1));
}

// Sends follow each other though nothing is acknowledged, and the frames stay as they are meanwhile.
TEST_F(KernelZeroCopyTest, FramesStayUntilTheKernelHasDone) {
  LazyPeer peer;
  TcpStream stream = ConnectTo(peer);
  const std::string text = SendToLazy(stream);
  EXPECT_EQ(Sends(), IfSupported(kSends));
  EXPECT_EQ(Pending(), IfSupported(kSends));
  Scribble();
  EXPECT_TRUE(peer.Read(text.size()) == text);
  EXPECT_TRUE(loop_.RunUntil([&] { return Pending() == 0; }));
  EXPECT_EQ(Copied(), IfSupported(kSends));
}

// The stream is gone at once, its frames when the peer has taken them.
TEST_F(KernelZeroCopyTest, CloseDoesNotWaitForThePeer) {
  LazyPeer peer;
  TcpStream stream = ConnectTo(peer);
  const std::string text = SendToLazy(stream);
  stream.Close();
  EXPECT_TRUE(loop_.RunUntil([&] { return stack_->stats().sockets == 0; }));
  EXPECT_EQ(Pending(), IfSupported(kSends));
  Scribble();
  EXPECT_TRUE(peer.Read(text.size() + 1) == text);
  EXPECT_EQ(peer.error, 0);  // the end
  EXPECT_TRUE(loop_.RunUntil([&] { return Pending() == 0; }));
}

TEST_F(KernelZeroCopyTest, ResetGivesTheFramesBack) {
  LazyPeer peer;
  TcpStream stream = ConnectTo(peer);
  const std::string text = SendToLazy(stream);
  stream.Reset();
  EXPECT_TRUE(loop_.RunUntil([&] { return Pending() == 0; }));
  peer.Read(text.size());
  EXPECT_EQ(peer.error, ECONNRESET);
}

// The stack's and the reactor's end do not wait either, and the kernel goes on to deliver when the memory is unmapped.
TEST_F(KernelZeroCopyTest, NothingWaitsForThePeerAtTheEnd) {
  LazyPeer peer;
  const std::string text = Pattern(kLong);
  auto pool = *runtime::FramePool::Create({.frame_size = 2048, .frames = 1024});
  {
    testing::Loop loop;
    auto stack = *netstack::KernelStack::Create(loop.reactor(), *pool, loop.scheduler());
    TcpStream stream = *loop.Run(TcpStream::Connect(*stack, peer.at()));
    peer.Accept();
    loop.Run(SendFrames(stream, text));
    EXPECT_EQ(loop.reactor().stats().notifications_pending, IfSupported(1));
    stream.Close();
    stack.reset();
    EXPECT_EQ(loop.reactor().stats().notifications_pending, IfSupported(1));
  }
  EXPECT_EQ(pool->retired() > 0, Supported());
  EXPECT_EQ(pool->outstanding(), pool->retired());
  pool.reset();
  EXPECT_TRUE(peer.Read(text.size() + 1) == text);
}

TEST_F(KernelZeroCopyTest, Cancelled) {
  LazyPeer peer;
  TcpStream stream = ConnectTo(peer);
  std::string text;
  absl::Status status;
  auto send = [&]() -> Task<void> {
    for (uint32_t i = 0; status.ok(); ++i) {
      const std::string piece = Pattern(kLong, i);
      text += piece;
      status = co_await stream.Sendmsg(Frames(stream, piece));
    }
  };
  AsyncScope scope(loop_.context());
  scope.Spawn(send());
  loop_.RunFor(20 * kMillisecond);  // until the send buffer is full
  EXPECT_EQ(scope.live(), 1u);
  scope.RequestStop();
  EXPECT_TRUE(loop_.RunUntil([&] { return scope.live() == 0; }));
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  stream.Close();
  EXPECT_TRUE(loop_.RunUntil([&] { return stack_->stats().sockets == 0; }));
  // Part of the cancelled send may be sent.
  const std::string got = peer.Read(text.size());
  EXPECT_GE(got.size(), text.size() - kLong);
  EXPECT_TRUE(got == text.substr(0, got.size()));
}

// Sends of all lengths, some followed by a reset, a close or a cancellation; the fixture counts frames and sockets.
TEST_F(KernelZeroCopyTest, RandomLengthsAndEnds) {
  testing::Random random;
  TcpListener listener = Listen(testing::Loopback());
  auto recv = [](TcpStream& stream, std::string& got) -> Task<void> {
    for (;;) {
      absl::StatusOr<RecvBuffer> msg = co_await stream.Recvmsg();
      if (!msg.ok() || msg->empty()) co_return;
      got += TextOf(*msg);
    }
  };
  auto send = [&](TcpStream& stream, std::string& text) -> Task<void> {
    for (int sends = static_cast<int>(random.Below(8)); sends >= 0; --sends) {
      const std::string piece = Pattern(1 + random.Below(120'000), static_cast<uint32_t>(sends));
      text += piece;
      const absl::Status sent = co_await stream.Sendmsg(Frames(stream, piece));
      if (!sent.ok()) co_return;
    }
  };
  auto pair = [&]() -> Task<void> {
    Ends ends = co_await Connected(listener);
    std::string text, got;
    AsyncScope sender(co_await CurrentContext()), reader(co_await CurrentContext());
    sender.Spawn(send(ends.client, text));
    reader.Spawn(recv(ends.server, got));
    const bool all = random.OneIn(2);
    if (!all) {
      static_cast<void>(co_await Sleep(std::chrono::microseconds(random.Below(500))));
      if (random.OneIn(3)) ends.client.Reset();
      if (random.OneIn(3)) ends.server.Reset();
      sender.RequestStop();
    }
    co_await sender.Join();
    ends.client.Close();
    co_await reader.Join();
    EXPECT_TRUE(all ? got == text : got == text.substr(0, got.size()));
  };
  for (int i = 0; i < 100; ++i) loop_.Run(pair());
  EXPECT_EQ(Sends() > 0, Supported());
}

}  // namespace
}  // namespace weir
