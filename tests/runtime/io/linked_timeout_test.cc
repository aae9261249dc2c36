// UringCall(...).Within(...): the operation first, the timeout first, a stop first, and a full submission queue.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>

#include "runtime/base/unique_fd.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/sleep.h"
#include "runtime/io/uring_call.h"
#include "tests/support/loop.h"

namespace weir::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Loop;

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    read = UniqueFd(fds[0]);
    write = UniqueFd(fds[1]);
  }
  void Put(const std::string& text) { EXPECT_EQ(::write(write.get(), text.data(), text.size()), ssize_t(text.size())); }
  UniqueFd read, write;
};

auto ReadFrom(Loop& loop, Pipe& pipe, char& into) {
  return UringCall(loop.reactor(), [&pipe, &into](io_uring_sqe* sqe) {
    io_uring_prep_read(sqe, pipe.read.get(), &into, 1, 0);
  });
}

TEST(LinkedTimeout, OperationFirst) {
  Loop loop;
  Pipe pipe;
  pipe.Put("ab");
  char into = 0;
  auto body = [&]() -> Task<void> {
    EXPECT_EQ(co_await ReadFrom(loop, pipe, into).Within(seconds(30)), 1);
    EXPECT_EQ(into, 'a');
    EXPECT_EQ(co_await ReadFrom(loop, pipe, into).Within(seconds(0)), 1) << "ready at once, before any timeout";
    EXPECT_EQ(loop.reactor().in_flight(), 1u) << "the mailbox's read alone";
    // Later, from outside.
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn([](Pipe& pipe) -> Task<void> {
      static_cast<void>(co_await Sleep(milliseconds(3)));
      pipe.Put("c");
    }(pipe));
    EXPECT_EQ(co_await ReadFrom(loop, pipe, into).Within(seconds(30)), 1);
    EXPECT_EQ(into, 'c');
    co_await scope.Join();
  };
  loop.Run(body());
}

TEST(LinkedTimeout, TimeoutFirst) {
  Loop loop;
  Pipe pipe;
  char into = 0;
  auto body = [&]() -> Task<void> {
    for (int i = 0; i < 20; ++i) EXPECT_EQ(co_await ReadFrom(loop, pipe, into).Within(milliseconds(1)), -ETIME);
    EXPECT_EQ(co_await ReadFrom(loop, pipe, into).Within(milliseconds(-5)), -ETIME);
    pipe.Put("d");
    EXPECT_EQ(co_await ReadFrom(loop, pipe, into).Within(milliseconds(1)), 1) << "the pipe lost nothing";
    EXPECT_EQ(into, 'd');
  };
  loop.Run(body());
}

TEST(LinkedTimeout, StopFirst) {
  Loop loop;
  Pipe pipe;
  char into = 0;
  auto body = [&]() -> Task<void> {
    int32_t result = 0;
    AsyncScope scope(co_await CurrentContext());
    const auto read = [](Loop& loop, Pipe& pipe, char& into, int32_t& result) -> Task<void> {
      result = co_await ReadFrom(loop, pipe, into).Within(seconds(30));
      EXPECT_EQ(co_await ReadFrom(loop, pipe, into).Within(seconds(30)), -ECANCELED) << "stopped before";
    };
    scope.Spawn(read(loop, pipe, into, result));
    static_cast<void>(co_await Sleep(milliseconds(2)));
    scope.RequestStop();
    scope.RequestStop();
    co_await scope.Join();
    EXPECT_EQ(result, -ECANCELED);
  };
  loop.Run(body());
}

// Link and timeout reach the kernel together, whatever the queue's fill level; else the operation would not be bounded.
TEST(LinkedTimeout, FullSubmissionQueue) {
  Loop loop({.entries = 4});
  Pipe pipe;
  auto body = [&]() -> Task<void> {
    int expired = 0;
    AsyncScope scope(co_await CurrentContext());
    const auto read = [](Loop& loop, Pipe& pipe, int& expired) -> Task<void> {
      char into = 0;
      expired += co_await ReadFrom(loop, pipe, into).Within(milliseconds(5)) == -ETIME;
    };
    const auto nop = [](Loop& loop) -> Task<void> {
      EXPECT_EQ(co_await UringCall(loop.reactor(), [](io_uring_sqe* sqe) { io_uring_prep_nop(sqe); }), 0);
    };
    for (int i = 0; i < 21; ++i) {
      scope.Spawn(read(loop, pipe, expired));
      if (i % 2 == 0) scope.Spawn(nop(loop));
    }
    co_await scope.Join();
    EXPECT_EQ(expired, 21);
  };
  loop.Run(body());
}

}  // namespace
}  // namespace weir::runtime
