#include "netstack/host/filter_file.h"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "netstack/wire/ipv4.h"
#include "runtime/base/errno_status.h"

namespace weir {
namespace {

using netstack::Filter;
using netstack::FilterLimit;
using netstack::FilterRule;
using netstack::FilterVerdict;
using netstack::Hook;

// Every rule there may be, with all its matches written out and a line of comment.
constexpr size_t kMaxFileBytes = Filter::kMaxRules * 512;

// nft's default for a limit that names none.
constexpr int64_t kDefaultBurst = 5;

constexpr uint8_t kProtocolIcmpv6 = 58;  // RFC 8200 §3, RFC 4443 §1

using Words = std::vector<absl::string_view>;

template <typename... Piece>
absl::Status Wrong(const Piece&... pieces) {
  return absl::InvalidArgumentError(absl::StrCat(pieces...));
}

absl::StatusOr<Hook> ParseHook(absl::string_view word) {
  for (size_t i = 0; i < netstack::kHooks; ++i) {
    if (word == netstack::kHookNames[i]) return static_cast<Hook>(i);
  }
  return Wrong("unknown hook '", word, "': prerouting, input, forward, output or postrouting");
}

absl::StatusOr<FilterVerdict> ParseVerdict(absl::string_view word) {
  if (word == "accept") return FilterVerdict::kAccept;
  if (word == "drop") return FilterVerdict::kDrop;
  return Wrong("unknown verdict '", word, "': accept or drop");
}

absl::StatusOr<uint8_t> ParseProtocol(absl::string_view word) {
  if (word == "tcp") return netstack::kProtocolTcp;
  if (word == "udp") return netstack::kProtocolUdp;
  if (word == "icmp") return netstack::kProtocolIcmp;
  if (word == "icmpv6") return kProtocolIcmpv6;
  int number;
  if (absl::SimpleAtoi(word, &number) && number >= 0 && number <= 255) return static_cast<uint8_t>(number);
  return Wrong("unknown proto '", word, "': tcp, udp, icmp, icmpv6 or a number up to 255");
}

absl::StatusOr<netstack::PortRange> ParsePorts(absl::string_view word) {
  const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(word, absl::MaxSplits('-', 1));
  const bool range = ends.first.size() != word.size();
  int first, last;
  if (!absl::SimpleAtoi(ends.first, &first) || !absl::SimpleAtoi(range ? ends.second : ends.first, &last) ||
      first < 0 || last > 65535) {
    return Wrong("'", word, "': a port is 0 to 65535, a range N-M");
  }
  if (first > last) return Wrong("'", word, "': the range ends before it begins");
  return netstack::PortRange{static_cast<uint16_t>(first), static_cast<uint16_t>(last)};
}

absl::StatusOr<std::string> ParseInterfaceName(absl::string_view word) {
  if (word.size() < IFNAMSIZ) return std::string(word);
  return Wrong("'", word, "': an interface name has at most ", IFNAMSIZ - 1, " characters");
}

// Takes the words of one rule apart, from the front.
class RuleParser {
 public:
  explicit RuleParser(Words words) : words_(std::move(words)) {}

  absl::StatusOr<FilterRule> Parse() {
    absl::StatusOr<Hook> hook = ParseHook(words_[next_++]);
    if (!hook.ok()) return hook.status();
    rule_.hook = *hook;
    rule_.text = absl::StrJoin(words_, " ");
    while (next_ < words_.size() && words_[next_] != "accept" && words_[next_] != "drop") {
      if (absl::Status status = ParseMatch(); !status.ok()) return status;
    }
    if (next_ == words_.size()) return Wrong("no verdict: a rule ends with accept or drop");
    rule_.verdict = *ParseVerdict(words_[next_++]);
    if (next_ < words_.size()) return Wrong("'", words_[next_], "' after the verdict");
    if (absl::Status status = CheckTogether(); !status.ok()) return status;
    return std::move(rule_);
  }

 private:
  static constexpr std::array<absl::string_view, 7> kMatches = {"proto", "src",     "dst",  "sport",
                                                                "dport", "iifname", "limit"};

  absl::Status ParseMatch() {
    const absl::string_view match = words_[next_++];
    const auto known = std::find(kMatches.begin(), kMatches.end(), match);
    if (known == kMatches.end()) {
      return Wrong("unknown match '", match, "': ", absl::StrJoin(kMatches, ", "), ", or accept or drop");
    }
    if (std::exchange(seen_[known - kMatches.begin()], true)) return Wrong("'", match, "' twice in one rule");
    if (next_ == words_.size()) return Wrong("'", match, "' without a value");
    const absl::string_view value = words_[next_++];
    if (match == "proto") return Store(ParseProtocol(value), &rule_.protocol);
    if (match == "src") return Store(IpPrefix::Parse(value), &rule_.source);
    if (match == "dst") return Store(IpPrefix::Parse(value), &rule_.destination);
    if (match == "sport") return Store(ParsePorts(value), &rule_.source_port);
    if (match == "dport") return Store(ParsePorts(value), &rule_.destination_port);
    if (match == "iifname") return Store(ParseInterfaceName(value), &rule_.in_interface);
    return ParseLimit(value);
  }

  template <typename T, typename Field>
  static absl::Status Store(absl::StatusOr<T> value, Field* field) {
    if (!value.ok()) return value.status();
    *field = *std::move(value);
    return absl::OkStatus();
  }

  absl::Status ParseLimit(absl::string_view value) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(value, absl::MaxSplits('/', 1));
    int64_t rate, burst = kDefaultBurst;
    if (parts.second != "s" || !absl::SimpleAtoi(parts.first, &rate) || rate < 1 || rate > FilterLimit::kMaxRate) {
      return Wrong("limit '", value, "': write N/s, with N from 1 to ", FilterLimit::kMaxRate);
    }
    if (next_ < words_.size() && words_[next_] == "burst") {
      ++next_;
      const absl::string_view number = next_ < words_.size() ? words_[next_++] : "";
      if (!absl::SimpleAtoi(number, &burst) || burst < 1 || burst > FilterLimit::kMaxBurst) {
        return Wrong("burst '", number, "': a number from 1 to ", FilterLimit::kMaxBurst);
      }
    }
    rule_.limit.emplace(rate, burst);
    return absl::OkStatus();
  }

  // What is right word by word and could never match.
  absl::Status CheckTogether() const {
    const bool ports = rule_.source_port.has_value() || rule_.destination_port.has_value();
    if (ports && rule_.protocol != netstack::kProtocolTcp && rule_.protocol != netstack::kProtocolUdp) {
      return Wrong("sport and dport need proto tcp or udp");
    }
    if (rule_.source.has_value() && rule_.destination.has_value() &&
        rule_.source->ip.is_v4() != rule_.destination->ip.is_v4()) {
      return Wrong("src and dst are of different IP versions");
    }
    if (!rule_.in_interface.empty() && rule_.hook == Hook::kLocalOut) {
      return Wrong("iifname in output: what this host sends came in nowhere");
    }
    return absl::OkStatus();
  }

  const Words words_;
  size_t next_ = 0;
  std::array<bool, kMatches.size()> seen_{};
  FilterRule rule_;
};

absl::Status ParsePolicy(const Words& words, Filter& filter, std::array<bool, netstack::kHooks>& seen) {
  if (words.size() != 3) return Wrong("write 'policy HOOK accept' or 'policy HOOK drop'");
  absl::StatusOr<Hook> hook = ParseHook(words[1]);
  if (!hook.ok()) return hook.status();
  absl::StatusOr<FilterVerdict> verdict = ParseVerdict(words[2]);
  if (!verdict.ok()) return verdict.status();
  if (std::exchange(seen[static_cast<size_t>(*hook)], true)) return Wrong("a second policy for ", words[1]);
  filter.set_policy(*hook, *verdict);
  return absl::OkStatus();
}

absl::Status ParseRule(Words words, Filter& filter) {
  absl::StatusOr<FilterRule> rule = RuleParser(std::move(words)).Parse();
  if (!rule.ok()) return rule.status();
  if (!filter.Add(*std::move(rule))) return Wrong("more than ", Filter::kMaxRules, " rules");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Filter> ParseFilter(absl::string_view text, absl::string_view name) {
  Filter filter;
  std::array<bool, netstack::kHooks> policies{};
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    Words words = absl::StrSplit(line.substr(0, line.find('#')), absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty()) continue;
    const absl::Status status =
        words[0] == "policy" ? ParsePolicy(words, filter, policies) : ParseRule(std::move(words), filter);
    if (!status.ok()) return absl::Status(status.code(), absl::StrCat(name, ":", number, ": ", status.message()));
  }
  return filter;
}

absl::StatusOr<Filter> ReadFilterFile(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (file == nullptr) return runtime::ErrnoStatus(errno, absl::StrCat("cannot read the filter ", path));
  std::string text(kMaxFileBytes + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get())) return runtime::ErrnoStatus(errno, absl::StrCat("cannot read the filter ", path));
  if (text.size() > kMaxFileBytes) {
    return Wrong(path, ": more than ", kMaxFileBytes, " bytes, which is no filter of ", Filter::kMaxRules, " rules");
  }
  return ParseFilter(text, path);
}

}  // namespace weir
