// What is not as a script says fails it, with one message that says where, what was expected and what came.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/conformance/player.h"
#include "tests/conformance/weir_stack.h"

namespace weir::conformance {
namespace {

constexpr char kOpen[] =
    "# RFC 9293 §3.5: a connection\n"
    "+0  call listen l\n"
    "+0  in   S 0:0 win 65535 <mss 1460>\n"
    "+0  out  SA 0:0 ack 1 win * <mss 1460>\n"
    "+10 in   A 1:1 ack 1 win 65535\n"
    "+0  call accept l a\n";

// What is said about `lines`, which follow an open connection; "" when nothing is wrong.
std::string Problem(const std::string& lines) {
  Script script;
  std::string error;
  if (!ParseScript("x", absl::StrCat(kOpen, lines), StackKind::kWeir, &script, &error)) return error;
  WeirStack stack(/*v6=*/false, 1500, {});
  const std::string message = Play(script, stack, /*v6=*/false);
  return message.substr(0, message.find('\n'));
}

TEST(Player, AsTheScriptSays) {
  EXPECT_EQ("", Problem("+0 call write a 10\n+0 out PA 1:11 ack 1\n+5 in A 1:1 ack 11 win 65535\n+500 quiet"));
}

TEST(Player, WhatDoesNotCome) {
  EXPECT_EQ("x.wire:7: expected \"+5 out A 1:1 ack 1\", but nothing came", Problem("+5 out A 1:1 ack 1"));
}

TEST(Player, WhatNoLineExpects) {
  EXPECT_EQ("x.wire:8: expected \"+5 quiet\", but 5.000 ms before its time came \"PA 1:11 ack 1 win 65535\"",
            Problem("+0 call write a 10\n+5 quiet"));
  EXPECT_EQ("x.wire:7: expected \"+0 call write a 10\", but before that came \"PA 1:11 ack 1 win 65535\"",
            Problem("+0 call write a 10"));
}

TEST(Player, FieldsOfPackets) {
  for (const char* wrong : {"A 1:12 ack 1", "A 2:11 ack 1", "A 1:11 ack 2", "FA 1:11 ack 1", "A!P 1:11 ack 1",
                            "A 1:11 ack 1 win 7", "A 1:11 ack 1 ttl 63", "A 1:11 ack 1 tos 4", "A 1:11 ack 1 ecn ce",
                            "A 1:11 ack 1 nodf", "A 1:11 ack 1 <sackOK>", "A 1:11", "udp 10"}) {
    EXPECT_NE("", Problem(absl::StrCat("+0 call write a 10\n+0 out ", wrong))) << wrong;
  }
  EXPECT_EQ("", Problem("+0 call write a 10\n+0 out PA 1:11 ack 1 win 1..65535 ttl 64 tos 0 ecn none df <none>"));
}

TEST(Player, Times) {
  const std::string write = "+0 call write a 10\n+0 out A 1:11 ack 1\n";
  EXPECT_EQ("", Problem(write + "+210 out A 1:11 ack 1"));
  EXPECT_EQ("", Problem(write + "+200..220 out A 1:11 ack 1"));
  EXPECT_EQ("", Problem(write + "+* out A 1:11 ack 1"));
  EXPECT_TRUE(absl::StrContains(Problem(write + "+250 out A 1:11 ack 1"), "ms after the line before"));
  EXPECT_TRUE(absl::StrContains(Problem(write + "+150 out A 1:11 ack 1"), "nothing came"));
}

TEST(Player, Calls) {
  EXPECT_EQ("x.wire:7: expected \"+0 call read a 5\", but the call goes on", Problem("+0 call read a 5"));
  EXPECT_EQ("x.wire:7: expected \"+0 call read a 5 = EOF\", but the call goes on", Problem("+0 call read a 5 = EOF"));
  EXPECT_EQ("", Problem("+0 call read a 5 = EAGAIN"));
  const std::string data = "+0 in A 1:11 ack 1 win 65535\n+0 out A 1:1 ack 11\n";
  EXPECT_EQ("", Problem(data + "+0 call read a 99 = 10"));
  EXPECT_EQ("x.wire:9: expected \"+0 call read a 99 = 9\", but it returned 10", Problem(data + "+0 call read a 99 = 9"));
  EXPECT_EQ("x.wire:9: expected \"+0 call read a 99 = ...\", but it returned 10",
            Problem(data + "+0 call read a 99 = ..."));
  EXPECT_EQ("", Problem("+0 call read a 5 = ...\n+7 in R 1:1\n+0 ret read a = ECONNRESET"));
  EXPECT_EQ("x.wire:9: expected \"+0 ret read a = EOF\", but it returned ECONNRESET",
            Problem("+0 call read a 5 = ...\n+7 in R 1:1\n+0 ret read a = EOF"));
  EXPECT_EQ("x.wire:7: expected \"+0 info a state CLOSE-WAIT\", but state is 1", Problem("+0 info a state CLOSE-WAIT"));
}

TEST(Player, WrongLines) {
  EXPECT_EQ("x:7: a line for one stack needs a \"differs: REASON\" before it", Problem("weir: +0 quiet"));
  EXPECT_EQ("", Problem("differs: it is silent\nlinux: +0 out A 1:1 ack 1\ndiffers: as above\nweir: +5 quiet"));
  for (const char* wrong : {"+x quiet", "+0 nothing", "+0 in", "+0 in A 1 ack 1", "+0 in A 1:1 <what 1>", "only v4:",
                            "+0 call", "+0 call nothing a", "+0 in icmp nothing", "hello", "+0 ret read a"}) {
    EXPECT_NE("", Problem(wrong)) << wrong;
  }
  Script script;
  std::string error;
  EXPECT_FALSE(ParseScript("x", "+0 quiet\n", StackKind::kWeir, &script, &error));
  EXPECT_TRUE(absl::StrContains(error, "RFC")) << error;
}

}  // namespace
}  // namespace weir::conformance
