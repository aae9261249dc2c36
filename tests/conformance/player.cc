#include "tests/conformance/player.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tests/conformance/peer.h"

namespace weir::conformance {
namespace {

constexpr std::pair<const char*, int> kNames[] = {
    // States of TCP, by Linux's numbers, and of congestion control.
    {"ESTABLISHED", 1}, {"SYN-SENT", 2},  {"SYN-RECEIVED", 3}, {"FIN-WAIT-1", 4}, {"FIN-WAIT-2", 5}, {"TIME-WAIT", 6},
    {"CLOSED", 7},      {"CLOSE-WAIT", 8}, {"LAST-ACK", 9},    {"LISTEN", 10},    {"CLOSING", 11},
    {"OPEN", 0},        {"DISORDER", 1},  {"CWR", 2},          {"RECOVERY", 3},   {"LOSS", 4},
};

double Ms(Nanos ns) { return static_cast<double>(ns) / kMillisecond; }
Nanos FromMs(double ms) { return static_cast<Nanos>(ms * kMillisecond); }

std::string ErrorName(int error) {
  const char* name = strerrorname_np(error);
  return name == nullptr ? absl::StrCat("errno ", error) : name;
}

// What a line expects of a call: "= 100", "= EOF", "= ECONNRESET", "= ...", or nothing: success.
struct Expected {
  bool waits = false;
  std::optional<int64_t> value;
  int error = 0;

  bool Parse(const std::string& text) {
    if (text == "...") return waits = true;
    if (text == "EOF") return value = 0, true;
    int64_t number = 0;
    if (absl::SimpleAtoi(text, &number)) return value = number, true;
    constexpr int kErrors = 134;
    for (int i = 1; i < kErrors; ++i) {
      if (text == ErrorName(i)) return error = i, true;
    }
    return false;
  }
};

class Player {
 public:
  Player(const Script& script, Stack& stack, bool v6)
      : script_(script), stack_(stack), start_ns_(stack.now_ns()), prev_ns_(start_ns_), peer_(v6, start_ns_) {}

  std::string Play() {
    for (const ScriptLine& line : script_.lines) {
      line_ = &line;
      since_ns_ = after_call_ ? call_ns_ : prev_ns_;
      if (!PlayLine(line)) return Message();
      after_call_ = line.kind == ScriptLine::Kind::kCall;
    }
    stack_.Wait(stack_.now_ns());
    if (!NothingCame()) return Message();
    problem_ = stack_.End();
    return problem_.empty() ? "" : Message();
  }

 private:
  struct Arrival {
    Segment segment;
    Nanos at_ns;
  };

  bool PlayLine(const ScriptLine& line) {
    if (line.kind == ScriptLine::Kind::kOut) return PlayOut(line);
    if (line.kind == ScriptLine::Kind::kReturn) return PlayReturn(line);
    if (!PassTo(prev_ns_ + FromMs(line.kind == ScriptLine::Kind::kQuiet ? line.to_ms : line.from_ms))) return false;
    switch (line.kind) {
      case ScriptLine::Kind::kIn:
        return PlayIn(line);
      case ScriptLine::Kind::kCall:
        return PlayCall(line);
      case ScriptLine::Kind::kInfo:
        return PlayInfo(line);
      case ScriptLine::Kind::kFlow:
        problem_ = peer_.Reset(line);
        return problem_.empty();
      default:
        prev_ns_ = stack_.now_ns();
        return true;
    }
  }

  bool Fail(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  std::string Message() const {
    return absl::StrCat(script_.name, ".wire:", line_ == nullptr ? 0 : line_->number, ": expected \"",
                        line_ == nullptr ? "" : line_->text, "\", but ", problem_, "\n", absl::StrJoin(history_, "\n"));
  }

  void Log(Nanos at_ns, const std::string& text) {
    history_.push_back(absl::StrFormat("    %10.3f  %s", Ms(at_ns - start_ns_), text));
  }

  // Takes in what has come; questions for our link-layer address are answered.
  void TakeIn() {
    while (!stack_.arrived.empty()) {
      const Stack::Frame frame = std::move(stack_.arrived.front());
      stack_.arrived.pop_front();
      if (const std::optional<Bytes> answer = AnswerAddress(frame.bytes)) {
        stack_.Send(*answer);
        continue;
      }
      std::optional<Segment> segment = TakeApart(frame.bytes);
      if (segment.has_value()) packets_.push_back({*std::move(segment), frame.at_ns});
    }
  }

  // The next packet of the stack until then.
  std::optional<Arrival> Next(Nanos until_ns) {
    for (;;) {
      TakeIn();
      if (!packets_.empty()) break;
      if (stack_.now_ns() >= until_ns) return std::nullopt;
      stack_.Wait(until_ns);
    }
    Arrival arrival = std::move(packets_.front());
    packets_.pop_front();
    peer_.Note(arrival.segment, arrival.at_ns);
    Log(arrival.at_ns, absl::StrCat("out ", peer_.Show(arrival.segment)));
    return arrival;
  }

  bool NothingCame() {
    const std::optional<Arrival> arrival = Next(stack_.now_ns());
    return !arrival.has_value() || Fail(absl::StrCat("before that came \"", peer_.Show(arrival->segment), "\""));
  }

  // Lets time pass; the stack must be silent until then.
  bool PassTo(Nanos until_ns) {
    const std::optional<Arrival> arrival = Next(std::max(until_ns, stack_.now_ns()));
    if (!arrival.has_value()) return true;
    return Fail(absl::StrFormat("%.3f ms before its time came \"%s\"", Ms(until_ns - arrival->at_ns),
                                peer_.Show(arrival->segment)));
  }

  bool PlayIn(const ScriptLine& line) {
    std::string error;
    const std::optional<Bytes> frame = peer_.Build(line, stack_.now_ns(), &error);
    if (!frame.has_value()) return Fail(error);
    prev_ns_ = stack_.now_ns();
    Log(prev_ns_, absl::StrCat(" in ", absl::StrJoin(line.words, " ")));
    stack_.Send(*frame);
    return true;
  }

  Nanos Latest(const ScriptLine& line) const {
    const Stack::Tolerance tolerance = stack_.tolerance();
    const double late_ms = after_call_ ? tolerance.call_ms + tolerance.late_ms : tolerance.late_ms;
    return prev_ns_ + FromMs(line.to_ms * (1 + tolerance.late_share) + late_ms);
  }

  // Whether what came then came in time; it is what the next line counts from.
  bool InTime(const ScriptLine& line, Nanos at_ns, const std::string& what) {
    const double after_ms = Ms(at_ns - since_ns_);
    const bool early = !line.any_time && after_ms < line.from_ms - stack_.tolerance().early_ms;
    const bool late = at_ns > Latest(line);
    prev_ns_ = since_ns_ = at_ns;
    if (!early && !late) return true;
    return Fail(absl::StrFormat("%s came %.3f ms after the line before", what, after_ms));
  }

  bool PlayOut(const ScriptLine& line) {
    const std::optional<Arrival> arrival = Next(Latest(line));
    if (!arrival.has_value()) return Fail("nothing came");
    const std::string problem = peer_.Compare(line, arrival->segment, arrival->at_ns);
    const std::string shown = absl::StrCat("\"", peer_.Show(arrival->segment), "\"");
    if (!problem.empty()) return Fail(absl::StrCat(shown, " came: ", problem));
    return InTime(line, arrival->at_ns, shown);
  }

  bool PlayCall(const ScriptLine& line) {
    Call call;
    Expected expected;
    if (!ParseCall(line, &call, &expected)) return Fail("that is no call: see README.md");
    prev_ns_ = call_ns_ = stack_.now_ns();
    Log(prev_ns_, absl::StrCat("call ", absl::StrJoin(line.words, " ")));
    const int number = ++calls_;
    stack_.Start(number, call);
    if (expected.waits) {
      const Nanos until_ns = stack_.now_ns() + stack_.settle_ns();
      while (stack_.now_ns() < until_ns && !stack_.returned.contains(number)) stack_.Wait(until_ns);
      if (stack_.returned.contains(number)) return Fail(absl::StrCat("it returned ", Show(stack_.returned[number])));
      waiting_[{call.verb, call.socket}] = {number, call};
      return true;
    }
    constexpr Nanos kAtOnce = 2 * kSecond;  // of a machine that is busy
    const Nanos until_ns = stack_.now_ns() + (stack_.settle_ns() > 0 ? kAtOnce : 0);
    while (stack_.now_ns() < until_ns && !stack_.returned.contains(number)) stack_.Wait(until_ns);
    if (!stack_.returned.contains(number)) return Fail("the call goes on");
    if (stack_.settle_ns() > 0) prev_ns_ = std::max(prev_ns_, stack_.returned[number].at_ns);
    return CheckOutcome(call, expected, stack_.returned[number]);
  }

  bool PlayReturn(const ScriptLine& line) {
    const bool simple = line.words.size() >= 2;
    const auto found = simple ? waiting_.find({line.words[0], line.words[1]}) : waiting_.end();
    Expected expected;
    const bool parsed = line.words.size() == 2 || (line.words.size() == 4 && expected.Parse(line.words[3]));
    if (found == waiting_.end() || !parsed || expected.waits) return Fail("there is no such call under way");
    const auto [number, call] = found->second;
    waiting_.erase(found);
    const Nanos until_ns = Latest(line);
    TakeIn();
    const size_t before = packets_.size();  // packets that come in the same moment may be of a line behind this
    while (stack_.now_ns() < until_ns && !stack_.returned.contains(number) && packets_.size() == before) {
      stack_.Wait(until_ns);
      TakeIn();
    }
    const Nanos moment_ns = stack_.now_ns() + 4 * stack_.settle_ns();
    while (stack_.now_ns() < moment_ns && !stack_.returned.contains(number)) stack_.Wait(moment_ns);
    if (!stack_.returned.contains(number)) return Fail("the call still goes on");
    const Outcome& outcome = stack_.returned[number];
    Log(outcome.at_ns, absl::StrCat(" ret ", call.verb, " ", call.socket, " = ", Show(outcome)));
    return CheckOutcome(call, expected, outcome) && InTime(line, outcome.at_ns, "it");
  }

  static std::string Show(const Outcome& outcome) {
    return outcome.error != 0 ? ErrorName(outcome.error) : absl::StrCat(outcome.value);
  }

  bool CheckOutcome(const Call& call, const Expected& expected, const Outcome& outcome) {
    const bool as_expected =
        outcome.error == expected.error && (!expected.value.has_value() || *expected.value == outcome.value);
    if (!as_expected) return Fail(absl::StrCat("it returned ", Show(outcome)));
    if (call.verb != "read" || outcome.data.empty()) return true;
    uint64_t& read = streams_[call.socket].read;
    const bool datagram = streams_[call.socket].datagrams;
    if (outcome.data != Pattern(datagram ? 0 : read, outcome.data.size())) return Fail("what was read is not what was sent");
    if (!call.peek) read += outcome.data.size();
    return true;
  }

  bool ParseCall(const ScriptLine& line, Call* call, Expected* expected) {
    std::vector<std::string> words = line.words;
    if (words.size() >= 2 && words[words.size() - 2] == "=") {
      if (!expected->Parse(words.back())) return false;
      words.resize(words.size() - 2);
    }
    if (words.size() < 2) return false;
    call->verb = words[0];
    call->socket = words[1];
    call->no_wait = expected->error == EAGAIN;
    call->port = call->verb == "udp" ? kUdpPort : call->verb == "listen" ? kTcpPort : kPeerPort;
    constexpr int kBacklog = 16;
    if (call->verb == "listen") call->number = kBacklog;
    for (size_t i = 2; i < words.size(); ++i) {
      int64_t number = 0;
      if (words[i] == "port" || words[i] == "backlog") {
        if (i + 1 == words.size() || !absl::SimpleAtoi(words[i + 1], &number)) return false;
        (words[i] == "port" ? call->port = static_cast<uint16_t>(number) : call->number = number);
        ++i;
      } else if (words[i][0] == '#' && absl::SimpleAtoi(words[i].substr(1), &number)) {
        call->port = static_cast<uint16_t>(kPeerPort + number);
      } else if (words[i] == "peek") {
        call->peek = true;
      } else if (absl::SimpleAtoi(words[i], &number)) {
        call->number = number;
      } else if (call->other.empty()) {
        call->other = words[i];
      } else {
        call->text = words[i];
      }
    }
    if (call->verb == "udp") streams_[call->socket].datagrams = true;
    if (call->verb == "write" || call->verb == "sendto") {
      uint64_t& written = streams_[call->socket].written;
      const bool datagram = streams_[call->socket].datagrams;
      call->data = Pattern(datagram ? 0 : written, static_cast<size_t>(call->number));
      if (expected->error == 0) written += call->data.size();
    }
    if (call->verb == "read") call->all = !call->peek && (expected->waits ? false : expected->value == call->number);
    return true;
  }

  bool PlayInfo(const ScriptLine& line) {
    const int number = ++calls_;
    prev_ns_ = stack_.now_ns();
    if (line.words.empty()) return Fail("info SOCKET NAME VALUE, ...");
    stack_.Start(number, {.verb = "info", .socket = line.words[0]});
    const Nanos until_ns = stack_.now_ns() + (stack_.settle_ns() > 0 ? kSecond : 0);
    while (stack_.now_ns() < until_ns && !stack_.returned.contains(number)) stack_.Wait(until_ns);
    if (!stack_.returned.contains(number)) return Fail("the call goes on");
    const Outcome& outcome = stack_.returned[number];
    if (outcome.error != 0) return Fail(absl::StrCat("it returned ", Show(outcome)));
    for (size_t i = 1; i + 1 < line.words.size(); i += 2) {
      const auto got = outcome.info.find(line.words[i]);
      if (got == outcome.info.end()) return Fail(absl::StrCat(line.words[i], ": there is no such field"));
      if (!InfoMatches(line.words[i + 1], got->second)) return Fail(absl::StrCat(line.words[i], " is ", got->second));
    }
    return line.words.size() % 2 == 1 || Fail("info SOCKET NAME VALUE, ...");
  }

  static bool InfoMatches(absl::string_view expected, double got) {
    absl::ConsumeSuffix(&expected, ",");
    for (const auto& [name, number] : kNames) {
      if (expected == name) return got == number;
    }
    const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(expected, absl::MaxSplits("..", 1));
    double from = 0, to = 0;
    if (!absl::SimpleAtod(ends.first, &from)) return false;
    if (ends.second.empty()) return std::abs(got - from) < 1e-9;
    return absl::SimpleAtod(ends.second, &to) && got >= from && got <= to;
  }

  struct Stream {
    uint64_t written = 0, read = 0;
    bool datagrams = false;
  };

  const Script& script_;
  Stack& stack_;
  const Nanos start_ns_;
  Nanos prev_ns_;  // of the line before; of a call, when it had returned
  Nanos since_ns_ = 0;  // the same; of a call, when it began
  Nanos call_ns_ = 0;
  bool after_call_ = false;
  Peer peer_;
  std::deque<Arrival> packets_;  // that came and were not looked at
  int calls_ = 0;
  std::map<std::pair<std::string, std::string>, std::pair<int, Call>> waiting_;
  std::map<std::string, Stream> streams_;
  const ScriptLine* line_ = nullptr;
  std::string problem_;
  std::vector<std::string> history_;
};

}  // namespace

std::string Play(const Script& script, Stack& stack, bool v6) { return Player(script, stack, v6).Play(); }

}  // namespace weir::conformance
