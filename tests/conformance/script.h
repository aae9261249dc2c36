// A wire script: what a raw TCP peer sends to a stack, what the stack must send back and when, and the socket calls of a
// program on the stack in between. README.md in this folder describes the notation.
#ifndef TESTS_CONFORMANCE_SCRIPT_H_
#define TESTS_CONFORMANCE_SCRIPT_H_

#include <string>
#include "absl/strings/string_view.h"
#include <utility>
#include <vector>

namespace weir::conformance {

// One line that happens: when, counted from the line before, and what.
struct ScriptLine {
  enum class Kind { kIn, kOut, kQuiet, kCall, kReturn, kInfo, kFlow };
  int number = 0;  // in the file
  Kind kind = Kind::kIn;
  // Milliseconds. With `any_time` it may come whenever it likes, within kAnyTimeMs.
  double from_ms = 0, to_ms = 0;
  bool range = false;  // "+A..B": nothing is added to it for the clock's sake
  bool any_time = false;
  int flow = 0;  // of packets
  std::vector<std::string> words;
  std::string text;  // as written, for messages
};

inline constexpr double kAnyTimeMs = 5000;

struct Script {
  std::string name;   // path below the folder of scripts, without its ending
  std::string title;  // first line: "RFC 9293 §3.5: ..."
  std::vector<std::pair<std::string, std::string>> sysctls;
  bool v4 = true, v6 = true;
  bool real_time = true;
  std::vector<ScriptLine> lines;
};

enum class StackKind { kLinux, kWeir };

// The script as it is for `stack`: lines that are marked for the other are left out. False: `*error` says which line is
// wrong ("name:7: ...").
bool ParseScript(const std::string& name, absl::string_view text, StackKind stack, Script* script, std::string* error);

// Every script below `folder`: its name and its text, sorted.
std::vector<std::pair<std::string, std::string>> ReadScripts(const std::string& folder);

}  // namespace weir::conformance

#endif  // TESTS_CONFORMANCE_SCRIPT_H_
