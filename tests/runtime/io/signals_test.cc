#include "runtime/io/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "tests/support/loop.h"

namespace weir::runtime {
namespace {

using weir::testing::Loop;

TEST(Signals, TerminationSignalsAreCalls) {
  Loop loop;
  std::vector<int> seen;
  auto signals = Signals::Create(
      loop.reactor(), [](int signal, void* arg) { static_cast<std::vector<int>*>(arg)->push_back(signal); }, &seen);
  ASSERT_TRUE(signals.ok()) << signals.status();
  kill(getpid(), SIGTERM);
  EXPECT_TRUE(loop.RunUntil([&] { return seen.size() == 1; }));
  kill(getpid(), SIGINT);
  EXPECT_TRUE(loop.RunUntil([&] { return seen.size() == 2; }));
  EXPECT_EQ(seen, (std::vector<int>{SIGTERM, SIGINT}));
  signals->reset();
  loop.RunFor(kMillisecond);
}

TEST(Signals, OthersOnRequest) {
  Loop loop;
  std::vector<int> seen;
  auto signals = Signals::Create(
      loop.reactor(), [](int signal, void* arg) { static_cast<std::vector<int>*>(arg)->push_back(signal); }, &seen,
      {SIGUSR1});
  ASSERT_TRUE(signals.ok()) << signals.status();
  kill(getpid(), SIGUSR1);
  EXPECT_TRUE(loop.RunUntil([&] { return seen.size() == 1; }));
  kill(getpid(), SIGTERM);
  EXPECT_TRUE(loop.RunUntil([&] { return seen.size() == 2; }));
  EXPECT_EQ(seen, (std::vector<int>{SIGUSR1, SIGTERM}));
  signals->reset();
  loop.RunFor(kMillisecond);
}

TEST(Signals, SigpipeIsIgnored) {
  ASSERT_TRUE(BlockTerminationSignals().ok());
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  close(fds[0]);
  EXPECT_EQ(write(fds[1], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  close(fds[1]);
}

}  // namespace
}  // namespace weir::runtime
