// TCP options as text, for TcpTrace: "mss 1460, sackOK, ts 10 ecr 20, wscale 7, sack 101:201 301:401, fo 0102, raw 0102"; "fo"
// is Fast Open's cookie, or the wish for one.
#ifndef TESTS_SUPPORT_TCP_OPTIONS_TEXT_H_
#define TESTS_SUPPORT_TCP_OPTIONS_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "tests/support/packets.h"

namespace weir::testing_support {

// What the numbers in the text count from.
struct OptionBases {
  uint32_t ts_val = 0;
  uint32_t ts_ecr = 0;  // an echo of 0 is nothing, and written as 0
  uint32_t sack = 0;
};

// A bare "ts" has the values 0. NOPs align each option as Linux does; "raw" goes in as it is.
Bytes OptionsFrom(absl::string_view text, const OptionBases& bases);
// " <mss 1460, wscale 7>", or nothing.
std::string ShowOptions(View options, const OptionBases& bases);

// "ts 10 ecr 20" becomes "ts", or goes away altogether.
std::string WithoutTimestampValues(const std::string& line);
std::string WithoutTimestamps(const std::string& line);

}  // namespace weir::testing_support

#endif  // TESTS_SUPPORT_TCP_OPTIONS_TEXT_H_
