#include "tests/conformance/peer.h"

#include <algorithm>
#include <cmath>
#include "absl/strings/string_view.h"
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tests/support/packets6.h"
#include "tests/support/tcp_options_text.h"

namespace weir::conformance {

using namespace testing_support;

namespace {

constexpr std::pair<char, uint8_t> kFlags[] = {{'S', kSyn}, {'F', kFin}, {'R', kRst}, {'P', kPsh},
                                               {'A', kAck}, {'U', kUrg}, {'E', kEce}, {'W', kCwr}};

std::string ShowFlags(uint8_t flags) {
  std::string text;
  for (const auto& [letter, bit] : kFlags) {
    if ((flags & bit) != 0) text += letter;
  }
  return text.empty() ? "-" : text;
}

// "PA": these flags. "A!P": and expressly not that one.
bool ParseFlags(absl::string_view text, uint8_t* flags, uint8_t* without) {
  *flags = *without = 0;
  bool absent = false;
  for (char c : text) {
    if (c == '!') absent = true;
    bool known = c == '!' || c == '-';
    for (const auto& [letter, bit] : kFlags) {
      if (letter != c) continue;
      (absent ? *without : *flags) |= bit;
      known = true;
    }
    if (!known) return false;
  }
  return true;
}

// Options without NOPs, each as "kind value".
std::vector<std::string> Items(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  absl::ConsumePrefix(&text, "<");
  absl::ConsumeSuffix(&text, ">");
  std::vector<std::string> items;
  for (absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    if (item != "none") items.emplace_back(absl::StripAsciiWhitespace(item));
  }
  std::sort(items.begin(), items.end());
  return items;
}

// "ts" stands for any values; "*" for any word.
bool ItemMatches(const std::string& expected, const std::string& got) {
  const std::vector<std::string> e = absl::StrSplit(expected, ' ', absl::SkipEmpty());
  const std::vector<std::string> g = absl::StrSplit(got, ' ', absl::SkipEmpty());
  if (e.size() == 1 && e[0] == "ts") return g[0] == "ts";
  if (e.size() != g.size()) return false;
  for (size_t i = 0; i < e.size(); ++i) {
    if (e[i] != "*" && e[i] != g[i]) return false;
  }
  return true;
}

bool NumberMatches(const std::string& expected, int64_t got) {
  if (expected == "*") return true;
  const std::pair<std::string, std::string> ends = absl::StrSplit(expected, absl::MaxSplits("..", 1));
  int64_t from = 0, to = 0;
  if (!absl::SimpleAtoi(ends.first, &from)) return false;
  if (ends.second.empty()) return got == from;
  return absl::SimpleAtoi(ends.second, &to) && got >= from && got <= to;
}

bool HasSyn(uint8_t flags) { return (flags & kSyn) != 0; }

}  // namespace

Bytes Pattern(uint64_t offset, size_t n) {
  Bytes bytes(n);
  for (size_t i = 0; i < n; ++i) bytes[i] = PatternAt(offset + i);
  return bytes;
}

// The words of a packet's line behind flags and sequence range: "win 100 urg 3 badsum <mss 1460>".
struct Peer::Words {
  std::string flags, range;
  std::map<std::string, std::string> values;
  std::optional<std::string> options;

  // False: a word that has no value.
  bool Parse(const std::vector<std::string>& words) {
    for (size_t i = 0; i < words.size(); ++i) {
      const std::string& word = words[i];
      if (word[0] == '<') {
        options = word;
      } else if (i == 0) {
        flags = word;
      } else if (i == 1) {
        range = word;
      } else if (word == "badsum" || word == "df" || word == "nodf" || word == "nosum") {
        values[word] = "";
      } else if (i + 1 == words.size()) {
        return false;
      } else {
        values[word] = words[++i];
      }
    }
    return true;
  }
  const std::string* Find(const std::string& name) const {
    const auto found = values.find(name);
    return found == values.end() ? nullptr : &found->second;
  }
  int64_t Number(const std::string& name, int64_t otherwise) const {
    const std::string* text = Find(name);
    int64_t number = otherwise;
    if (text != nullptr) (void)absl::SimpleAtoi(*text, &number);
    return number;
  }
};

Peer::Flow& Peer::flow(int number) {
  Flow& f = flows_[number];
  if (f.peer_port == 0) {
    f.peer_port = static_cast<uint16_t>(kPeerPort + number);
    f.isn = 7'000'000 + 1'000'000 * static_cast<uint32_t>(number);
  }
  return f;
}

Peer::Flow* Peer::FlowOf(const Segment& segment) {
  const int number = segment.destination_port - kPeerPort;
  return number >= 0 && number < 1000 ? &flow(number) : nullptr;
}

std::string Peer::Reset(const ScriptLine& line) {
  int64_t isn = 0;
  if (line.words.size() != 2 || line.words[0] != "isn" || !absl::SimpleAtoi(line.words[1], &isn)) return "flow isn NUMBER";
  const uint16_t port = flow(line.flow).peer_port;
  const uint32_t before = flow(line.flow).isn;
  flows_[line.flow] = Flow{.peer_port = port, .isn = before + static_cast<uint32_t>(isn)};
  return "";
}

bool Peer::BuildOptions(Flow& f, const std::string& text, Nanos now_ns, Bytes* options, std::string* error) {
  std::vector<std::string> items;
  absl::string_view inner = text;
  absl::ConsumePrefix(&inner, "<");
  absl::ConsumeSuffix(&inner, ">");
  const auto last = static_cast<int32_t>(f.last_clock - f.first_clock.value_or(0));
  for (absl::string_view item : absl::StrSplit(inner, ',', absl::SkipWhitespace())) {
    item = absl::StripAsciiWhitespace(item);
    std::string whole(item);
    const std::vector<std::string> words = absl::StrSplit(item, ' ', absl::SkipEmpty());
    if (words[0] == "ts" && words.size() < 4) {
      const std::string value =
          words.size() == 2 ? words[1] : absl::StrCat(static_cast<int32_t>(Clock(now_ns) - kClockBase));
      whole = absl::StrCat("ts ", value, " ecr ", last);
    } else if (item == "fo cookie") {
      whole = absl::StrCat("fo ", absl::BytesToHexString({reinterpret_cast<const char*>(cookie_.data()), cookie_.size()}));
    } else if (words[0] != "mss" && words[0] != "wscale" && words[0] != "sackOK" && words[0] != "sack" &&
               words[0] != "fo" && words[0] != "raw" && words[0] != "none" && words[0] != "ts") {
      *error = absl::StrCat("option ", item);
      return false;
    }
    items.push_back(whole);
  }
  *options = OptionsFrom(absl::StrJoin(items, ","), {kClockBase, f.first_clock.value_or(0), f.iss});
  for (size_t at = 0; at + 10 <= options->size(); ++at) {
    if (Get16(*options, at) != 0x080a) continue;
    f.peer_clocks.insert(Get32(*options, at + 2));
    break;
  }
  return true;
}

std::optional<Bytes> Peer::BuildTcp(const ScriptLine& line, Nanos now_ns, std::string* error) {
  Flow& f = flow(line.flow);
  Words words;
  uint8_t flags = 0, unused = 0;
  int64_t from = 0, to = 0;
  const bool parsed = words.Parse(line.words) && ParseFlags(words.flags, &flags, &unused);
  const std::pair<std::string, std::string> range = absl::StrSplit(words.range, absl::MaxSplits(':', 1));
  if (!parsed || !absl::SimpleAtoi(range.first, &from) || !absl::SimpleAtoi(range.second, &to) || to < from) {
    *error = "FLAGS FROM:TO [ack N] [win N] ... [<options>]";
    return std::nullopt;
  }
  const bool syn = HasSyn(flags);
  if (syn) f.peer_offers_ts = words.options.has_value() && words.options->find("ts") != std::string::npos;
  const std::string options_text = words.options.value_or(timestamps(f) && (flags & kRst) == 0 ? "<ts>" : "<none>");
  TcpSpec spec{.source_port = f.peer_port,
               .destination_port = f.stack_tcp_port,
               .seq = f.isn + static_cast<uint32_t>(from),
               .ack = (flags & kAck) == 0 ? 0 : f.iss + static_cast<uint32_t>(words.Number("ack", 0)),
               .flags = flags,
               .window = static_cast<uint16_t>(words.Number("win", 65535)),
               .urgent = static_cast<uint16_t>(words.Number("urg", 0))};
  if (!BuildOptions(f, options_text, now_ns, &spec.options, error)) return std::nullopt;
  const auto first = static_cast<uint32_t>(from) + (syn ? 1 : 0);
  const Bytes data = Pattern(first - 1, static_cast<size_t>(to - from));
  Bytes transport = v6_ ? Tcp6(spec, data) : Tcp(spec, data);
  if (words.Find("badsum") != nullptr) transport[16] ^= std::byte{0x5a};
  constexpr std::pair<const char*, int> kEcn[] = {{"none", 0}, {"ect1", 1}, {"ect0", 2}, {"ce", 3}};
  auto tos = static_cast<uint8_t>(words.Number("tos", 0));
  for (const auto& [name, bits] : kEcn) {
    if (words.Find("ecn") != nullptr && *words.Find("ecn") == name) tos |= static_cast<uint8_t>(bits);
  }
  return FrameFor(v6_, kTcp, transport, static_cast<uint8_t>(words.Number("ttl", 64)), tos);
}

std::optional<Bytes> Peer::BuildUdp(const ScriptLine& line, std::string* error) {
  Flow& f = flow(line.flow);
  Words words;
  int64_t bytes = 0;
  if (!words.Parse(line.words) || !absl::SimpleAtoi(words.range, &bytes)) {
    *error = "udp BYTES [to PORT] [badsum] [nosum]";
    return std::nullopt;
  }
  const auto to = static_cast<uint16_t>(words.Number("to", f.stack_udp_port));
  const Bytes data = Pattern(0, static_cast<size_t>(bytes));
  Bytes transport = v6_ ? Udp6(f.peer_port, to, data) : Udp(f.peer_port, to, data);
  if (words.Find("badsum") != nullptr) transport[6] ^= std::byte{0x5a};
  if (words.Find("nosum") != nullptr) Put16(transport, 6, 0);
  return FrameFor(v6_, kUdp, transport, static_cast<uint8_t>(words.Number("ttl", 64)), 0);
}

std::optional<Bytes> Peer::BuildIcmp(const ScriptLine& line, std::string* error) {
  Flow& f = flow(line.flow);
  Words words;
  const IcmpError* icmp = words.Parse(line.words) ? FindIcmpError(words.range) : nullptr;
  if (icmp == nullptr || (v6_ ? icmp->type6 : icmp->type4) < 0) {
    *error = "icmp ERROR [mtu N] [of SEQ]: no such error";
    return std::nullopt;
  }
  if (!f.last_packet.has_value()) {
    *error = "the stack has sent nothing that an ICMP error could be about";
    return std::nullopt;
  }
  Bytes quoted = *f.last_packet;
  if (words.Find("of") != nullptr) {
    Put32(quoted, (v6_ ? 40 : 20) + 4, f.iss + static_cast<uint32_t>(words.Number("of", 0)));
  }
  return IcmpErrorFrame(v6_, *icmp, static_cast<uint32_t>(words.Number("mtu", 0)), quoted);
}

std::optional<Bytes> Peer::Build(const ScriptLine& line, Nanos now_ns, std::string* error) {
  const std::string what = line.words.empty() ? "" : line.words[0];
  if (what == "udp") return BuildUdp(line, error);
  if (what == "icmp") return BuildIcmp(line, error);
  return BuildTcp(line, now_ns, error);
}

void Peer::Note(const Segment& s, Nanos at_ns) {
  if (s.icmp) return;
  Flow* f = FlowOf(s);
  if (f == nullptr) return;
  f->last_packet = s.packet;
  if (s.protocol == kUdp) {
    f->stack_udp_port = s.source_port;
    return;
  }
  f->stack_tcp_port = s.source_port;
  if (HasSyn(s.flags)) {
    if (f->iss != s.seq) f->first_clock.reset();  // another connection
    f->iss = s.seq;
    f->stack_offers_ts = false;
  }
  for (size_t at = 0; at < s.options.size();) {
    const int kind = std::to_integer<int>(s.options[at]);
    if (kind == 0) break;
    const size_t length = kind == 1 || at + 1 == s.options.size() ? 1 : std::to_integer<size_t>(s.options[at + 1]);
    if (kind == 8 && length == 10 && at + 10 <= s.options.size()) {
      f->last_clock = Get32(s.options, at + 2);
      if (!f->first_clock.has_value()) {
        f->first_clock = f->last_clock;
        f->first_clock_ns = at_ns;
      }
      if (HasSyn(s.flags)) f->stack_offers_ts = true;
    } else if (kind == 34 && length > 2) {
      const auto begin = s.options.begin() + static_cast<ptrdiff_t>(at);
      cookie_.assign(begin + 2, begin + static_cast<ptrdiff_t>(length));
    }
    at += std::max<size_t>(length, 1);
  }
}

std::string Peer::Show(const Segment& s) {
  if (!s.problem.empty()) return absl::StrCat("a broken packet (", s.problem, ")");
  if (s.icmp) return absl::StrCat("icmp ", IcmpErrorName(s));
  if (s.protocol == kUdp) return absl::StrCat("udp ", s.data.size());
  const Flow* f = FlowOf(s);
  const uint32_t iss = f == nullptr ? 0 : f->iss, isn = f == nullptr ? 0 : f->isn;
  const auto from = static_cast<int32_t>(s.seq - iss);
  std::string text = absl::StrCat(ShowFlags(s.flags), " ", from, ":", from + static_cast<int64_t>(s.data.size()));
  if ((s.flags & kAck) != 0) absl::StrAppend(&text, " ack ", static_cast<int32_t>(s.ack - isn));
  absl::StrAppend(&text, " win ", s.window);
  if ((s.flags & kUrg) != 0) absl::StrAppend(&text, " urg ", s.urgent);
  if ((s.tos & 3) != 0) absl::StrAppend(&text, " ecn ", (s.tos & 3) == 3 ? "ce" : (s.tos & 3) == 2 ? "ect0" : "ect1");
  const OptionBases bases{f != nullptr ? f->first_clock.value_or(0) : 0, kClockBase, isn};
  return absl::StrCat(text, ShowOptions(s.options, bases));
}

std::string Peer::CheckClock(const Flow& f, uint32_t value, uint32_t echo, Nanos at_ns) const {
  const double elapsed_ms = static_cast<double>(at_ns - f.first_clock_ns) / kMillisecond;
  const double clock_ms = static_cast<int32_t>(value - *f.first_clock);
  // The clock ticks in ms, and a packet may be made a little before it leaves.
  if (std::abs(clock_ms - elapsed_ms) > 25 + elapsed_ms * 0.001) {
    return absl::StrCat("the timestamp clock is at ", clock_ms, " ms, after ", elapsed_ms, " ms");
  }
  const bool known = echo == 0 || f.peer_clocks.contains(echo);
  return known ? "" : absl::StrCat("it echoes a timestamp (", static_cast<int32_t>(echo - kClockBase), ") that nobody sent");
}

std::string Peer::CompareOptions(const Flow& f, const std::string* text, const Segment& s, Nanos at_ns) {
  if (text != nullptr && *text == "<*>") return "";
  const OptionBases bases{f.first_clock.value_or(0), kClockBase, f.isn};
  const std::vector<std::string> got = Items(ShowOptions(s.options, bases));
  const bool expects_ts = timestamps(f) && !HasSyn(s.flags) && (s.flags & kRst) == 0;
  std::vector<std::string> expected = Items(text == nullptr ? "" : *text);
  const auto is_ts = [](const std::string& item) { return item.starts_with("ts"); };
  const bool says_none = text != nullptr && *text == "<none>";
  if (expects_ts && !says_none && std::none_of(expected.begin(), expected.end(), is_ts)) expected.push_back("ts");
  std::sort(expected.begin(), expected.end());
  bool same = expected.size() == got.size();
  for (size_t i = 0; same && i < got.size(); ++i) same = ItemMatches(expected[i], got[i]);
  if (!same) return absl::StrCat("options <", absl::StrJoin(got, ", "), "> instead of <", absl::StrJoin(expected, ", "), ">");
  for (size_t at = 0; at + 10 <= s.options.size(); ++at) {
    if (Get16(s.options, at) == 0x080a) return CheckClock(f, Get32(s.options, at + 2), Get32(s.options, at + 6), at_ns);
    if (s.options[at] != std::byte{1}) at += std::max<size_t>(std::to_integer<size_t>(s.options[at + 1]), 1) - 1;
  }
  return "";
}

std::string Peer::CheckData(const Flow& f, const Segment& s) const {
  if (s.data.empty() || f.iss == 0) return "";
  const uint32_t first = s.seq - f.iss + (HasSyn(s.flags) ? 1 : 0);
  return Pattern(first - 1, s.data.size()) == s.data ? "" : "the data is not the stream's";
}

std::string Peer::CompareTcp(const ScriptLine& line, Flow& f, const Segment& s, Nanos at_ns) {
  Words words;
  uint8_t with = 0, without = 0;
  if (!words.Parse(line.words) || !ParseFlags(words.flags, &with, &without)) return "the line is no packet";
  const uint8_t looked_at = with | without | static_cast<uint8_t>(~kPsh);
  if ((s.flags & looked_at) != with) return absl::StrCat("flags ", ShowFlags(s.flags));
  const std::pair<std::string, std::string> range = absl::StrSplit(words.range, absl::MaxSplits(':', 1));
  const auto from = static_cast<int32_t>(s.seq - f.iss);
  if (!NumberMatches(range.first, from)) return absl::StrCat("begins at ", from);
  const int64_t to = from + static_cast<int64_t>(s.data.size());
  if (!NumberMatches(range.second, to)) return absl::StrCat("ends at ", to);
  const std::pair<const char*, int64_t> numbers[] = {
      {"ack", static_cast<int32_t>(s.ack - f.isn)}, {"win", s.window}, {"urg", s.urgent},
      {"ttl", s.ttl}, {"tos", s.tos & 0xfc}};
  for (const auto& [name, got] : numbers) {
    const std::string* expected = words.Find(name);
    if (expected != nullptr && !NumberMatches(*expected, got)) return absl::StrCat(name, " ", got);
  }
  if ((with & kAck) != 0 && words.Find("ack") == nullptr) return "the line says no ack";
  constexpr const char* kEcn[] = {"none", "ect1", "ect0", "ce"};
  const std::string* ecn = words.Find("ecn");
  if (ecn != nullptr && *ecn != kEcn[s.tos & 3]) return absl::StrCat("ecn ", kEcn[s.tos & 3]);
  if (words.Find("df") != nullptr && !s.v6 && !s.dont_fragment) return "no DF";
  if (words.Find("nodf") != nullptr && !s.v6 && s.dont_fragment) return "DF";
  const std::string options =
      CompareOptions(f, words.options.has_value() ? &*words.options : nullptr, s, at_ns);
  return options.empty() ? CheckData(f, s) : options;
}

std::string Peer::Compare(const ScriptLine& line, const Segment& s, Nanos at_ns) {
  if (!s.problem.empty()) return s.problem;
  const std::string what = line.words.empty() ? "" : line.words[0];
  if (what == "icmp") {
    if (!s.icmp || line.words.size() < 2) return "no ICMP error";
    return IcmpErrorName(s) == line.words[1] ? "" : "another ICMP error";
  }
  if (s.icmp) return "an ICMP error";
  Flow* f = FlowOf(s);
  if (f == nullptr || f != &flow(line.flow)) return absl::StrCat("it is for port ", s.destination_port);
  if (what == "udp") {
    if (s.protocol != kUdp || line.words.size() < 2) return "no UDP";
    Words words;
    if (!words.Parse(line.words)) return "the line is no packet";
    for (const auto& [name, got] : {std::pair<const char*, int64_t>{"ttl", s.ttl}, {"tos", s.tos}}) {
      if (words.Find(name) != nullptr && !NumberMatches(*words.Find(name), got)) return absl::StrCat(name, " ", got);
    }
    if (!NumberMatches(line.words[1], static_cast<int64_t>(s.data.size()))) return "another length";
    return Pattern(0, s.data.size()) == s.data ? "" : "other data";
  }
  return s.protocol == kTcp ? CompareTcp(line, *f, s, at_ns) : "no TCP";
}

}  // namespace weir::conformance
