// Congestion control of one connection: how the window grows while all is well, and what it comes down to after a loss.
// When it comes down, and how it moves meanwhile, is tcp_recovery.h; whether it may grow, tcp_cwnd_validate.h. Slow
// start, the same for all, is here with HyStart++ (RFC 5681 §3.1, RFC 9406); congestion avoidance is Reno's
// (RFC 5681 §3.1), which is here too, or CUBIC's (tcp_cubic.h). Windows are in bytes. Linux: tcp_cong.c,
// struct tcp_congestion_ops.
#ifndef NETSTACK_TCP_TCP_CONGESTION_H_
#define NETSTACK_TCP_TCP_CONGESTION_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "netstack/tcp/seq.h"
#include "netstack/tcp/tcp_cubic.h"
#include "netstack/tcp/tcp_hystart.h"
#include "runtime/base/time.h"

namespace weir::netstack {

enum class TcpCongestionControl : uint8_t { kReno, kCubic };

// By the name that Linux has for it (TCP_CONGESTION): "reno" or "cubic".
std::optional<TcpCongestionControl> TcpCongestionControlByName(std::string_view name);
constexpr std::string_view TcpCongestionControlName(TcpCongestionControl control) {
  return control == TcpCongestionControl::kReno ? "reno" : "cubic";
}

class TcpCongestion {
 public:
  TcpCongestion() : hystart_() {}
  // RFC 6928 §2: ten segments, bounded by max(2 * MSS, 14600).
  static uint32_t InitialWindow(uint16_t mss);
  void Init(uint16_t mss) { cwnd_ = InitialWindow(mss); }
  // From now on; the window stays.
  void Use(TcpCongestionControl control);

  TcpCongestionControl control() const { return control_; }
  uint32_t cwnd() const { return cwnd_; }
  uint32_t ssthresh() const { return ssthresh_; }
  bool in_slow_start() const { return cwnd_ < ssthresh_; }

  // For recovery and validation, which move the window themselves.
  void set_cwnd(uint32_t cwnd);
  void set_ssthresh(uint32_t ssthresh) { ssthresh_ = ssthresh; }
  // A reduction was needless: back to what was, or what is when that is more.
  void Undo(uint32_t cwnd, uint32_t ssthresh);
  // Data goes out after nothing was in flight for `idle_ns`.
  void OnIdle(Nanos idle_ns, Nanos now_ns) {
    if (has_cubic_) cubic_.OnIdle(idle_ns, now_ns);
  }

  struct Ack {
    Nanos now_ns;
    uint32_t acked;  // bytes that are known to have arrived by this ACK
    Seq una;         // after it
    Seq nxt;
    uint16_t mss;
    bool after_timeout;  // until all is acknowledged that was outstanding at a timeout
    Nanos rtt_ns;        // what this ACK measured, or 0
    Nanos srtt_ns;
  };
  // New data was acknowledged, and the window limits what is sent.
  void OnAck(const Ack& ack);

  struct Congestion {
    uint32_t flight;  // outstanding bytes
    uint16_t mss;
    bool timeout;
  };
  // A loss, or a mark: sets ssthresh.
  void OnCongestion(const Congestion& congestion);

 private:
  void SlowStart(const Ack& ack);
  void RenoAvoidance(const Ack& ack);
  TcpHystart& hystart();
  TcpCubic& cubic();

  uint32_t cwnd_ = 0;
  uint32_t ssthresh_ = UINT32_MAX;
  uint32_t acked_in_window_ = 0;  // RFC 3465 §2.1
  TcpCongestionControl control_ = TcpCongestionControl::kCubic;
  // HyStart++ is over before CUBIC begins, so they share their room. A needless reduction that is taken back may lead
  // into the first slow start again: both then begin anew.
  bool has_cubic_ = false;
  union {
    TcpHystart hystart_;
    TcpCubic cubic_;
  };
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_CONGESTION_H_
