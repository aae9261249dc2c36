// SendFile over a socketpair and a TCP connection on the loopback; the peer is a coroutine of the same loop.
#include "runtime/io/send_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "runtime/base/unique_fd.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/sleep.h"
#include "runtime/io/uring_call.h"
#include "tests/support/loop.h"

namespace weir {
namespace {

using runtime::UniqueFd;
using std::chrono::milliseconds;
using testing::Loop;

struct Pair {
  UniqueFd sender, receiver;
};

Pair UnixPair() {
  int fds[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Pair TcpPair() {
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(listener.get(), generic, length), 0);
  EXPECT_EQ(listen(listener.get(), 1), 0);
  EXPECT_EQ(getsockname(listener.get(), generic, &length), 0);
  Pair pair{UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), {}};
  // Bounded, and inherited by what is accepted: left alone, the two would grow to take all of the file.
  const int bytes = 64 * 1024;
  EXPECT_EQ(setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
  EXPECT_EQ(setsockopt(pair.sender.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
  EXPECT_EQ(connect(pair.sender.get(), generic, length), 0);
  pair.receiver = UniqueFd(accept(listener.get(), nullptr, nullptr));
  EXPECT_TRUE(pair.receiver.valid());
  return pair;
}

constexpr size_t kSize = 3'000'000;  // many times what the pipe and the sockets' buffers take

class SendFileTest : public ::testing::TestWithParam<Pair (*)()> {
 protected:
  SendFileTest() : pair_(GetParam()()), pipe_(*SplicePipe::Create()) {
    std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/send_file_test.XXXXXX";
    const int fd = mkostemp(path.data(), O_CLOEXEC);
    EXPECT_GE(fd, 0);
    unlink(path.c_str());
    for (size_t i = 0; i < kSize; ++i) text_ += static_cast<char>('a' + i * i % 23);
    EXPECT_EQ(write(fd, text_.data(), text_.size()), static_cast<ssize_t>(text_.size()));
    file_ = File(loop_.reactor(), fd);
  }

  Task<absl::StatusOr<size_t>> Send(uint64_t offset, size_t n) {
    return SendFile(loop_.reactor(), pipe_, file_, offset, n, pair_.sender.get());
  }
  // Until `n` bytes are there or the end; with a pause after each piece when it is to be slow.
  Task<void> Receive(size_t n, std::string& into, bool slow = false) {
    std::string piece(100'000, ' ');
    while (into.size() < n) {
      const int fd = pair_.receiver.get();
      const int32_t got = co_await runtime::UringCall(
          loop_.reactor(), [&](io_uring_sqe* sqe) { io_uring_prep_recv(sqe, fd, piece.data(), piece.size(), 0); });
      if (got <= 0) co_return;
      into.append(piece, 0, static_cast<size_t>(got));
      if (slow) static_cast<void>(co_await Sleep(milliseconds(1)));
    }
  }
  // Sends while the peer receives.
  absl::StatusOr<size_t> Transfer(uint64_t offset, size_t n, std::string& received, bool slow = false) {
    absl::StatusOr<size_t> result;
    auto body = [&]() -> Task<void> {
      AsyncScope scope(co_await CurrentContext());
      scope.Spawn(Receive(std::min(n, kSize - std::min<size_t>(offset, kSize)), received, slow));
      result = co_await Send(offset, n);
      co_await scope.Join();
    };
    loop_.Run(body());
    return result;
  }

  Loop loop_;
  Pair pair_;
  SplicePipe pipe_;
  File file_;
  std::string text_;
};

TEST_P(SendFileTest, AllOfItInOrder) {
  for (bool slow : {false, true}) {
    std::string received;
    absl::StatusOr<size_t> sent = Transfer(0, kSize, received, slow);
    ASSERT_TRUE(sent.ok()) << sent.status();
    EXPECT_EQ(*sent, kSize);
    EXPECT_TRUE(received == text_);
    EXPECT_EQ(pipe_.left_behind(), 0u);
  }
}

TEST_P(SendFileTest, FromAnOffsetAndToTheEnd) {
  std::string received;
  EXPECT_EQ(*Transfer(1'234'567, 100, received), 100u);
  EXPECT_EQ(received, text_.substr(1'234'567, 100));
  received.clear();
  EXPECT_EQ(*Transfer(kSize - 10, 1'000'000, received), 10u);
  EXPECT_EQ(received, text_.substr(kSize - 10));
  EXPECT_EQ(*Transfer(kSize, 10, received), 0u);
  EXPECT_EQ(*Transfer(kSize + 10, 10, received), 0u);
  EXPECT_EQ(*Transfer(0, 0, received), 0u);
}

// The peer does not read: the transfer waits for room, holds no worker, and ends with the stop. What it leaves in the
// pipe does not get into the next transfer.
TEST_P(SendFileTest, CancelledWhileThePeerIsSlow) {
  AsyncScope scope(loop_.context());
  absl::StatusOr<size_t> result;
  auto body = [&]() -> Task<void> { result = co_await Send(0, kSize); };
  scope.Spawn(body());
  loop_.RunFor(50 * kMillisecond);
  ASSERT_EQ(scope.live(), 1u) << result.status();
  const Nanos start = MonotonicNow();
  scope.RequestStop();
  EXPECT_EQ(scope.live(), 1u);  // not before the final completion
  EXPECT_TRUE(loop_.RunUntil([&] { return scope.live() == 0; }));
  EXPECT_LT(MonotonicNow() - start, 5 * kSecond);
  EXPECT_TRUE(absl::IsCancelled(result.status())) << result.status();
  EXPECT_GT(pipe_.left_behind(), 0u);

  pair_ = GetParam()();
  std::string received;
  EXPECT_EQ(*Transfer(500, 1000, received), 1000u);
  EXPECT_EQ(received, text_.substr(500, 1000));
  EXPECT_EQ(pipe_.left_behind(), 0u);
}

TEST_P(SendFileTest, CancelledAtAnyMoment) {
  for (int us = 0; us < 2000; us += 100) {
    pair_ = GetParam()();
    std::string received;
    AsyncScope scope(loop_.context());
    absl::StatusOr<size_t> result;
    auto body = [&]() -> Task<void> { result = co_await Send(0, kSize); };
    scope.Spawn(Receive(kSize, received));
    scope.Spawn(body());
    loop_.RunFor(us * kMicrosecond);
    scope.RequestStop();
    ASSERT_TRUE(loop_.RunUntil([&] { return scope.live() == 0; }));
    ASSERT_TRUE(result.ok() || absl::IsCancelled(result.status())) << result.status();
    ASSERT_EQ(received, text_.substr(0, received.size()));
  }
  loop_.RunFor(kMillisecond);
  EXPECT_EQ(loop_.reactor().in_flight(), 1u);  // the mailbox's read
}

TEST_P(SendFileTest, UnderATimeout) {
  const absl::StatusOr<size_t> result = loop_.Run(WithTimeout(Send(0, kSize), milliseconds(20)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status())) << result.status();
}

TEST_P(SendFileTest, ThePeerGoes) {
  AsyncScope scope(loop_.context());
  absl::StatusOr<size_t> result;
  auto body = [&]() -> Task<void> { result = co_await Send(0, kSize); };
  scope.Spawn(body());
  loop_.RunFor(20 * kMillisecond);
  pair_.receiver.Reset();
  ASSERT_TRUE(loop_.RunUntil([&] { return scope.live() == 0; }));
  EXPECT_TRUE(absl::IsAborted(result.status())) << result.status();
}

// A receive on the same socket still waits although the socket is non-blocking now.
TEST_P(SendFileTest, ReceivingOnTheSocketIsFree) {
  std::string received;
  ASSERT_TRUE(Transfer(0, 100, received).ok());
  AsyncScope scope(loop_.context());
  int32_t result = 1234;
  char byte = 0;
  auto body = [&]() -> Task<void> {
    const int fd = pair_.sender.get();
    result = co_await runtime::UringCall(loop_.reactor(),
                                         [&](io_uring_sqe* sqe) { io_uring_prep_recv(sqe, fd, &byte, 1, 0); });
  };
  scope.Spawn(body());
  loop_.RunFor(10 * kMillisecond);
  EXPECT_EQ(scope.live(), 1u) << result;
  ASSERT_EQ(write(pair_.receiver.get(), "x", 1), 1);
  EXPECT_TRUE(loop_.RunUntil([&] { return scope.live() == 0; }));
  EXPECT_EQ(result, 1);
}

TEST_P(SendFileTest, NoSuchDescriptor) {
  const absl::Status no_socket = loop_.Run(SendFile(loop_.reactor(), pipe_, file_, 0, 10, -1)).status();
  EXPECT_NE(no_socket.message().find("EBADF"), absl::string_view::npos) << no_socket;
  const File no_file(loop_.reactor(), 12345);
  const absl::Status error =
      loop_.Run(SendFile(loop_.reactor(), pipe_, no_file, 0, 10, pair_.sender.get())).status();
  EXPECT_NE(error.message().find("EBADF"), absl::string_view::npos) << error;
}

INSTANTIATE_TEST_SUITE_P(Sockets, SendFileTest, ::testing::Values(&UnixPair, &TcpPair),
                         [](const auto& info) { return info.index == 0 ? "Unix" : "Tcp"; });

}  // namespace
}  // namespace weir
