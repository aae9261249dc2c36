// Lines about a host that sends full segments, numbered from 0, to a peer that only acknowledges.
#ifndef TESTS_NETSTACK_TCP_SENDER_LINES_H_
#define TESTS_NETSTACK_TCP_SENDER_LINES_H_

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {

inline constexpr uint32_t kMss = 1460;

inline InetTestHost::Options Reno() {
  InetTestHost::Options options;
  options.tcp.congestion_control = netstack::TcpCongestionControl::kReno;
  return options;
}

// "1461:2921", the n-th full segment; or those from `first` on and before `last`.
inline std::string Segments(int first, int last) { return absl::StrCat(1 + first * kMss, ":", 1 + last * kMss); }
inline std::string Segment(int n) { return Segments(n, n + 1); }

// The first `n` are acknowledged; of the others the given ranges came.
inline std::string AckOf(int n, std::initializer_list<std::pair<int, int>> sacked = {}) {
  std::string line = absl::StrCat("A 1:1 ack ", 1 + n * kMss, " win 65535");
  if (sacked.size() == 0) return line;
  line += " <sack";
  for (const auto& [first, last] : sacked) line += " " + Segments(first, last);
  return line + ">";
}

// Segments from `first` on and before `last`, of which the last one is not the end of what there is to send.
inline void ExpectSegments(TcpTrace& t, double ms, int first, int last) {
  for (int n = first; n < last; ++n) t.Out(ms, absl::StrCat("A ", Segment(n), " ack 1"));
}
// And it is.
inline void ExpectLast(TcpTrace& t, double ms, int first, int last) {
  ExpectSegments(t, ms, first, last - 1);
  t.Out(ms, absl::StrCat("PA ", Segment(last - 1), " ack 1"));
}

}  // namespace weir::testing_support

#endif  // TESTS_NETSTACK_TCP_SENDER_LINES_H_
