// What the models of congestion control say about the average window, in segments, for a loss rate.
#ifndef TESTS_SIM_MODELS_H_
#define TESTS_SIM_MODELS_H_

#include <algorithm>
#include <cmath>

namespace weir::sim {

// RFC 5348 §3.1, the simplified equation with t_RTO = 4 R, as segments per round trip; b = 1, as bytes are counted
// (RFC 3465) and a delayed acknowledgment does not slow the growth. Without its second term, for timeouts, this is
// Mathis et al., "The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm" (1997).
inline double RenoWindow(double loss) {
  return 1 / (std::sqrt(2 * loss / 3) + 12 * std::sqrt(3 * loss / 8) * loss * (1 + 32 * loss * loss));
}

// RFC 9438 §5.1 with C = 0.4 and beta = 0.7; in the Reno-friendly region §4.3, whose average is that of Reno.
inline double CubicWindow(double loss, double rtt_s) {
  constexpr double kC = 0.4, kBeta = 0.7;
  const double cubic =
      std::pow(kC * (3 + kBeta) / (4 * (1 - kBeta)), 0.25) * std::pow(rtt_s, 0.75) / std::pow(loss, 0.75);
  const double friendly = std::sqrt(3 / (2 * loss));
  return std::max(cubic, friendly);
}

}  // namespace weir::sim

#endif  // TESTS_SIM_MODELS_H_
