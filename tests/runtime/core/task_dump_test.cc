#include "runtime/core/task_dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "runtime/core/async_event.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/channel.h"
#include "runtime/core/sleep.h"
#include "runtime/core/when_all.h"
#include "tests/support/loop.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using std::chrono::milliseconds;
using testing::VirtualLoop;

std::string Dump(VirtualLoop& loop) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* out = open_memstream(&text, &size);
  DumpTasks(out, loop.scheduler());
  std::fclose(out);
  const std::string dump(text, size);
  std::free(text);
  return dump;
}

Task<void> WaitInside(AsyncEvent& event) { static_cast<void>(co_await event.Wait()); }
Task<void> WaitOverACall(AsyncEvent& event) { co_await WaitInside(event); }
Task<void> RecvForever(Channel<int>& channel) { static_cast<void>(co_await channel.Recv()); }
Task<void> Nap() { static_cast<void>(co_await Sleep(milliseconds(1))); }
Task<void> NapTwice() { co_await WhenAll(Nap(), Nap()); }

TEST(DumpTasks, NamesEachTaskAndWhatItWaitsFor) {
  VirtualLoop loop;
  EXPECT_EQ(Dump(loop), "weir: 0 tasks in 0 scopes\n");
  AsyncEvent event;
  Channel<int> channel(1);
  AsyncScope scope(loop.context());
  AsyncScope empty(loop.context());
  scope.Spawn(WaitOverACall(event));
  scope.Spawn(RecvForever(channel));
  scope.Spawn(Nap());
  std::string dump = Dump(loop);
  EXPECT_THAT(dump, MatchesRegex("weir: 3 tasks in 1 scope\n"
                                 "  scope at [^\n]*task_dump_test.cc:[0-9]+ in [^\n]*TestBody\\(\\): 3 tasks\n"
                                 "    [^\n]*WaitOverACall\\(AsyncEvent &\\) \\([^\n]*task_dump_test.cc:[0-9]+\\), "
                                 "spawned at [^\n]*task_dump_test.cc:[0-9]+, waits for event in "
                                 "[^\n]*WaitInside\\(AsyncEvent &\\) \\([^\n]*task_dump_test.cc:[0-9]+\\)\n"
                                 "    [^\n]*RecvForever[^\n]*, waits for channel recv\n"
                                 "    [^\n]*Nap\\(\\)[^\n]*, waits for sleep\n"));
  scope.RequestStop();
  EXPECT_THAT(Dump(loop), HasSubstr(": 3 tasks, stop requested\n"));
  loop.RunAll();
  EXPECT_EQ(Dump(loop), "weir: 0 tasks in 0 scopes\n");
}

TEST(DumpTasks, ShowsTheTasksUnderWhenAll) {
  VirtualLoop loop;
  AsyncScope scope(loop.context());
  scope.Spawn(NapTwice());
  const std::string dump = Dump(loop);
  EXPECT_THAT(dump, HasSubstr("weir: 3 tasks in 2 scopes\n"));
  EXPECT_THAT(dump, HasSubstr("waits for the tasks of a scope in "));
  loop.RunAll();
}

// From a task: it is shown with what it last waited for, or as not having waited.
TEST(DumpTasks, FromInsideATask) {
  VirtualLoop loop;
  std::string before, after;
  auto body = [&]() -> Task<void> {
    before = Dump(loop);
    co_await Yield();
    after = Dump(loop);
  };
  AsyncScope scope(loop.context());
  scope.Spawn(body());
  loop.RunAll();
  EXPECT_THAT(before, HasSubstr("has not waited\n"));
  EXPECT_THAT(after, HasSubstr("waits for its turn\n"));
}

}  // namespace
}  // namespace weir
