#include "bench/loadgen/udp_window.h"

#include <gtest/gtest.h>

namespace weir::bench {
namespace {

TEST(UdpWindow, TakesAnAnswerOnce) {
  UdpWindow window(2);
  const UdpTag first = window.Open(/*due_ns=*/5, /*now_ns=*/10), second = window.Open(6, 11);
  EXPECT_FALSE(window.has_room());
  EXPECT_EQ(window.Answered(second), 6);
  EXPECT_EQ(window.Answered(first), 5);
  EXPECT_EQ(window.Answered(first), -1) << "a duplicate";
  EXPECT_TRUE(window.has_room());
}

TEST(UdpWindow, AnAnswerThatIsTooLateIsForNobody) {
  UdpWindow window(1);
  const UdpTag lost = window.Open(1, 10);
  EXPECT_EQ(window.GiveUp(/*before_ns=*/10), 0u);
  EXPECT_EQ(window.GiveUp(11), 1u);
  EXPECT_EQ(window.GiveUp(11), 0u) << "counted twice";
  const UdpTag next = window.Open(2, 20);
  EXPECT_EQ(next.slot, lost.slot);
  EXPECT_EQ(window.Answered(lost), -1);
  EXPECT_EQ(window.Answered(next), 2);
}

TEST(UdpWindow, AnswersOfStrangersAreRefused) {
  UdpWindow window(1);
  EXPECT_EQ(window.Answered({.slot = 1, .number = 0}), -1) << "no such place";
  EXPECT_EQ(window.Answered({.slot = 0, .number = 0}), -1) << "nothing was sent";
}

}  // namespace
}  // namespace weir::bench
