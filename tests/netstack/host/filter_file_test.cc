#include "netstack/host/filter_file.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

using netstack::Filter;
using netstack::FilterKey;
using netstack::FilterRule;
using netstack::FilterVerdict;
using netstack::Hook;

// The only rule of `text`, which is right.
FilterRule OneRule(const std::string& text) {
  absl::StatusOr<Filter> filter = ParseFilter(text, "f");
  EXPECT_TRUE(filter.ok()) << filter.status();
  if (!filter.ok()) return {};
  FilterRule found;
  size_t count = 0;
  for (size_t hook = 0; hook < netstack::kHooks; ++hook) {
    for (const FilterRule& rule : filter->rules(static_cast<Hook>(hook))) found = rule, ++count;
  }
  EXPECT_EQ(count, 1u) << text;
  return found;
}

TEST(FilterFile, ReadsEveryMatch) {
  const FilterRule rule = OneRule(
      "\n# ssh\n  forward\tproto tcp src 10.0.0.0/8 dst 192.0.2.1 sport 1024-65535 dport 22 iifname eth0.5 "
      "limit 100/s burst 20 drop   # not from here\r\n");
  EXPECT_EQ(rule.hook, Hook::kForward);
  EXPECT_EQ(rule.protocol, 6);
  EXPECT_EQ(rule.source->ToString(), "10.0.0.0/8");
  EXPECT_EQ(rule.destination->ToString(), "192.0.2.1/32");
  EXPECT_EQ(rule.source_port->first, 1024);
  EXPECT_EQ(rule.source_port->last, 65535);
  EXPECT_EQ(rule.destination_port->first, 22);
  EXPECT_EQ(rule.destination_port->last, 22);
  EXPECT_EQ(rule.in_interface, "eth0.5");
  EXPECT_TRUE(rule.limit.has_value());
  EXPECT_EQ(rule.verdict, FilterVerdict::kDrop);
  EXPECT_EQ(rule.text,
            "forward proto tcp src 10.0.0.0/8 dst 192.0.2.1 sport 1024-65535 dport 22 iifname eth0.5 limit 100/s "
            "burst 20 drop");
}

TEST(FilterFile, ReadsHooksProtocolsAndIpv6) {
  EXPECT_EQ(OneRule("prerouting accept").hook, Hook::kPreRouting);
  EXPECT_EQ(OneRule("input accept").hook, Hook::kLocalIn);
  EXPECT_EQ(OneRule("output accept").hook, Hook::kLocalOut);
  EXPECT_EQ(OneRule("postrouting accept").hook, Hook::kPostRouting);
  EXPECT_EQ(OneRule("input proto udp accept").protocol, 17);
  EXPECT_EQ(OneRule("input proto icmp accept").protocol, 1);
  EXPECT_EQ(OneRule("input proto icmpv6 accept").protocol, 58);
  EXPECT_EQ(OneRule("input proto 0 accept").protocol, 0);
  EXPECT_EQ(OneRule("input proto 255 accept").protocol, 255);
  EXPECT_EQ(OneRule("input src 2001:db8::/32 accept").source->ToString(), "2001:db8::/32");
  EXPECT_EQ(OneRule("input dport 53 proto 17 accept").destination_port->first, 53) << "in any order";
  EXPECT_EQ(OneRule("input iifname src src ::1 accept").in_interface, "src") << "a name may be any word";
}

int Accepted(absl::StatusOr<Filter> filter, int packets) {
  int accepted = 0;
  for (int i = 0; i < packets; ++i) {
    accepted += filter->Match(Hook::kLocalIn, FilterKey(), 60, kSecond) == FilterVerdict::kAccept;
  }
  return accepted;
}

TEST(FilterFile, LimitsAndPoliciesHold) {
  EXPECT_EQ(Accepted(ParseFilter("input limit 1/s burst 20 accept\npolicy input drop", "f"), 100), 20);
  EXPECT_EQ(Accepted(ParseFilter("policy input drop\ninput limit 1/s accept", "f"), 100), 5) << "nft's default burst";
  EXPECT_EQ(Accepted(ParseFilter("policy forward drop", "f"), 100), 100);
  EXPECT_EQ(Accepted(ParseFilter("", "f"), 100), 100);
}

TEST(FilterFile, SaysWhatIsWrongAndWhere) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {
      {"inputt accept", "f:1: unknown hook 'inputt': prerouting, input, forward, output or postrouting"},
      {"\n\ninput", "f:3: no verdict: a rule ends with accept or drop"},
      {"input proto tcp", "f:1: no verdict: a rule ends with accept or drop"},
      {"# a\ninput reject",
       "f:2: unknown match 'reject': proto, src, dst, sport, dport, iifname, limit, or accept or drop"},
      {"input accept drop", "f:1: 'drop' after the verdict"},
      {"input proto", "f:1: 'proto' without a value"},
      {"input proto sctpp accept", "f:1: unknown proto 'sctpp': tcp, udp, icmp, icmpv6 or a number up to 255"},
      {"input proto 256 accept", "f:1: unknown proto '256': tcp, udp, icmp, icmpv6 or a number up to 255"},
      {"input proto tcp proto udp accept", "f:1: 'proto' twice in one rule"},
      {"input src 10.0.0 accept", "f:1: '10.0.0' is no IPv4 or IPv6 address"},
      {"input dst 10.0.0.0/33 accept", "f:1: '10.0.0.0/33': the prefix length must be 0 to 32"},
      {"input src 10.0.0.1 dst ::1 accept", "f:1: src and dst are of different IP versions"},
      {"input proto udp dport 65536 accept", "f:1: '65536': a port is 0 to 65535, a range N-M"},
      {"input proto udp dport -1 accept", "f:1: '-1': a port is 0 to 65535, a range N-M"},
      {"input proto udp sport 5- accept", "f:1: '5-': a port is 0 to 65535, a range N-M"},
      {"input proto udp sport 1-2-3 accept", "f:1: '1-2-3': a port is 0 to 65535, a range N-M"},
      {"input proto udp sport 9-8 accept", "f:1: '9-8': the range ends before it begins"},
      {"input dport 80 accept", "f:1: sport and dport need proto tcp or udp"},
      {"input proto icmp sport 80 accept", "f:1: sport and dport need proto tcp or udp"},
      {"input iifname abcdefghijklmnop accept", "f:1: 'abcdefghijklmnop': an interface name has at most 15 characters"},
      {"output iifname eth0 accept", "f:1: iifname in output: what this host sends came in nowhere"},
      {"input limit 100 accept", "f:1: limit '100': write N/s, with N from 1 to 1000000"},
      {"input limit 100/m accept", "f:1: limit '100/m': write N/s, with N from 1 to 1000000"},
      {"input limit 0/s accept", "f:1: limit '0/s': write N/s, with N from 1 to 1000000"},
      {"input limit 1000001/s accept", "f:1: limit '1000001/s': write N/s, with N from 1 to 1000000"},
      {"input limit 1/s burst", "f:1: burst '': a number from 1 to 1000000"},
      {"input limit 1/s burst 0 accept", "f:1: burst '0': a number from 1 to 1000000"},
      {"policy input", "f:1: write 'policy HOOK accept' or 'policy HOOK drop'"},
      {"policy in drop", "f:1: unknown hook 'in': prerouting, input, forward, output or postrouting"},
      {"policy input deny", "f:1: unknown verdict 'deny': accept or drop"},
      {"policy input drop\npolicy input drop", "f:2: a second policy for input"},
  };
  for (const auto& test : cases) {
    const absl::StatusOr<Filter> filter = ParseFilter(test.text, "f");
    EXPECT_EQ(filter.status().message(), test.error) << test.text;
  }
}

TEST(FilterFile, TheNumberOfRulesIsBounded) {
  std::string text;
  for (size_t i = 0; i < Filter::kMaxRules; ++i) absl::StrAppend(&text, "input proto ", i % 256, " accept\n");
  EXPECT_TRUE(ParseFilter(text, "f").ok());
  EXPECT_EQ(ParseFilter(text + "output drop\n", "f").status().message(), "f:257: more than 256 rules");
}

class TempFile {
 public:
  explicit TempFile(const std::string& text) : path_(absl::StrCat(std::getenv("TEST_TMPDIR"), "/filter")) {
    std::FILE* file = std::fopen(path_.c_str(), "we");
    std::fwrite(text.data(), 1, text.size(), file);
    std::fclose(file);
  }
  ~TempFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(FilterFile, ReadsAFile) {
  const TempFile file("# all but ping\ninput proto icmp drop\n");
  absl::StatusOr<Filter> filter = ReadFilterFile(file.path());
  ASSERT_TRUE(filter.ok()) << filter.status();
  EXPECT_EQ(filter->ToString(), "input proto icmp drop  packets 0 bytes 0\n");
  const TempFile wrong("input\n");
  EXPECT_EQ(ReadFilterFile(wrong.path()).status().message(),
            absl::StrCat(wrong.path(), ":1: no verdict: a rule ends with accept or drop"));
}

TEST(FilterFile, SaysWhyAFileCannotBeRead) {
  EXPECT_EQ(ReadFilterFile("/nowhere/filter").status().message(),
            "cannot read the filter /nowhere/filter: No such file or directory (ENOENT)");
  EXPECT_EQ(ReadFilterFile("/").status().message(), "cannot read the filter /: Is a directory (EISDIR)");
  EXPECT_EQ(ReadFilterFile("/dev/zero").status().message(),
            "/dev/zero: more than 131072 bytes, which is no filter of 256 rules");
}

}  // namespace
}  // namespace weir
