#include "netstack/tcp/tcp_cubic.h"

#include <algorithm>
#include <cmath>

namespace weir::netstack {
namespace {

// RFC 9438 §4.3: so that the window that is estimated for Reno grows as Reno's would, with kBeta instead of a half.
constexpr double kAlpha = 3 * (1 - TcpCubic::kBeta) / (1 + TcpCubic::kBeta);

double Seconds(Nanos ns) { return static_cast<double>(ns) / 1e9; }

}  // namespace

void TcpCubic::StartEpoch(double cwnd, Nanos now_ns) {
  epoch_start_ns_ = now_ns;
  w_est_ = cwnd;
  if (cwnd < w_max_) {
    k_s_ = static_cast<float>(std::cbrt((w_max_ - cwnd) / kC));  // RFC 9438 §4.2, figure 2
  } else {
    k_s_ = 0;
    w_max_ = static_cast<float>(cwnd);
  }
}

uint32_t TcpCubic::OnAck(const Ack& ack) {
  const double cwnd = static_cast<double>(ack.cwnd) / ack.mss, acked = static_cast<double>(ack.acked) / ack.mss;
  if (epoch_start_ns_ == 0) StartEpoch(cwnd, ack.now_ns);
  const double t = Seconds(ack.now_ns - epoch_start_ns_);
  const auto w_cubic = [&](double at) { return kC * std::pow(at - double{k_s_}, 3) + w_max_; };  // §4.2, figure 1
  // §4.3, figure 4: alpha is 1 once the window is what it was before.
  w_est_ += (w_est_ >= cwnd_prior_ ? 1 : kAlpha) * acked / cwnd;
  double next = cwnd;
  if (w_cubic(t) < w_est_) {
    next = std::max(cwnd, w_est_);
  } else {
    // §4.2: where the function will be a round trip later, but not more than half as much again; §4.4, §4.5.
    const double target = std::clamp(w_cubic(t + Seconds(ack.srtt_ns)), cwnd, 1.5 * cwnd);
    next = cwnd + std::min((target - cwnd) / cwnd * acked, target - cwnd);
  }
  return static_cast<uint32_t>(std::min(next * ack.mss, 4e9));
}

uint32_t TcpCubic::OnCongestion(uint32_t cwnd_bytes, uint16_t mss, bool timeout) {
  const double cwnd = static_cast<double>(cwnd_bytes) / mss;
  epoch_start_ns_ = 0;
  prior_w_max_ = w_max_;
  cwnd_prior_ = static_cast<float>(cwnd);
  // RFC 9438 §4.7, fast convergence: a window that does not reach its last maximum makes room for others. §4.8: after a
  // timeout the function begins at its flat part.
  w_max_ = static_cast<float>(timeout ? 0 : cwnd < w_max_ ? cwnd * (1 + kBeta) / 2 : cwnd);
  return std::max(static_cast<uint32_t>(cwnd_bytes * kBeta), uint32_t{2} * mss);
}

void TcpCubic::Undo() {
  epoch_start_ns_ = 0;
  w_max_ = prior_w_max_;
}

void TcpCubic::OnIdle(Nanos idle_ns, Nanos now_ns) {
  if (epoch_start_ns_ != 0) epoch_start_ns_ = std::min(epoch_start_ns_ + idle_ns, now_ns);
}

}  // namespace weir::netstack
