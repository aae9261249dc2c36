// Fixed files: operations by slot, slots used again, a full table, files that cannot be entered.
#include "runtime/io/fixed_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>

#include "runtime/base/unique_fd.h"
#include "runtime/core/sleep.h"
#include "runtime/io/reactor.h"
#include "tests/support/loop.h"

namespace weir::runtime {
namespace {

using testing::Loop;

struct Socketpair {
  Socketpair() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ours = UniqueFd(fds[0]);
    peers = UniqueFd(fds[1]);
  }
  // What the peer has to read: "" nothing yet, "<end>" the end.
  std::string Read() {
    char text[64];
    const ssize_t n = read(peers.get(), text, sizeof text);
    return n < 0 ? "" : n == 0 ? "<end>" : std::string(text, static_cast<size_t>(n));
  }
  UniqueFd ours, peers;
};

struct Sender : UringOp {
  Sender() : UringOp(&OnCqe) {}
  static void OnCqe(UringOp& op, int32_t result, uint32_t) { static_cast<Sender&>(op).result = result; }
  int32_t result = 0;
};

class FixedFilesTest : public ::testing::Test {
 protected:
  FixedFilesTest() : files_(loop_.reactor().fixed_files()) {}
  void SetUp() override {
    if (files_.entries() == 0) GTEST_SKIP() << "this kernel has no fixed files that are released at once (Linux 6.13)";
  }

  int32_t Send(FixedFile& file, const char* text) {
    Sender sender;
    file.Use(files_);
    io_uring_sqe* sqe = loop_.reactor().Prepare(sender);
    io_uring_prep_send(sqe, -1, text, 1, MSG_NOSIGNAL);
    file.Name(sqe);
    EXPECT_TRUE(loop_.RunUntil([&] { return !sender.in_flight(); }));
    return sender.result;
  }
  int32_t SendBySlot(int slot) {
    Sender sender;
    io_uring_sqe* sqe = loop_.reactor().Prepare(sender);
    io_uring_prep_send(sqe, slot, "s", 1, MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE;
    EXPECT_TRUE(loop_.RunUntil([&] { return !sender.in_flight(); }));
    return sender.result;
  }

  void RunFor(std::chrono::milliseconds time) {
    const auto sleep = [&]() -> Task<void> { EXPECT_TRUE((co_await Sleep(time)).ok()); };
    loop_.Run(sleep());
  }

  Loop loop_;
  FixedFiles& files_;
};

TEST_F(FixedFilesTest, SlotsAreUsedAgainInOrder) {
  Socketpair a, b;
  const int slot = files_.Add(a.ours.get());
  EXPECT_EQ(SendBySlot(slot), 1);
  EXPECT_EQ(a.Read(), "s");
  // Away and taken again before either reaches the kernel.
  files_.Remove(slot);
  EXPECT_EQ(files_.Add(b.ours.get()), slot) << "the last one given back is taken first";
  EXPECT_EQ(SendBySlot(slot), 1);
  EXPECT_EQ(a.Read(), "");
  EXPECT_EQ(b.Read(), "s");
  files_.Remove(slot);
  EXPECT_EQ(SendBySlot(slot), -EBADF);
  EXPECT_EQ(files_.used(), 0u);
}

TEST_F(FixedFilesTest, NoMoreThanTheDescriptors) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_LE(files_.entries(), limit.rlim_cur);
  EXPECT_LE(files_.entries(), FixedFiles::kMaxEntries);
  Socketpair a;
  for (size_t i = 0; i < files_.entries(); ++i) ASSERT_NE(files_.Add(a.ours.get()), FixedFiles::kNone);
  EXPECT_EQ(files_.Add(a.ours.get()), FixedFiles::kNone);
  for (size_t i = 0; i < files_.entries(); ++i) files_.Remove(static_cast<int>(i));
  EXPECT_EQ(SendBySlot(7), -EBADF);
}

TEST_F(FixedFilesTest, UsedOften) {
  Socketpair a;
  FixedFile file(a.ours.get());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Send(file, "x"), 1);
  EXPECT_EQ(files_.used(), 1u);
  EXPECT_EQ(a.Read().size(), 64u);
  EXPECT_EQ(a.Read().size(), 36u);
  // The file goes with its descriptor: the peer sees the end at once.
  file.Leave(files_);
  loop_.reactor().CloseFd(a.ours.Release());
  RunFor(std::chrono::milliseconds(1));
  EXPECT_EQ(a.Read(), "<end>");
  EXPECT_EQ(files_.used(), 0u);
}

// Another file's operation that is blocked does not keep this one open.
TEST_F(FixedFilesTest, ReleasedAtOnce) {
  Socketpair blocked, closed;
  const std::string much(4 << 20, 'x');
  Sender sender;
  const int slow = files_.Add(blocked.ours.get());
  io_uring_sqe* sqe = loop_.reactor().Prepare(sender);
  io_uring_prep_send(sqe, slow, much.data(), much.size(), MSG_NOSIGNAL | MSG_WAITALL);
  sqe->flags |= IOSQE_FIXED_FILE;
  const int slot = files_.Add(closed.ours.get());
  EXPECT_EQ(SendBySlot(slot), 1);
  EXPECT_EQ(closed.Read(), "s");
  files_.Remove(slot);
  loop_.reactor().CloseFd(closed.ours.Release());
  RunFor(std::chrono::milliseconds(1));
  EXPECT_EQ(closed.Read(), "<end>");
  EXPECT_TRUE(sender.in_flight());
  loop_.reactor().CancelAndDrain(sender);
  files_.Remove(slow);
}

// A file that the kernel could not enter is named by its descriptor again.
TEST_F(FixedFilesTest, FallsBack) {
  UniqueFd closed(open("/dev/null", O_WRONLY | O_CLOEXEC));
  FixedFile file(closed.get());
  const int fd = closed.get();
  closed.Reset();
  int32_t result = 0;
  for (int i = 0; i < 16; ++i) result = Send(file, "x");
  EXPECT_EQ(result, -EBADF);
  EXPECT_EQ(files_.used(), 1u);
  EXPECT_TRUE(file.FallBack(files_, result));
  EXPECT_EQ(files_.used(), 0u);
  Socketpair a;
  ASSERT_EQ(dup2(a.ours.get(), fd), fd);
  UniqueFd again(fd);
  EXPECT_EQ(Send(file, "x"), 1) << "by descriptor";
  EXPECT_FALSE(file.FallBack(files_, -EBADF)) << "there is nothing to fall back to any more";
}

}  // namespace
}  // namespace weir::runtime
