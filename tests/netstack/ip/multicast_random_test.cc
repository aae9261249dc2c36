// IGMP and MLD hosts under random calls and random queries: what routers then know, and that nothing grows.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "tests/netstack/ip/group_host.h"
#include "tests/support/random.h"

namespace weir::testing_support {
namespace {

using netstack::GroupCall;
using netstack::UdpSock;

class MulticastRandomTest : public ::testing::TestWithParam<bool> {
 protected:
  MulticastRandomTest() : host_(GetParam()) {}
  GroupHost host_;
};

INSTANTIATE_TEST_SUITE_P(Multicast, MulticastRandomTest, ::testing::Values(true, false),
                         [](const auto& info) { return info.param ? "Igmp" : "Mld"; });

// A router that hears every report knows after each tick what the sockets together want, whatever they do and whoever
// asks. With queries of the current version it also stays so when it forgets and asks.
class Router {
 public:
  struct State {
    bool exclude = false;
    std::set<std::string> sources;
    friend bool operator==(const State&, const State&) = default;
  };
  void Hear(const GroupRecord& r) {
    State& state = groups_[r.group];
    const std::set<std::string> list(r.sources.begin(), r.sources.end());
    if (r.type == "to_ex" || r.type == "is_ex" || r.type == "to_in") {
      state = {r.type != "to_in", list};
    } else {
      const bool wanted = r.type == "allow" || r.type == "is_in";
      for (const std::string& s : list) {
        if (wanted != state.exclude) {
          state.sources.insert(s);
        } else {
          state.sources.erase(s);
        }
      }
    }
    if (state == State{}) groups_.erase(r.group);
  }
  const std::map<std::string, State>& groups() const { return groups_; }
  void Forget() { groups_.clear(); }

 private:
  std::map<std::string, State> groups_;
};

// RFC 3376 §3.2, once more and plainly.
std::map<std::string, Router::State> Wanted(const GroupHost& host, const std::vector<UdpSock*>& socks) {
  std::map<std::string, Router::State> wanted;
  for (int group = 1; group <= 3; ++group) {
    Router::State state;
    for (int source = 1; source <= 5; ++source) {
      bool any = false;
      for (UdpSock* sock : socks) {
        for (const auto& m : sock->memberships) {
          if (m->group != host.Group(group)) continue;
          state.exclude |= m->filter.exclude;
          any |= m->filter.Allows(host.Source(source));
        }
      }
      if (any) state.sources.insert(absl::StrCat("s", source));
    }
    if (state.exclude) {
      std::set<std::string> excluded;
      for (int source = 1; source <= 5; ++source) {
        if (!state.sources.contains(absl::StrCat("s", source))) excluded.insert(absl::StrCat("s", source));
      }
      state.sources = excluded;
    }
    if (!(state == Router::State{})) wanted[absl::StrCat("g", group)] = state;
  }
  return wanted;
}

TEST_P(MulticastRandomTest, RoutersKnowWhatIsWanted) {
  testing::Random random;
  Router router;
  std::vector<UdpSock*> socks;
  for (int i = 0; i < 4; ++i) socks.push_back(host_.Bind());
  const auto hear = [&] {
    for (const GroupMessage& m : host_.TakeMessages()) {
      ASSERT_EQ("", m.problem);
      for (const GroupRecord& r : m.records) router.Hear(r);
    }
  };
  for (int step = 0; step < 3000; ++step) {
    const auto call = static_cast<GroupCall>(random.Below(6));
    static_cast<void>(host_.Call(socks[random.Below(4)], call, 1 + static_cast<int>(random.Below(3)),
                                 1 + static_cast<int>(random.Below(5))));
    host_.Advance(20 * kMicrosecond);
    hear();
    ASSERT_EQ(Wanted(host_, socks), router.groups()) << "step " << step;
    if (random.OneIn(3)) host_.Advance(static_cast<Nanos>(random.Below(2000)) * kMillisecond);
    hear();
    ASSERT_EQ(Wanted(host_, socks), router.groups()) << "step " << step;
    if (random.OneIn(20)) {
      host_.Advance(20 * kSecond);  // until nothing of changes is left to be said
      hear();
      router.Forget();
      host_.Query({.group = random.OneIn(2) ? std::nullopt : std::optional(1 + static_cast<int>(random.Below(3))),
                   .max_response_ns = kSecond});
      host_.Query({.max_response_ns = kSecond});
      host_.Advance(2 * kSecond);
      hear();
      ASSERT_EQ(Wanted(host_, socks), router.groups()) << "step " << step;
    }
  }
}

// Whoever asks whatever and whenever: nothing grows, the timer ends, and frames come back (the host checks).
TEST_P(MulticastRandomTest, AnyQueries) {
  testing::Random random;
  std::vector<UdpSock*> socks;
  for (int i = 0; i < 4; ++i) socks.push_back(host_.Bind());
  for (int step = 0; step < 5000; ++step) {
    if (random.OneIn(3)) {
      static_cast<void>(host_.Call(socks[random.Below(4)], static_cast<GroupCall>(random.Below(6)),
                                   1 + static_cast<int>(random.Below(3)), 1 + static_cast<int>(random.Below(5))));
    }
    std::vector<int> sources(random.Below(30));
    for (int& source : sources) source = 1 + static_cast<int>(random.Below(40));
    const bool specific = random.OneIn(2);
    GroupQuery query{.version = random.OneIn(50) ? 2 : 3,
                     .group = specific ? std::optional(static_cast<int>(random.Below(5))) : std::nullopt,
                     .sources = specific ? sources : std::vector<int>(),
                     .max_response_ns = static_cast<Nanos>(random.Below(10)) * kSecond,
                     .robustness = static_cast<int>(random.Below(8)),
                     .interval_s = static_cast<int>(random.Below(128))};
    Bytes frame = host_.QueryFrame(query);
    if (random.OneIn(4)) frame[random.Below(frame.size())] ^= std::byte(1 + random.Below(255));
    if (random.OneIn(8)) frame.resize(random.Below(frame.size()));
    host_.host().Receive(frame);
    if (random.OneIn(5)) host_.OtherReport(1 + static_cast<int>(random.Below(3)), random.OneIn(2));
    if (random.OneIn(2)) host_.Advance(static_cast<Nanos>(random.Below(3000)) * kMillisecond);
    for (const GroupMessage& m : host_.TakeMessages()) ASSERT_EQ("", m.problem);
  }
  host_.Advance(100 * kSecond);
  host_.TakeMessages();
  host_.Advance(10'000 * kSecond);
  EXPECT_EQ("", host_.Sent());
  for (UdpSock* sock : socks) host_.Unbind(sock);
  host_.Advance(10'000 * kSecond);
  for (const auto& group : host_.host().interface().groups.groups()) {
    EXPECT_TRUE(!group.in_use() || group.users > 0) << group.group.ToString();
  }
}

}  // namespace
}  // namespace weir::testing_support
