// What IGMPv3 and MLDv2 hosts have in common, each rule for both: RFC 3376 §3.2 and §5, RFC 3810 §4.2 and §6; and the
// older versions, RFC 2236 §3 and RFC 2710 §4. Sections named are RFC 3376's.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "tests/netstack/ip/group_host.h"

namespace weir::testing_support {
namespace {

using netstack::GroupCall;
using netstack::UdpSock;
using enum netstack::GroupCall;

class MulticastTest : public ::testing::TestWithParam<bool> {
 protected:
  MulticastTest() : host_(GetParam()) {}

  // Everything that is said within `ns`.
  std::string Within(Nanos ns) {
    host_.Advance(ns);
    return host_.Sent();
  }
  void Quiet() {
    host_.Advance(30 * kSecond);
    host_.TakeMessages();
  }

  GroupHost host_;
};

INSTANTIATE_TEST_SUITE_P(Multicast, MulticastTest, ::testing::Values(true, false),
                         [](const auto& info) { return info.param ? "Igmp" : "Mld"; });

TEST_P(MulticastTest, ChangesAreToldTwice) {  // §5.1, §8.1, §8.11
  UdpSock* sock = host_.Bind();
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  EXPECT_EQ("to_ex g1 {}", host_.SentNow());
  EXPECT_EQ("to_ex g1 {}", Within(kSecond + kMillisecond));
  EXPECT_EQ("", Within(600 * kSecond));
  EXPECT_EQ(0, host_.Call(sock, kLeave, 1));
  EXPECT_EQ("to_in g1 {}", host_.SentNow());
  EXPECT_EQ("to_in g1 {}", Within(kSecond + kMillisecond));
  EXPECT_EQ("", Within(600 * kSecond));
}

// §5.1: the table of records, by the state before and after.
TEST_P(MulticastTest, RecordsOfChanges) {
  UdpSock* sock = host_.Bind();
  struct {
    GroupCall call;
    int source;
    const char* told;
  } const steps[] = {
      {kJoinSource, 1, "allow g1 {s1}"},  {kJoinSource, 2, "allow g1 {s2}"},  {kLeaveSource, 1, "block g1 {s1}"},
      {kLeaveSource, 2, "block g1 {s2}"}, {kJoin, 0, "to_ex g1 {}"},          {kBlockSource, 3, "block g1 {s3}"},
      {kBlockSource, 4, "block g1 {s4}"}, {kUnblockSource, 3, "allow g1 {s3}"}, {kLeave, 0, "to_in g1 {}"},
      {kJoinSource, 5, "allow g1 {s5}"},  {kLeave, 0, "block g1 {s5}"},
  };
  for (const auto& s : steps) {
    EXPECT_EQ(0, host_.Call(sock, s.call, 1, s.source));
    EXPECT_EQ(s.told, host_.SentNow());
    EXPECT_EQ(s.told, Within(2 * kSecond));
    EXPECT_EQ("", Within(100 * kSecond));
  }
  // A mode that changes with its list: an empty EXCLUDE may become INCLUDE, and two sockets make it so again.
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  Quiet();
  EXPECT_EQ(0, host_.Call(sock, kJoinSource, 1, 6));
  EXPECT_EQ("to_in g1 {s6}", host_.SentNow());
  EXPECT_EQ("to_in g1 {s6}", Within(2 * kSecond));
}

// §3.2: routers hear of what all sockets want together.
TEST_P(MulticastTest, FiltersAreMerged) {
  UdpSock *a = host_.Bind(), *b = host_.Bind(), *c = host_.Bind();
  struct {
    UdpSock* sock;
    GroupCall call;
    int source;
    const char* told;
  } const steps[] = {
      {a, kJoinSource, 1, "allow g1 {s1}"},
      {b, kJoinSource, 1, ""},
      {b, kJoinSource, 2, "allow g1 {s2}"},
      {a, kLeaveSource, 1, ""},
      {c, kJoin, 0, "to_ex g1 {}"},
      {c, kBlockSource, 2, ""},  // b wants it
      {c, kBlockSource, 3, "block g1 {s3}"},
      {a, kJoin, 0, "allow g1 {s3}"},
      {a, kBlockSource, 3, "block g1 {s3}"},
      {a, kBlockSource, 4, ""},  // c wants it
      {b, kLeaveSource, 2, ""},  // a wants it
      {a, kBlockSource, 2, "block g1 {s2}"},
  };
  for (size_t i = 0; i < std::size(steps); ++i) {
    const auto& s = steps[i];
    EXPECT_EQ(0, host_.Call(s.sock, s.call, 1, s.source)) << i;
    EXPECT_EQ(s.told, host_.SentNow()) << i;
    if (*s.told != '\0') EXPECT_EQ(s.told, Within(2 * kSecond)) << i;
  }
  host_.Unbind(c);
  EXPECT_EQ("block g1 {s4}", host_.SentNow());
  Quiet();
  host_.Unbind(a);
  host_.Unbind(b);
  EXPECT_EQ("to_in g1 {}", host_.SentNow());
}

// §5.1: a change before the last one was told as often as it should goes with the rest of that.
TEST_P(MulticastTest, ChangesThatOverlap) {
  UdpSock* sock = host_.Bind();
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  EXPECT_EQ("to_ex g1 {}", host_.SentNow());
  EXPECT_EQ(0, host_.Call(sock, kBlockSource, 1, 1));
  EXPECT_EQ("to_ex g1 {s1}", host_.SentNow());  // the mode still has one to go, with the whole list
  EXPECT_EQ("block g1 {s1}", Within(2 * kSecond));
  EXPECT_EQ("", Within(100 * kSecond));
  EXPECT_EQ(0, host_.Call(sock, kBlockSource, 1, 2));
  EXPECT_EQ("block g1 {s2}", host_.SentNow());
  EXPECT_EQ(0, host_.Call(sock, kUnblockSource, 1, 2));
  EXPECT_EQ(0, host_.Call(sock, kBlockSource, 1, 3));
  EXPECT_EQ("allow g1 {s2}; block g1 {s3}", host_.SentNow());
  EXPECT_EQ("allow g1 {s2}; block g1 {s3}", Within(2 * kSecond));
  EXPECT_EQ("", Within(100 * kSecond));
  // Several groups in one message.
  for (int group : {2, 3, 4}) EXPECT_EQ(0, host_.Call(sock, kJoin, group));
  host_.Advance(20 * kMicrosecond);
  const std::vector<GroupMessage> messages = host_.TakeMessages();
  ASSERT_EQ(1u, messages.size());
  EXPECT_EQ(3u, messages[0].records.size());
}

TEST_P(MulticastTest, LongListsAreSplit) {  // §4.2.16
  GroupHost host(GetParam(), /*mtu=*/host_.v4() ? 100 : 1280);
  const int per_packet = host.v4() ? (100 - 24 - 8 - 8) / 4 : (1280 - 48 - 8 - 20) / 16;
  const int sources = host.v4() ? 40 : 100;
  std::set<std::string> expected;
  UdpSock* sock = nullptr;
  for (int i = 1; i <= sources; ++i) {
    if (i % 10 == 1) sock = host.Bind();
    EXPECT_EQ(0, host.Call(sock, kJoinSource, 1, i));
    expected.insert(absl::StrCat("s", i));
  }
  host.Advance(20 * kMicrosecond);
  const std::vector<GroupMessage> messages = host.TakeMessages();
  EXPECT_EQ(static_cast<size_t>((sources + per_packet - 1) / per_packet), messages.size());
  std::set<std::string> told;
  for (const GroupMessage& m : messages) {
    EXPECT_EQ("", m.problem);
    EXPECT_LE(m.size, 14u + (host.v4() ? 100 : 1280));
    for (const GroupRecord& r : m.records) told.insert(r.sources.begin(), r.sources.end());
  }
  EXPECT_EQ(expected, told);
}

// What more sources than that come to: all of them, and the sockets' own filters choose.
TEST_P(MulticastTest, TooManySources) {
  const int each = host_.v4() ? 10 : 64, socks = host_.v4() ? 13 : 2;
  std::vector<UdpSock*> all;
  for (int n = 0; n < socks; ++n) {
    all.push_back(host_.Bind());
    for (int i = n * each + 1; i <= std::min((n + 1) * each, 128); ++i) {
      EXPECT_EQ(0, host_.Call(all.back(), kJoinSource, 1, i));
    }
  }
  Quiet();
  UdpSock* last = host_.Bind();
  EXPECT_EQ(0, host_.Call(last, kJoinSource, 1, 200));
  EXPECT_EQ("to_ex g1 {}", host_.SentNow());
  Quiet();
  EXPECT_EQ(0, host_.Call(last, kLeaveSource, 1, 200));
  EXPECT_EQ("to_in g1 {s1 ", host_.SentNow().substr(0, 13));
}

struct QueryStep {
  const char* name;
  std::optional<int> group;
  std::vector<int> sources;
  const char* answer;
};

// §5.2: what a single query is answered with, within its time. g1 excludes s1 and s2, g2 includes s1 and s2.
TEST_P(MulticastTest, AnswersToQueries) {
  UdpSock* sock = host_.Bind();
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  for (int source : {1, 2}) {
    EXPECT_EQ(0, host_.Call(sock, kBlockSource, 1, source));
    EXPECT_EQ(0, host_.Call(sock, kJoinSource, 2, source));
  }
  Quiet();
  const QueryStep steps[] = {{"all", {}, {}, "is_ex g1 {s1 s2}; is_in g2 {s1 s2}"},
                             {"one", 1, {}, "is_ex g1 {s1 s2}"},
                             {"the other", 2, {}, "is_in g2 {s1 s2}"},
                             {"one that is not joined", 3, {}, ""},
                             {"excluded sources", 1, {1, 2}, ""},
                             {"some excluded", 1, {1, 3, 4}, "is_in g1 {s3 s4}"},
                             {"included sources", 2, {2, 1}, "is_in g2 {s2 s1}"},
                             {"some included", 2, {1, 3, 4}, "is_in g2 {s1}"},
                             {"none included", 2, {3, 4}, ""},
                             {"a source twice", 2, {1, 1}, "is_in g2 {s1}"}};
  for (const QueryStep& s : steps) {
    host_.Query({.group = s.group, .sources = s.sources, .max_response_ns = 2 * kSecond});
    EXPECT_EQ(s.answer, Within(2 * kSecond + kMillisecond)) << s.name;
    EXPECT_EQ("", Within(100 * kSecond)) << s.name;
  }
  // More sources than are kept: the whole state.
  std::vector<int> many(30);
  for (int i = 0; i < 30; ++i) many[static_cast<size_t>(i)] = i + 1;
  host_.Query({.group = 2, .sources = many, .max_response_ns = kSecond});
  EXPECT_EQ("is_in g2 {s1 s2}", Within(2 * kSecond));
  // At once.
  host_.Query({.group = 1, .max_response_ns = 0});
  EXPECT_EQ("is_ex g1 {s1 s2}", host_.SentNow());
}

// §5.2, rules 1 to 5: what is pending and what comes make one answer.
TEST_P(MulticastTest, PendingAnswersAreMerged) {
  UdpSock* sock = host_.Bind();
  for (int source : {1, 2, 3}) EXPECT_EQ(0, host_.Call(sock, kJoinSource, 1, source));
  Quiet();
  struct {
    const char* name;
    GroupQuery first, second;
    const char* answer;
  } const cases[] = {
      {"rule 4: group, then sources", {.group = 1}, {.group = 1, .sources = {1}}, "is_in g1 {s1 s2 s3}"},
      {"rule 4: sources, then group", {.group = 1, .sources = {1}}, {.group = 1}, "is_in g1 {s1 s2 s3}"},
      {"rule 5: sources and more", {.group = 1, .sources = {1}}, {.group = 1, .sources = {3, 9}}, "is_in g1 {s1 s3}"},
      {"twice the same", {.group = 1}, {.group = 1}, "is_in g1 {s1 s2 s3}"},
      {"general twice", {}, {}, "is_in g1 {s1 s2 s3}"},
  };
  for (const auto& c : cases) {
    host_.Query(c.first);
    host_.Query(c.second);
    EXPECT_EQ(c.answer, Within(11 * kSecond)) << c.name;
    EXPECT_EQ("", Within(100 * kSecond)) << c.name;
  }
  // Rule 1: a general answer that comes sooner is enough.
  host_.Query({.max_response_ns = kMillisecond * 100});
  host_.Query({.group = 1, .max_response_ns = 100 * kSecond});
  EXPECT_EQ("is_in g1 {s1 s2 s3}", Within(kSecond));
  EXPECT_EQ("", Within(200 * kSecond));
  // The earlier time holds, whichever query it was of.
  for (bool first_is_sooner : {false, true}) {
    host_.Query({.group = 1, .max_response_ns = first_is_sooner ? kSecond / 10 : 100 * kSecond});
    host_.Query({.group = 1, .max_response_ns = first_is_sooner ? 100 * kSecond : kSecond / 10});
    EXPECT_EQ("is_in g1 {s1 s2 s3}", Within(kSecond));
    EXPECT_EQ("", Within(200 * kSecond));
  }
}

// §5.2: at random within the time that the query says, so that not all hosts answer at once.
TEST_P(MulticastTest, AnswersAreSpread) {
  UdpSock* sock = host_.Bind();
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  Quiet();
  double sum = 0;
  constexpr int kQueries = 300;
  for (int i = 0; i < kQueries; ++i) {
    const Nanos asked_ns = host_.host().now();
    host_.Query({.group = i % 2 == 0 ? std::optional(1) : std::nullopt, .max_response_ns = 5 * kSecond});
    host_.Advance(6 * kSecond);
    const std::vector<GroupMessage> messages = host_.TakeMessages();
    ASSERT_EQ(1u, messages.size());
    const Nanos after_ns = messages[0].at_ns - asked_ns;
    EXPECT_LE(after_ns, 5 * kSecond + kMillisecond);
    sum += static_cast<double>(after_ns) / kSecond;
  }
  EXPECT_NEAR(2.5, sum / kQueries, 0.5);  // six standard deviations
}

TEST_P(MulticastTest, RobustnessIsTheQueriers) {  // §4.1.6
  UdpSock* sock = host_.Bind();
  host_.Query({.max_response_ns = 0, .robustness = 4});
  Quiet();
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  EXPECT_EQ("to_ex g1 {}; to_ex g1 {}; to_ex g1 {}; to_ex g1 {}", Within(5 * kSecond));
  host_.Query({.max_response_ns = 0, .robustness = 1});
  Quiet();
  EXPECT_EQ(0, host_.Call(sock, kLeave, 1));
  EXPECT_EQ("to_in g1 {}", Within(5 * kSecond));
}

// §7.2.1: where a router of the version before asks, that one is spoken (RFC 2236 §3, RFC 2710 §4), until it has not
// been heard for its time (§8.12).
TEST_P(MulticastTest, OlderVersion) {
  UdpSock* sock = host_.Bind();
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  Quiet();
  host_.Query({.version = 2, .max_response_ns = 4 * kSecond});
  EXPECT_EQ("report g1", Within(4 * kSecond + kMillisecond));
  EXPECT_EQ("", Within(60 * kSecond));
  // Joining is told at once and again within ten seconds; sources and filters not at all.
  EXPECT_EQ(0, host_.Call(sock, kJoinSource, 2, 1));
  EXPECT_EQ("report g2", host_.SentNow());
  EXPECT_EQ("report g2", Within(10 * kSecond + kMillisecond));
  EXPECT_EQ(0, host_.Call(sock, kJoinSource, 2, 2));
  EXPECT_EQ(0, host_.Call(sock, kBlockSource, 1, 2));
  EXPECT_EQ("", Within(20 * kSecond));
  // A query for a group, and one for both.
  host_.Query({.version = 2, .group = 2, .max_response_ns = kSecond});
  EXPECT_EQ("report g2", Within(2 * kSecond));
  host_.Query({.version = 2, .max_response_ns = kSecond});
  host_.Advance(2 * kSecond);
  std::multiset<std::string> told;
  for (const GroupMessage& m : host_.TakeMessages()) told.insert(m.records[0].group);
  EXPECT_EQ((std::multiset<std::string>{"g1", "g2"}), told);
  EXPECT_EQ(0, host_.Call(sock, kLeave, 2));
  EXPECT_EQ("leave g2", host_.SentNow());
  EXPECT_EQ("", Within(60 * kSecond));
  // Robustness times the interval, and the response time: 2 * 125 s + 1 s after the last one.
  host_.Advance(251 * kSecond);
  host_.Query({.max_response_ns = kSecond});
  EXPECT_EQ("is_ex g1 {s2}", Within(2 * kSecond));
}

TEST_P(MulticastTest, OlderVersionStaysAsLongAsItsQuerier) {  // §7.2.1, §8.12
  UdpSock* sock = host_.Bind();
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  Quiet();
  for (int i = 0; i < 3; ++i) {
    host_.Query({.version = 2, .max_response_ns = kSecond});
    EXPECT_EQ("report g1", Within(2 * kSecond));
    host_.Advance(248 * kSecond);
    host_.Query({.max_response_ns = kSecond / 10});  // of the current version: it does not count
    EXPECT_EQ("report g1", Within(kSecond / 2));
  }
  host_.Advance(2 * kSecond);
  host_.Query({.max_response_ns = kSecond});
  EXPECT_EQ("is_ex g1 {}", Within(2 * kSecond));
  EXPECT_EQ(0, host_.Call(sock, kLeave, 1));
  EXPECT_EQ("to_in g1 {}", host_.SentNow());
}

// §7.2.1: what the other version had still to say is void.
TEST_P(MulticastTest, ChangeOfVersionCancels) {
  UdpSock* sock = host_.Bind();
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  EXPECT_EQ("to_ex g1 {}", host_.SentNow());
  const std::string everybody = host_.v4() ? "224.0.0.1" : "ff02::1";
  host_.Query({.version = 2, .group = 9, .max_response_ns = kSecond, .destination = everybody});
  EXPECT_EQ("", Within(100 * kSecond));
  EXPECT_EQ(0, host_.Call(sock, kLeave, 1));
  EXPECT_EQ("", Within(100 * kSecond)) << "nobody heard us report it";
}

// RFC 2236 §3, RFC 2710 §4: another member's report is as good as ours, and then it says goodbye.
TEST_P(MulticastTest, OlderReportsAreSuppressed) {
  UdpSock* sock = host_.Bind();
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  Quiet();
  host_.Query({.version = 2, .max_response_ns = kSecond});
  EXPECT_EQ("report g1", Within(2 * kSecond));
  host_.Query({.version = 2, .max_response_ns = 10 * kSecond});
  host_.OtherReport(1);
  EXPECT_STREQ("kConsumed", netstack::kDropReasonNames[static_cast<size_t>(host_.host().last())]);
  EXPECT_EQ("", Within(20 * kSecond));
  EXPECT_EQ(0, host_.Call(sock, kLeave, 1));
  EXPECT_EQ("", Within(20 * kSecond));
  // Also in the middle of saying that we joined.
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  EXPECT_EQ("report g1", host_.SentNow());
  host_.OtherReport(1);
  EXPECT_EQ("", Within(20 * kSecond));
}

// A timer that runs is not put off by another query, and set anew by one that wants it sooner (RFC 2236 §3).
TEST_P(MulticastTest, OlderTimers) {
  UdpSock* sock = host_.Bind();
  EXPECT_EQ(0, host_.Call(sock, kJoin, 1));
  Quiet();
  host_.Query({.version = 2, .max_response_ns = 25 * kSecond});
  host_.Query({.version = 2, .max_response_ns = kSecond / 10});
  EXPECT_EQ("report g1", Within(kSecond / 5));
  EXPECT_EQ("", Within(30 * kSecond));
  host_.Query({.version = 2, .max_response_ns = kSecond / 10});
  host_.Query({.version = 2, .max_response_ns = 25 * kSecond});
  EXPECT_EQ("report g1", Within(kSecond / 5));
  EXPECT_EQ("", Within(30 * kSecond));
}

}  // namespace
}  // namespace weir::testing_support
