#include "runtime/core/stop_token.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace weir {
namespace {

struct Counter : StopCallback {
  Counter() : StopCallback([](StopCallback& self) { ++static_cast<Counter&>(self).calls; }) {}
  ~Counter() { Unregister(); }
  int calls = 0;
};

TEST(StopToken, DefaultIsNeverStopped) {
  StopToken token;
  EXPECT_FALSE(token.stop_requested());
  Counter counter;
  EXPECT_TRUE(counter.Register(token));
}

TEST(StopToken, CallsEachCallbackOnce) {
  StopSource source;
  Counter a, b, gone;
  EXPECT_TRUE(a.Register(source.token()));
  EXPECT_TRUE(gone.Register(source.token()));
  EXPECT_TRUE(b.Register(source.token()));
  gone.Unregister();
  source.RequestStop();
  source.RequestStop();
  EXPECT_TRUE(source.token().stop_requested());
  EXPECT_EQ(a.calls, 1);
  EXPECT_EQ(b.calls, 1);
  EXPECT_EQ(gone.calls, 0);
  Counter late;
  EXPECT_FALSE(late.Register(source.token()));
  EXPECT_EQ(late.calls, 0);
}

TEST(StopToken, ACallbackMayUnregisterAnother) {
  struct Pair : StopCallback {
    Pair() : StopCallback([](StopCallback& c) {
               auto& self = static_cast<Pair&>(c);
               ++self.calls;
               self.other->Unregister();
             }) {}
    Pair* other = nullptr;
    int calls = 0;
  };
  StopSource source;
  Pair a, b;
  a.other = &b, b.other = &a;
  EXPECT_TRUE(a.Register(source.token()) && b.Register(source.token()));
  source.RequestStop();
  EXPECT_EQ(a.calls + b.calls, 1);
}

TEST(LinkedStopSource, StopsWithItsParentAndNotTheOtherWay) {
  StopSource parent;
  LinkedStopSource child(parent.token());
  auto sibling = std::make_unique<LinkedStopSource>(parent.token());
  auto gone = std::make_unique<LinkedStopSource>(parent.token());
  gone.reset();
  child.RequestStop();
  EXPECT_TRUE(child.stop_requested());
  EXPECT_FALSE(parent.stop_requested());
  EXPECT_FALSE(sibling->stop_requested());
  LinkedStopSource grandchild(sibling->token());
  parent.RequestStop();
  EXPECT_TRUE(sibling->stop_requested());
  EXPECT_TRUE(grandchild.stop_requested());
  LinkedStopSource late(parent.token());
  EXPECT_TRUE(late.stop_requested());
}

}  // namespace
}  // namespace weir
