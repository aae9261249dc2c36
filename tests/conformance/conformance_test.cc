// Every wire script of this folder against weir's stack in memory, in virtual time, over both versions of IP.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "netstack/host/tcp_flags.h"
#include "tests/conformance/player.h"
#include "tests/conformance/script.h"
#include "tests/conformance/weir_stack.h"

namespace weir::conformance {
namespace {

constexpr uint32_t kMtu4 = 1500, kMtu6 = 1520;  // so that a segment holds as much with either header

class WireScript : public ::testing::Test {
 public:
  WireScript(Script script, bool v6) : script_(std::move(script)), v6_(v6) {}
  void TestBody() override {
    netstack::TcpSettings settings;
    std::string text;
    for (const auto& [name, value] : script_.sysctls) absl::StrAppend(&text, text.empty() ? "" : ",", name, "=", value);
    const absl::Status parsed = ParseTcpSettings(text, &settings);
    ASSERT_TRUE(text.empty() || parsed.ok()) << parsed;
    WeirStack stack(v6_, v6_ ? kMtu6 : kMtu4, settings);
    EXPECT_EQ("", Play(script_, stack, v6_));
  }

 private:
  const Script script_;
  const bool v6_;
};

void Register(const std::string& name, const std::string& text) {
  Script script;
  std::string error;
  const bool parsed = ParseScript(name, text, StackKind::kWeir, &script, &error);
  const std::string test_name = absl::StrReplaceAll(name, {{"/", "_"}, {"-", "_"}});
  if (!parsed) {
    std::fprintf(stderr, "%s\n", error.c_str());
    std::exit(1);
  }
  for (const bool v6 : {false, true}) {
    if (!(v6 ? script.v6 : script.v4)) continue;
    ::testing::RegisterTest(v6 ? "WireScript6" : "WireScript4", test_name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                            [script, v6]() -> ::testing::Test* { return new WireScript(script, v6); });
  }
}

}  // namespace
}  // namespace weir::conformance

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const std::string folder = argc > 1 ? argv[1] : "tests/conformance/scripts";
  const auto scripts = weir::conformance::ReadScripts(folder);
  for (const auto& [name, text] : scripts) weir::conformance::Register(name, text);
  if (scripts.empty()) std::fprintf(stderr, "no scripts in %s\n", folder.c_str());
  return scripts.empty() ? 1 : RUN_ALL_TESTS();
}
