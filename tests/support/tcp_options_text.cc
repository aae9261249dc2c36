#include "tests/support/tcp_options_text.h"

#include <gtest/gtest.h>

#include <regex>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace weir::testing_support {
namespace {

uint32_t Number(absl::string_view text) {
  int64_t value = 0;
  EXPECT_TRUE(absl::SimpleAtoi(text, &value)) << text;
  return static_cast<uint32_t>(value);
}

void AppendSack(Bytes& options, const std::vector<std::string>& words, uint32_t base) {
  Append32(options, 0x01010500 | static_cast<uint32_t>(2 + 8 * (words.size() - 1)));
  for (size_t i = 1; i < words.size(); ++i) {
    const std::vector<std::string> range = absl::StrSplit(words[i], ':');
    EXPECT_EQ(2u, range.size()) << words[i];
    for (const std::string& edge : range) Append32(options, base + Number(edge));
  }
}

}  // namespace

Bytes OptionsFrom(absl::string_view text, const OptionBases& bases) {
  Bytes options;
  for (absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<std::string> words = absl::StrSplit(item, ' ', absl::SkipEmpty());
    if (words[0] == "mss") {
      Append32(options, 0x02040000 | Number(words.at(1)));
    } else if (words[0] == "wscale") {
      Append32(options, 0x01030300 | Number(words.at(1)));
    } else if (words[0] == "sackOK") {
      Append32(options, 0x01010402);
    } else if (words[0] == "ts") {
      Append32(options, 0x0101080a);
      const uint32_t ecr = words.size() == 4 ? Number(words[3]) : 0;
      Append32(options, words.size() == 4 ? bases.ts_val + Number(words[1]) : 0);
      Append32(options, words.size() == 4 && (ecr != 0 || bases.ts_ecr != 0) ? bases.ts_ecr + ecr : 0);
    } else if (words[0] == "sack") {
      AppendSack(options, words, bases.sack);
    } else if (words[0] == "fo") {
      const Bytes cookie = words.size() > 1 ? Bytes(Text(absl::HexStringToBytes(words[1]))) : Bytes();
      Append16(options, static_cast<uint16_t>(34 << 8 | (2 + cookie.size())));
      Append(options, cookie);
    } else if (words[0] == "raw") {
      Append(options, Text(absl::HexStringToBytes(words.at(1))));
    } else if (words[0] != "none") {
      ADD_FAILURE() << "option " << item;
    }
  }
  while (options.size() % 4 != 0) options.push_back(std::byte{1});
  return options;
}

std::string ShowOptions(View options, const OptionBases& bases) {
  std::vector<std::string> items;
  for (size_t at = 0; at < options.size();) {
    const int kind = std::to_integer<int>(options[at]);
    if (kind == 0) break;
    if (kind == 1) {
      ++at;
      continue;
    }
    const size_t length = std::to_integer<size_t>(options[at + 1]);
    const auto number = [&](size_t offset, uint32_t base) {
      return static_cast<int32_t>(Get32(options, at + offset) - base);
    };
    if (kind == 2 && length == 4) {
      items.push_back(absl::StrCat("mss ", Get16(options, at + 2)));
    } else if (kind == 3 && length == 3) {
      items.push_back(absl::StrCat("wscale ", std::to_integer<int>(options[at + 2])));
    } else if (kind == 4 && length == 2) {
      items.push_back("sackOK");
    } else if (kind == 5) {
      std::string text = "sack";
      for (size_t i = 2; i < length; i += 8) {
        absl::StrAppend(&text, " ", number(i, bases.sack), ":", number(i + 4, bases.sack));
      }
      items.push_back(text);
    } else if (kind == 34) {
      const View cookie = options.subspan(at + 2, length - 2);
      const std::string hex = absl::BytesToHexString({reinterpret_cast<const char*>(cookie.data()), cookie.size()});
      items.push_back(cookie.empty() ? "fo" : absl::StrCat("fo ", hex));
    } else if (kind == 8 && length == 10) {
      const bool echoes = Get32(options, at + 6) != 0;
      items.push_back(absl::StrCat("ts ", number(2, bases.ts_val), " ecr ", echoes ? number(6, bases.ts_ecr) : 0));
    } else {
      items.push_back(absl::StrCat("kind ", kind));
    }
    at += std::max<size_t>(length, 2);
  }
  return items.empty() ? "" : absl::StrCat(" <", absl::StrJoin(items, ", "), ">");
}

std::string WithoutTimestampValues(const std::string& line) {
  if (line.find("ts ") == line.npos) return line;
  static const std::regex kValues("ts -?[0-9]+ ecr -?[0-9]+");
  return std::regex_replace(line, kValues, "ts");
}

std::string WithoutTimestamps(const std::string& line) {
  if (line.find("ts") == line.npos) return line;
  static const std::regex kBehind(" <ts>|, ts(?=[,>])"), kFirst("<ts, ");
  return std::regex_replace(std::regex_replace(WithoutTimestampValues(line), kBehind, ""), kFirst, "<");
}

}  // namespace weir::testing_support
