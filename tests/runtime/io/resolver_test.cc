// Resolver against a DNS server of the test's own, a few lines on a loopback port, in the same loop.
#include "runtime/io/resolver.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/sleep.h"
#include "runtime/core/when_all.h"
#include "tests/support/loop.h"

namespace weir {
namespace {

using runtime::UniqueFd;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;
using testing::Loop;
using Addresses = absl::StatusOr<std::vector<IpAddress>>;

constexpr uint16_t kTypeA = 1;  // anything else here is AAAA
constexpr uint8_t kServFail = 2, kNxDomain = 3;

// What the server does with a name; one it does not know is NXDOMAIN.
struct Zone {
  std::vector<std::string> addresses;
  int ignore = 0;            // this many queries get no answer
  uint8_t rcode = 0;         // answered instead
  bool garbage = false;      // a broken message instead
  bool truncated = false;    // over UDP only "ask by TCP"
};

IpAddress Ip(const char* text) { return *IpAddress::Parse(text); }

// Answers over UDP and, on the same port, TCP.
class DnsServer {
 public:
  explicit DnsServer(Loop& loop) : loop_(loop) {
    sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    // The port that UDP got may be taken for TCP: try a few.
    for (int i = 0; i < 20; ++i) {
      udp_ = UniqueFd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      tcp_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      address.sin_port = 0;
      socklen_t length = sizeof address;
      EXPECT_EQ(bind(udp_.get(), generic, length), 0);
      EXPECT_EQ(getsockname(udp_.get(), generic, &length), 0);
      if (bind(tcp_.get(), generic, length) == 0) break;
    }
    EXPECT_EQ(listen(tcp_.get(), 10), 0);
    servers_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    loop_.reactor().WatchReadable(udp_.get(), [](void* self) { static_cast<DnsServer*>(self)->OnUdp(); }, this);
    loop_.reactor().WatchReadable(tcp_.get(), [](void* self) { static_cast<DnsServer*>(self)->OnAccept(); }, this);
  }
  ~DnsServer() {
    loop_.reactor().Unwatch(udp_.get());
    loop_.reactor().Unwatch(tcp_.get());
    if (connection_.valid()) loop_.reactor().Unwatch(connection_.get());
  }

  const std::string& servers() const { return servers_; }
  std::map<std::string, Zone> zones;
  int udp_queries = 0;
  int tcp_queries = 0;

 private:
  void OnUdp() {
    char query[512];
    sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t n;
    while ((n = recvfrom(udp_.get(), query, sizeof query, 0, reinterpret_cast<sockaddr*>(&from), &length)) > 0) {
      ++udp_queries;
      const std::string answer = Answer(std::string(query, static_cast<size_t>(n)), true);
      if (!answer.empty()) {
        sendto(udp_.get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
      }
    }
  }
  void OnAccept() {
    const int fd = accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    ASSERT_FALSE(connection_.valid()) << "one at a time is enough here";
    connection_ = UniqueFd(fd);
    loop_.reactor().WatchReadable(fd, [](void* self) { static_cast<DnsServer*>(self)->OnTcp(); }, this);
  }
  // Each message has its length before it.
  void OnTcp() {
    char piece[512];
    ssize_t n;
    while ((n = read(connection_.get(), piece, sizeof piece)) > 0) received_.append(piece, static_cast<size_t>(n));
    while (received_.size() >= 2 && received_.size() >= 2 + Number(received_, 0)) {
      ++tcp_queries;
      const std::string answer = Answer(received_.substr(2, Number(received_, 0)), false);
      received_.erase(0, 2 + Number(received_, 0));
      std::string message;
      Append(message, static_cast<uint16_t>(answer.size()));
      message += answer;
      EXPECT_EQ(write(connection_.get(), message.data(), message.size()), static_cast<ssize_t>(message.size()));
    }
  }

  static uint16_t Number(const std::string& text, size_t at) {
    return static_cast<uint16_t>(static_cast<uint8_t>(text[at]) << 8 | static_cast<uint8_t>(text[at + 1]));
  }
  static void Append(std::string& text, uint16_t number) {
    text += static_cast<char>(number >> 8);
    text += static_cast<char>(number);
  }

  // RFC 1035 §4: header, the question again, an answer for each address of the type. Empty: no answer.
  std::string Answer(const std::string& query, bool udp) {
    std::string name;
    size_t at = 12;
    while (query[at] != 0) {
      name += (name.empty() ? "" : ".") + query.substr(at + 1, static_cast<size_t>(query[at]));
      at += static_cast<size_t>(query[at]) + 1;
    }
    const uint16_t type = Number(query, at + 1);
    const size_t question_end = at + 5;
    const auto found = zones.find(name);
    uint16_t flags = 0x8180;  // a response, recursion desired and available
    std::string records;
    uint16_t count = 0;
    if (found == zones.end()) {
      flags |= kNxDomain;
    } else {
      Zone& zone = found->second;
      if (zone.ignore > 0) return --zone.ignore, "";
      if (zone.garbage) return query.substr(0, 2) + "\x81\x80 what is this";
      flags |= zone.rcode;
      if (udp && zone.truncated) flags |= 0x0200;
      for (const std::string& text : zone.addresses) {
        const IpAddress ip = Ip(text.c_str());
        if ((type == kTypeA) != ip.is_v4() || (udp && zone.truncated)) continue;
        ++count;
        Append(records, 0xc00c);  // the name is the question's
        Append(records, type);
        records.append("\x00\x01\x00\x00\x00\x3c\x00", 7);  // IN, for 60 s
        const std::string bytes(reinterpret_cast<const char*>(ip.bytes().data()), 16);
        records += ip.is_v4() ? '\x04' : '\x10';
        records += ip.is_v4() ? bytes.substr(12) : bytes;
      }
    }
    std::string answer = query.substr(0, 2);
    for (uint16_t number : {flags, uint16_t{1}, count, uint16_t{0}, uint16_t{0}}) Append(answer, number);
    return answer + query.substr(12, question_end - 12) + records;
  }

  Loop& loop_;
  UniqueFd udp_, tcp_, connection_;
  std::string received_;
  std::string servers_;
};

class ResolverTest : public ::testing::Test {
 protected:
  ResolverTest() { Make({}); }
  void Make(ResolverOptions options) {
    options.servers = server_.servers();
    auto resolver = Resolver::Create(loop_.reactor(), options);
    ASSERT_TRUE(resolver.ok()) << resolver.status();
    resolver_ = *std::move(resolver);
  }
  Task<Addresses> Ask(std::string host, AddressFamily family = AddressFamily::kAny) {
    co_return co_await resolver_->Resolve(std::move(host), {family});
  }
  Addresses Resolve(std::string host, AddressFamily family = AddressFamily::kAny) {
    return loop_.Run(Ask(std::move(host), family));
  }
  // Nothing of a lookup is left in the reactor: the mailbox's read and the server's polls.
  void ExpectQuiet(size_t servers_polls = 2) {
    EXPECT_TRUE(loop_.RunUntil([&] { return loop_.reactor().in_flight() == 1 + servers_polls; }));
    EXPECT_EQ(loop_.scheduler().timers().armed(), 0u);
    EXPECT_EQ(resolver_->lookups(), 0u);
  }

  Loop loop_;
  DnsServer server_{loop_};
  std::unique_ptr<Resolver> resolver_;
};

TEST_F(ResolverTest, LiteralAddressesAtOnce) {
  EXPECT_THAT(*Resolve("10.0.0.2"), ElementsAre(Ip("10.0.0.2")));
  EXPECT_THAT(*Resolve("fe80::1"), ElementsAre(Ip("fe80::1")));
  EXPECT_THAT(*Resolve("fe80::1", AddressFamily::kIpv6), ElementsAre(Ip("fe80::1")));
  EXPECT_TRUE(absl::IsNotFound(Resolve("fe80::1", AddressFamily::kIpv4).status()));
  EXPECT_TRUE(absl::IsNotFound(Resolve("10.0.0.2", AddressFamily::kIpv6).status()));
  EXPECT_EQ(server_.udp_queries, 0);
}

TEST_F(ResolverTest, BothFamiliesOrOne) {
  server_.zones["one.test"] = {.addresses = {"10.1.2.3"}};
  server_.zones["both.test"] = {.addresses = {"10.1.2.3", "10.1.2.4", "2001:db8::7"}};
  EXPECT_THAT(*Resolve("one.test"), ElementsAre(Ip("10.1.2.3")));
  EXPECT_THAT(*Resolve("one.test."), ElementsAre(Ip("10.1.2.3")));
  EXPECT_THAT(*Resolve("both.test"), UnorderedElementsAre(Ip("10.1.2.3"), Ip("10.1.2.4"), Ip("2001:db8::7")));
  EXPECT_THAT(*Resolve("both.test", AddressFamily::kIpv4), UnorderedElementsAre(Ip("10.1.2.3"), Ip("10.1.2.4")));
  EXPECT_THAT(*Resolve("both.test", AddressFamily::kIpv6), ElementsAre(Ip("2001:db8::7")));
  ExpectQuiet();
}

TEST_F(ResolverTest, NoSuchNameAndNoSuchFamily) {
  server_.zones["one.test"] = {.addresses = {"10.1.2.3"}};
  const absl::Status missing = Resolve("missing.test").status();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_NE(missing.message().find("cannot resolve 'missing.test'"), absl::string_view::npos) << missing;
  EXPECT_TRUE(absl::IsNotFound(Resolve("one.test", AddressFamily::kIpv6).status()));
  EXPECT_GT(server_.udp_queries, 0);
  ExpectQuiet();
}

TEST_F(ResolverTest, NotAHostName) {
  EXPECT_TRUE(absl::IsInvalidArgument(Resolve("").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Resolve(std::string("one.test\0evil", 13)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Resolve(std::string(254, 'x')).status()));
  const absl::Status label = Resolve(std::string(100, 'x') + ".test").status();  // more than 63 octets
  EXPECT_FALSE(label.ok());
  EXPECT_EQ(server_.udp_queries, 0);
  ExpectQuiet();
}

TEST_F(ResolverTest, TriesAgainWhenAnAnswerIsLost) {
  Make({.timeout_ns = 50 * kMillisecond});
  server_.zones["lossy.test"] = {.addresses = {"10.1.2.3"}, .ignore = 2};
  const Nanos start = MonotonicNow();
  Addresses addresses = Resolve("lossy.test", AddressFamily::kIpv4);
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_THAT(*addresses, ElementsAre(Ip("10.1.2.3")));
  EXPECT_GE(MonotonicNow(), start + 140 * kMillisecond);  // 50 + 100, and c-ares counts in milliseconds
  EXPECT_EQ(server_.udp_queries, 3);
  ExpectQuiet();
}

TEST_F(ResolverTest, NobodyAnswers) {
  Make({.timeout_ns = 20 * kMillisecond, .tries = 2});
  server_.zones["silent.test"] = {.ignore = 1000};
  const absl::Status status = Resolve("silent.test").status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(server_.udp_queries, 4);  // two types, two tries
  ExpectQuiet();
}

TEST_F(ResolverTest, AServerThatFailsOrTalksNonsense) {
  Make({.timeout_ns = 20 * kMillisecond, .tries = 1});
  server_.zones["failing.test"] = {.rcode = kServFail};
  server_.zones["nonsense.test"] = {.garbage = true};
  const absl::Status failing = Resolve("failing.test").status();
  EXPECT_TRUE(absl::IsUnavailable(failing)) << failing;
  const absl::Status nonsense = Resolve("nonsense.test").status();
  EXPECT_TRUE(absl::IsUnavailable(nonsense) || absl::IsDeadlineExceeded(nonsense)) << nonsense;
  ExpectQuiet();
}

TEST_F(ResolverTest, TruncatedAnswersComeOverTcp) {
  server_.zones["long.test"] = {.truncated = true};
  std::vector<IpAddress> expected;
  for (int i = 1; i <= 100; ++i) {
    server_.zones["long.test"].addresses.push_back("10.0.0." + std::to_string(i));
    expected.push_back(Ip(server_.zones["long.test"].addresses.back().c_str()));
  }
  Addresses addresses = Resolve("long.test", AddressFamily::kIpv4);
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_THAT(*addresses, ::testing::UnorderedElementsAreArray(expected));
  EXPECT_EQ(server_.tcp_queries, 1);
}

TEST_F(ResolverTest, Cancelled) {
  server_.zones["silent.test"] = {.ignore = 1000};
  AsyncScope scope(loop_.context());
  std::vector<absl::Status> results;
  auto body = [&]() -> Task<void> { results.push_back((co_await resolver_->Resolve("silent.test")).status()); };
  scope.Spawn(body());
  scope.Spawn(body());
  loop_.RunFor(10 * kMillisecond);
  EXPECT_EQ(scope.live(), 2u);
  scope.RequestStop();
  EXPECT_TRUE(loop_.RunUntil([&] { return scope.live() == 0; }, kSecond));
  scope.Spawn(body());  // stopped from the start
  ASSERT_EQ(results.size(), 3u);
  for (const absl::Status& status : results) EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(resolver_->lookups(), 2u);  // c-ares still has them; the destructor takes them along
}

TEST_F(ResolverTest, CancelledAtAnyMoment) {
  server_.zones["both.test"] = {.addresses = {"10.1.2.3", "2001:db8::7"}};
  int answered = 0;
  for (int us = 0; us < 400; us += 10) {
    AsyncScope scope(loop_.context());
    Addresses result;
    auto body = [&]() -> Task<void> { result = co_await resolver_->Resolve("both.test"); };
    scope.Spawn(body());
    loop_.RunFor(us * kMicrosecond);
    scope.RequestStop();
    ASSERT_TRUE(loop_.RunUntil([&] { return scope.live() == 0; }));
    ASSERT_TRUE(result.ok() || absl::IsCancelled(result.status())) << result.status();
    if (result.ok()) ++answered;
  }
  std::printf("%d of 40 answered before the stop\n", answered);
  ExpectQuiet();
}

TEST_F(ResolverTest, UnderATimeout) {
  server_.zones["silent.test"] = {.ignore = 1000};
  const Nanos start = MonotonicNow();
  const absl::Status status =
      loop_.Run(WithTimeout(resolver_->Resolve("silent.test"), milliseconds(20))).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_LT(MonotonicNow(), start + kSecond);
}

TEST_F(ResolverTest, SeveralAtOnceUpToTheBound) {
  constexpr int kLookups = 100;
  Make({.max_lookups = kLookups});
  std::vector<Task<Addresses>> lookups;
  for (int i = 0; i < kLookups + 5; ++i) {
    const std::string name = "n" + std::to_string(i) + ".test";
    server_.zones[name] = {.addresses = {"10.0.1." + std::to_string(i)}};
    lookups.push_back(Ask(name));
  }
  std::vector<Addresses> results = loop_.Run(WhenAll(std::move(lookups)));
  ASSERT_EQ(results.size(), size_t{kLookups + 5});
  for (int i = 0; i < kLookups; ++i) {
    ASSERT_TRUE(results[i].ok()) << results[i].status();
    EXPECT_THAT(*results[i], ElementsAre(Ip(("10.0.1." + std::to_string(i)).c_str())));
  }
  for (int i = kLookups; i < kLookups + 5; ++i) EXPECT_TRUE(absl::IsResourceExhausted(results[i].status()));
  ExpectQuiet();
}

// Whatever this machine's /etc/hosts has first is found without a query.
TEST_F(ResolverTest, HostsFileFirst) {
  std::ifstream hosts("/etc/hosts");
  std::string line, address, name;
  while (name.empty() && std::getline(hosts, line)) {
    std::istringstream words(line.substr(0, line.find('#')));
    words >> address >> name;
  }
  if (name.empty()) GTEST_SKIP() << "/etc/hosts has no entry";
  const Addresses addresses = Resolve(name);
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_THAT(*addresses, ::testing::Contains(Ip(address.c_str())));
  EXPECT_EQ(server_.udp_queries, 0);
}

TEST_F(ResolverTest, ServersThatAreNone) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      Resolver::Create(loop_.reactor(), {.servers = "not an address"}).status()));
  EXPECT_TRUE(Resolver::Create(loop_.reactor()).ok());  // the system's own
}

}  // namespace
}  // namespace weir
