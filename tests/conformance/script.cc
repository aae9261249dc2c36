#include "tests/conformance/script.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace weir::conformance {
namespace {

constexpr char kEnding[] = ".wire";

// "+5", "+5..20" or "+*".
bool ParseTime(absl::string_view text, ScriptLine* line) {
  if (!absl::ConsumePrefix(&text, "+")) return false;
  if (text == "*") {
    line->any_time = true;
    line->to_ms = kAnyTimeMs;
    return true;
  }
  const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(text, absl::MaxSplits("..", 1));
  if (!absl::SimpleAtod(ends.first, &line->from_ms)) return false;
  line->to_ms = line->from_ms;
  if (ends.second.empty()) return true;
  line->range = true;
  return absl::SimpleAtod(ends.second, &line->to_ms) && line->to_ms >= line->from_ms;
}

bool ParseKind(absl::string_view word, ScriptLine* line) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(word, absl::MaxSplits('#', 1));
  if (!parts.second.empty() && !absl::SimpleAtoi(parts.second, &line->flow)) return false;
  constexpr std::pair<absl::string_view, ScriptLine::Kind> kKinds[] = {
      {"in", ScriptLine::Kind::kIn},       {"out", ScriptLine::Kind::kOut},  {"quiet", ScriptLine::Kind::kQuiet},
      {"call", ScriptLine::Kind::kCall},   {"ret", ScriptLine::Kind::kReturn}, {"info", ScriptLine::Kind::kInfo},
      {"flow", ScriptLine::Kind::kFlow},
  };
  for (const auto& [name, kind] : kKinds) {
    if (name != parts.first) continue;
    line->kind = kind;
    return true;
  }
  return false;
}

// Words, with a list of options in <> and a comma-separated list kept together.
std::vector<std::string> Words(absl::string_view text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {
      ++at;
      continue;
    }
    const size_t end = std::min(text.find(text[at] == '<' ? '>' : ' ', at), text.size());
    const size_t length = text[at] == '<' ? end + 1 - at : end - at;
    words.emplace_back(text.substr(at, length));
    at += length;
  }
  return words;
}

class Parser {
 public:
  Parser(StackKind stack, Script* script) : stack_(stack), script_(*script) {}

  // What is wrong with the line, or "".
  std::string Take(absl::string_view line, int number) {
    if (script_.title.empty()) return TakeTitle(line);
    absl::string_view text = absl::StripAsciiWhitespace(line);
    if (text.empty() || text[0] == '#') return "";
    const absl::string_view comment = text.substr(std::min(text.find("  #"), text.size()));
    text = absl::StripAsciiWhitespace(text.substr(0, text.size() - comment.size()));
    if (absl::ConsumePrefix(&text, "differs:")) {
      explained_ = !absl::StripAsciiWhitespace(text).empty();
      return explained_ ? "" : "say how and why they differ";
    }
    const bool for_linux = absl::ConsumePrefix(&text, "linux:");
    const bool for_weir = !for_linux && absl::ConsumePrefix(&text, "weir:");
    if ((for_linux || for_weir) && !explained_) return "a line for one stack needs a \"differs: REASON\" before it";
    explained_ = explained_ && (for_linux || for_weir);
    if (for_linux && stack_ != StackKind::kLinux) return "";
    if (for_weir && stack_ != StackKind::kWeir) return "";
    text = absl::StripAsciiWhitespace(text);
    return text[0] == '+' ? TakeEvent(text, number) : TakeSetting(text);
  }

 private:
  std::string TakeTitle(absl::string_view line) {
    static const std::regex kTitle("# RFC [0-9]+( §[0-9A-Z]+(\\.[0-9]+)*)?[:,].*");
    const std::string text(line);
    if (!std::regex_match(text, kTitle)) return "the first line must be \"# RFC NUMBER §SECTION: what is shown\"";
    script_.title = text.substr(2);
    return "";
  }

  std::string TakeSetting(absl::string_view text) {
    if (absl::ConsumePrefix(&text, "sysctl ")) {
      const std::pair<std::string, std::string> setting = absl::StrSplit(text, absl::MaxSplits('=', 1));
      script_.sysctls.push_back(setting);
      return setting.second.empty() ? "sysctl NAME=VALUE" : "";
    }
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
    if (absl::StripAsciiWhitespace(parts.second).empty()) return absl::StrCat(text, ": no such line, or no reason given");
    if (parts.first == "only v4") {
      script_.v6 = false;
    } else if (parts.first == "only v6") {
      script_.v4 = false;
    } else if (parts.first == "only virtual time") {
      script_.real_time = false;
    } else {
      return absl::StrCat(parts.first, ": no such line");
    }
    return "";
  }

  std::string TakeEvent(absl::string_view text, int number) {
    ScriptLine line;
    line.number = number;
    line.text = std::string(text);
    std::vector<std::string> words = Words(text);
    if (!ParseTime(words[0], &line)) return absl::StrCat(words[0], ": no time");
    if (words.size() < 2 || !ParseKind(words[1], &line)) return "not in, out, quiet, call, ret, info or flow";
    line.words.assign(std::make_move_iterator(words.begin() + 2), std::make_move_iterator(words.end()));
    script_.lines.push_back(std::move(line));
    return "";
  }

  const StackKind stack_;
  Script& script_;
  bool explained_ = false;  // by a "differs:" line, for the lines for one stack that follow
};

}  // namespace

bool ParseScript(const std::string& name, absl::string_view text, StackKind stack, Script* script, std::string* error) {
  script->name = name;
  Parser parser(stack, script);
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const std::string problem = parser.Take(line, number);
    if (problem.empty()) continue;
    *error = absl::StrCat(name, ":", number, ": ", problem);
    return false;
  }
  return true;
}

std::vector<std::pair<std::string, std::string>> ReadScripts(const std::string& folder) {
  std::vector<std::pair<std::string, std::string>> scripts;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != kEnding) continue;
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    std::string name = std::filesystem::relative(entry.path(), folder).replace_extension().string();
    scripts.emplace_back(std::move(name), text);
  }
  std::sort(scripts.begin(), scripts.end());
  return scripts;
}

}  // namespace weir::conformance
