#include "netstack/tcp/tcp_pacing.h"

#include <algorithm>
#include <utility>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_output.h"

namespace weir::netstack {
namespace {

// A flow that is no longer than an initial window is not delayed.
constexpr uint8_t kUnpacedSegments = 10;
// Timers are late by up to a tick, and turns take their time: so much is made up for by a burst. At 1 Gbit/s it is 83
// segments, a hundredth of what a window of 100 ms would send at once.
constexpr Nanos kMaxCredit = kMillisecond;

void Fired(runtime::Timer& timer, Nanos) {
  TcpSock& sock = static_cast<TcpTimer&>(timer).sock;
  sock.context.WantOutput(sock);
}

}  // namespace

TcpPacer::TcpPacer(TcpSock& sock) : timer(&Fired, sock) {}

void TcpSetPacing(TcpSock& sock, uint64_t max_rate) {
  if (max_rate != 0) {
    TcpPacer*& pacer = TcpGetExtra(sock).pacer;
    if (pacer == nullptr) pacer = new TcpPacer(sock);
    pacer->max_rate = max_rate;
  } else if (TcpPacer* pacer = TcpPacerOf(sock)) {
    sock.context.ip.timers.Cancel(pacer->timer);
    delete std::exchange(sock.extra->pacer, nullptr);
    sock.context.WantOutput(sock);
  }
}

uint64_t TcpPacingRate(const TcpSock& sock) {
  uint64_t rate = TcpPacerOf(sock)->max_rate;
  const TcpCongestion& congestion = sock.congestion;
  if (sock.rtt.srtt_ns > 0) {
    const uint64_t percent = congestion.cwnd() < congestion.ssthresh() / 2 ? 200 : 120;
    // At most 2^30 bytes times 200 times 10^7: within 64 bits.
    rate = std::min(rate, congestion.cwnd() * percent * (kSecond / 100) / static_cast<uint64_t>(Nanos{sock.rtt.srtt_ns}));
  }
  return std::max<uint64_t>(rate, 1);
}

bool TcpPacingAllows(TcpSock& sock, Nanos now_ns) {
  TcpPacer* pacer = TcpPacerOf(sock);
  if (pacer == nullptr || pacer->next_ns <= now_ns) return true;
  if (!pacer->timer.armed()) sock.context.ip.timers.Arm(pacer->timer, pacer->next_ns);
  return false;
}

void TcpPacingSent(TcpSock& sock, uint32_t bytes, Nanos now_ns) {
  TcpPacer* pacer = TcpPacerOf(sock);
  if (pacer == nullptr) return;
  if (pacer->segments < kUnpacedSegments) {
    ++pacer->segments;
    return;
  }
  const uint64_t interval_ns = std::min<uint64_t>(uint64_t{bytes} * kSecond / TcpPacingRate(sock), kSecond);
  pacer->next_ns = std::max(pacer->next_ns, now_ns - kMaxCredit) + static_cast<Nanos>(interval_ns);
}

}  // namespace weir::netstack
