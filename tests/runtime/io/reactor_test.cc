#include "runtime/io/reactor.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "runtime/core/sleep.h"
#include "runtime/io/uring_call.h"
#include "tests/support/loop.h"

namespace weir::runtime {
namespace {

using std::chrono::milliseconds;
using weir::testing::Loop;

struct Pipe {
  Pipe() {
    int fds[2];
    WEIR_CHECK(pipe2(fds, O_CLOEXEC) == 0);
    read_end = UniqueFd(fds[0]);
    write_end = UniqueFd(fds[1]);
  }
  UniqueFd read_end, write_end;
};

struct CountingOp : UringOp {
  CountingOp() : UringOp([](UringOp& op, int32_t result, uint32_t) {
                   auto& self = static_cast<CountingOp&>(op);
                   ++self.completions;
                   self.result = result;
                 }) {}
  int completions = 0;
  int32_t result = 0;
};

TEST(UringSetupError, SaysWhatIsWrongAndWhatToDo) {
  EXPECT_EQ(UringSetupError(EPERM, 2).message(),
            "io_uring is disabled (kernel.io_uring_disabled=2): 'sysctl -w kernel.io_uring_disabled=0' enables it");
  EXPECT_NE(UringSetupError(ENOSYS, 0).message().find("seccomp"), absl::string_view::npos);
  EXPECT_NE(UringSetupError(EINVAL, 0).message().find("needs Linux 6.1"), absl::string_view::npos);
  EXPECT_NE(UringSetupError(ENOMEM, 0).message().find("ENOMEM"), absl::string_view::npos);
}

TEST(Reactor, PollWithNothingToDoMakesNoSystemCall) {
  Loop loop;
  loop.RunFor(kMillisecond);
  const uint64_t syscalls = loop.reactor().stats().syscalls;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(loop.reactor().Poll(), 0u);
  EXPECT_EQ(loop.reactor().stats().syscalls, syscalls);
}

// One io_uring_enter submits all there is.
TEST(Reactor, OneSystemCallForManyOperations) {
  Loop loop;
  loop.reactor().Poll();
  const uint64_t syscalls = loop.reactor().stats().syscalls;
  std::vector<CountingOp> ops(100);
  for (CountingOp& op : ops) io_uring_prep_nop(loop.reactor().Prepare(op));
  EXPECT_EQ(loop.reactor().Poll(), 100u);
  EXPECT_EQ(loop.reactor().stats().syscalls, syscalls + 1);
  for (CountingOp& op : ops) EXPECT_EQ(op.completions, 1);
}

TEST(Reactor, SubmissionAndCompletionQueuesMayOverflow) {
  Loop loop({.entries = 4});  // and 16 completions
  std::vector<CountingOp> ops(1000);
  for (CountingOp& op : ops) io_uring_prep_nop(loop.reactor().Prepare(op));
  size_t completed = 0;
  for (int i = 0; i < 1000 && completed < ops.size(); ++i) completed += loop.reactor().Poll();
  EXPECT_EQ(completed, ops.size());
  for (CountingOp& op : ops) EXPECT_EQ(op.completions, 1);
  EXPECT_GT(loop.reactor().stats().overflows, 0u);
}

TEST(Reactor, WaitEndsAtTheDeadlineAndNotBefore) {
  Loop loop;
  loop.reactor().Poll();
  for (Nanos delay : {Nanos{0}, 200 * kMicrosecond, 20 * kMillisecond}) {
    const Nanos start = MonotonicNow();
    loop.reactor().Wait(start + delay);
    const Nanos waited = MonotonicNow() - start;
    EXPECT_GE(waited, delay);
    EXPECT_LT(waited, delay + kSecond);
  }
  loop.reactor().Wait(MonotonicNow() - kSecond);  // passed: at once
}

TEST(Reactor, WaitEndsWithACompletion) {
  Loop loop;
  Pipe pipe;
  CountingOp op;
  char byte;
  io_uring_prep_read(loop.reactor().Prepare(op), pipe.read_end.get(), &byte, 1, 0);
  EXPECT_EQ(loop.reactor().Poll(), 0u);
  ASSERT_EQ(write(pipe.write_end.get(), "x", 1), 1);
  loop.reactor().Wait(kNever);
  EXPECT_EQ(loop.reactor().Poll(), 1u);
  EXPECT_EQ(op.result, 1);
  EXPECT_EQ(byte, 'x');
}

TEST(Reactor, CancelEndsWithTheTargetsOwnCompletion) {
  Loop loop;
  Pipe pipe;
  CountingOp op;
  char byte;
  EXPECT_FALSE(loop.reactor().Cancel(op));  // not in flight
  io_uring_prep_read(loop.reactor().Prepare(op), pipe.read_end.get(), &byte, 1, 0);
  loop.reactor().Poll();
  EXPECT_TRUE(loop.reactor().Cancel(op));
  EXPECT_FALSE(loop.reactor().Cancel(op));  // twice
  EXPECT_TRUE(op.in_flight());
  EXPECT_TRUE(loop.RunUntil([&] { return !op.in_flight(); }));
  loop.RunFor(5 * kMillisecond);
  EXPECT_EQ(op.completions, 1);
  EXPECT_EQ(op.result, -ECANCELED);
  EXPECT_FALSE(loop.reactor().Cancel(op));  // finished
  // The same place may be used again at once; the old cancel does not hit it.
  io_uring_prep_read(loop.reactor().Prepare(op), pipe.read_end.get(), &byte, 1, 0);
  ASSERT_EQ(write(pipe.write_end.get(), "y", 1), 1);
  EXPECT_TRUE(loop.RunUntil([&] { return !op.in_flight(); }));
  EXPECT_EQ(op.result, 1);
}

TEST(Reactor, CancelBeforeSubmission) {
  Loop loop;
  Pipe pipe;
  CountingOp op;
  char byte;
  io_uring_prep_read(loop.reactor().Prepare(op), pipe.read_end.get(), &byte, 1, 0);
  loop.reactor().Cancel(op);
  EXPECT_TRUE(loop.RunUntil([&] { return !op.in_flight(); }));
  EXPECT_EQ(op.result, -ECANCELED);
}

TEST(Reactor, DestructorWaitsForWhatIsInFlight) {
  Pipe pipe;
  CountingOp op;
  char byte;
  {
    Loop loop;
    io_uring_prep_read(loop.reactor().Prepare(op), pipe.read_end.get(), &byte, 1, 0);
  }
  EXPECT_EQ(op.completions, 1);
  EXPECT_EQ(op.result, -ECANCELED);
}

TEST(Reactor, WatchReadableUntilUnwatch) {
  Loop loop;
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  struct Seen {
    int fd;
    int calls = 0;
  } seen{event.get()};
  loop.reactor().WatchReadable(
      event.get(),
      [](void* arg) {
        auto& self = *static_cast<Seen*>(arg);
        uint64_t value;
        if (read(self.fd, &value, sizeof value) == sizeof value) ++self.calls;
      },
      &seen);
  for (int i = 1; i <= 3; ++i) {
    ASSERT_EQ(eventfd_write(event.get(), 1), 0);
    EXPECT_TRUE(loop.RunUntil([&] { return seen.calls == i; }));
  }
  loop.reactor().Unwatch(event.get());
  ASSERT_EQ(eventfd_write(event.get(), 1), 0);
  loop.RunFor(5 * kMillisecond);
  EXPECT_EQ(seen.calls, 3);
  EXPECT_EQ(loop.reactor().in_flight(), 1u);  // the mailbox's read
}

TEST(UringCall, GivesTheResult) {
  Loop loop;
  Pipe pipe;
  auto body = [&]() -> Task<void> {
    const int fd = pipe.write_end.get();
    EXPECT_EQ(co_await UringCall(loop.reactor(), [fd](io_uring_sqe* s) { io_uring_prep_write(s, fd, "abc", 3, 0); }),
              3);
    EXPECT_EQ(co_await UringCall(loop.reactor(), [](io_uring_sqe* s) { io_uring_prep_read(s, -1, nullptr, 0, 0); }),
              -EBADF);
  };
  loop.Run(body());
}

TEST(UringCall, CancelledByItsScope) {
  Loop loop;
  Pipe pipe;
  int32_t result = 0;
  char byte;
  AsyncScope scope(loop.context());
  auto read_one = [&]() -> Task<void> {
    const int fd = pipe.read_end.get();
    result = co_await UringCall(loop.reactor(), [&](io_uring_sqe* s) { io_uring_prep_read(s, fd, &byte, 1, 0); });
  };
  scope.Spawn(read_one());
  loop.RunFor(kMillisecond);
  scope.RequestStop();
  EXPECT_EQ(scope.live(), 1u);  // not before the final completion
  EXPECT_TRUE(loop.RunUntil([&] { return scope.live() == 0; }));
  EXPECT_EQ(result, -ECANCELED);
  scope.Spawn(read_one());  // stopped from the start
  EXPECT_EQ(scope.live(), 0u);
}

// The data and the stop come in the same turn: the data wins, nothing is lost.
TEST(UringCall, TheRealResultWinsWhenItCameFirst) {
  Loop loop;
  Pipe pipe;
  int32_t result = 0;
  char byte = 0;
  AsyncScope scope(loop.context());
  auto read_one = [&]() -> Task<void> {
    const int fd = pipe.read_end.get();
    result = co_await UringCall(loop.reactor(), [&](io_uring_sqe* s) { io_uring_prep_read(s, fd, &byte, 1, 0); });
  };
  ASSERT_EQ(write(pipe.write_end.get(), "x", 1), 1);
  scope.Spawn(read_one());
  scope.RequestStop();
  EXPECT_TRUE(loop.RunUntil([&] { return scope.live() == 0; }));
  EXPECT_EQ(result, 1);
  EXPECT_EQ(byte, 'x');
}

TEST(UringCall, UnderATimeout) {
  Loop loop;
  Pipe pipe;
  char byte;
  auto read_one = [&]() -> Task<absl::Status> {
    const int fd = pipe.read_end.get();
    const int32_t result =
        co_await UringCall(loop.reactor(), [&](io_uring_sqe* s) { io_uring_prep_read(s, fd, &byte, 1, 0); });
    co_return result == -ECANCELED ? absl::CancelledError("") : absl::OkStatus();
  };
  const Nanos start = loop.scheduler().now_ns();  // which is what the timeout counts from
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop.Run(WithTimeout(read_one(), milliseconds(10)))));
  EXPECT_GE(MonotonicNow(), start + 10 * kMillisecond);
}

}  // namespace
}  // namespace weir::runtime
