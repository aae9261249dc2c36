#include "netstack/tcp/tcp_mtu_probe.h"

#include <algorithm>
#include <utility>

#include "netstack/ip/ip_output.h"
#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_options.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_recovery.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"

namespace weir::netstack {
namespace {

using runtime::Frame;

// Segments that the congestion window must have room for (tcp_mtu_probe): the probe, those behind it that tell of its
// loss, and some for the stream to go on.
constexpr uint32_t kLeastWindow = 11;

// Of IP and TCP, without options, and with them (RFC 4821 §5.1).
uint32_t BareHeaders(const TcpSock& sock) {
  return static_cast<uint32_t>(TcpHeader::kMinSize +
                               (sock.remote.ip.is_v4() ? Ipv4Header::kMinSize : Ipv6Header::kSize));
}
uint32_t Headers(const TcpSock& sock) { return BareHeaders(sock) + TcpFixedOptions(sock); }

// The packet for a segment of `mss` bytes, within the bounds for what is sent unasked. RFC 4821 §7.7: of IPv6 never less
// than every link takes, which Linux does not heed.
uint32_t SafeMtu(const TcpSock& sock, uint32_t mss) {
  const TcpSettings& settings = sock.context.settings;
  mss = std::max({mss, settings.mtu_probe_floor, settings.min_snd_mss});
  return std::max(mss + Headers(sock), sock.remote.ip.is_v4() ? 0 : PathMtuCache::kMin6);
}

// What neither the peer nor the path, as it tells of itself, forbids.
uint32_t Widest(const TcpSock& sock) {
  IpContext& ip = sock.context.ip;
  return std::min({sock.snd.peer_mss + BareHeaders(sock), TcpFrameRoom(ip.pool) + Headers(sock),
                   PathMtu(ip, sock.remote.ip, ip.FindInterface(sock.remote.scope_id))});
}

void Widen(TcpSock& sock, TcpMtuProbe& probe, Nanos now_ns) {
  probe.search_high = Widest(sock);
  probe.narrowed = false;
  probe.size = 0;
  probe.since_ns = now_ns;
}

TcpMtuProbe* Get(TcpSock& sock, Nanos now_ns) {
  if (sock.mtu_probe == nullptr) {
    sock.mtu_probe = new TcpMtuProbe;
    Widen(sock, *sock.mtu_probe, now_ns);
  }
  return sock.mtu_probe;
}

// The size to try next; 0: none. First the widest, since most often the path is as it was (RFC 4821 §7.3); Linux does not
// try that one at all. Then the middle of what is left, until that is not worth a probe. After tcp_probe_interval all
// begins anew, as routes change (tcp_mtu_check_reprobe).
uint32_t NextSize(TcpSock& sock, TcpMtuProbe& probe, Nanos now_ns) {
  const TcpSettings& settings = sock.context.settings;
  if (probe.search_high <= probe.search_low ||
      (probe.narrowed && probe.search_high - probe.search_low < settings.probe_threshold)) {
    if (now_ns - probe.since_ns < settings.probe_interval_s * kSecond) return 0;
    Widen(sock, probe, now_ns);
    if (probe.search_high <= probe.search_low) return 0;
  }
  return probe.narrowed ? (probe.search_low + probe.search_high + 1) / 2 : probe.search_high;
}

// Makes the next frame to send `bytes` long: cuts it, or joins it with what comes behind it, which is there. False when
// it cannot be touched, or has no room.
bool Fit(TcpSock& sock, uint32_t bytes) {
  Frame* frame = sock.send_head;
  const auto& cb = frame->Cb<TcpTxCb>();
  if (cb.length > bytes) return TcpFragment(sock, frame, static_cast<uint16_t>(bytes));
  if (!TcpMakeTailroom(sock, frame, bytes)) return false;
  while (cb.length < bytes) {
    const auto& next_cb = frame->next->Cb<TcpTxCb>();
    TcpTakeFromNext(sock, frame, static_cast<uint16_t>(std::min<uint32_t>(bytes - cb.length, next_cb.length)));
  }
  return true;
}

}  // namespace

void TcpInitMtuProbe(TcpSock& sock, Nanos now_ns) {
  if (sock.context.settings.mtu_probing < 2) return;
  Get(sock, now_ns)->search_low = TcpMtuSearchLow(sock);
}

void TcpFreeMtuProbe(TcpSock& sock) { delete std::exchange(sock.mtu_probe, nullptr); }

uint32_t TcpMtuSearchLow(const TcpSock& sock) {
  if (sock.mtu_probe != nullptr && sock.mtu_probe->search_low != 0) return sock.mtu_probe->search_low;
  const TcpSettings& settings = sock.context.settings;
  return settings.mtu_probing < 2 ? UINT32_MAX : SafeMtu(sock, settings.base_mss);
}

// Differs from Linux, which halves whenever the timer expires: a segment that is no larger than what we would come down
// to says nothing of the path's width, however often it is lost.
void TcpMtuBlackHole(TcpSock& sock, Nanos now_ns) {
  const TcpSettings& settings = sock.context.settings;
  Frame* head = sock.send_queue.head();
  if (settings.mtu_probing == 0 || sock.retries <= kTcpRetries1 || head == nullptr) return;
  // Half of it with each further one.
  const int halvings = std::min(sock.retries - kTcpRetries1 - 1, 15);
  const uint32_t low = SafeMtu(sock, uint32_t{settings.base_mss} >> halvings);
  if (head->Cb<TcpTxCb>().length + Headers(sock) <= low) return;
  TcpMtuProbe& probe = *Get(sock, now_ns);
  Widen(sock, probe, now_ns);
  probe.search_low = low;
  ++sock.context.counters.mtu_black_holes;
  TcpSyncMss(sock);
}

// RFC 4821 §7.4: nothing else is amiss, and enough follows for the loss of the probe to be seen at once.
TcpMtuProbeSend TcpSendMtuProbe(TcpSock& sock, Nanos now_ns) {
  using enum TcpMtuProbeSend;
  TcpMtuProbe& probe = *sock.mtu_probe;
  const auto& snd = sock.snd;
  const uint32_t cwnd = sock.congestion.cwnd();
  if (probe.size != 0 || sock.send_head == nullptr || sock.recovery.state != TcpCaState::kOpen) return kNotNow;
  if (cwnd < kLeastWindow * snd.mss) return kNotNow;
  const uint32_t size = NextSize(sock, probe, now_ns);
  if (size <= Headers(sock) + snd.mss) return kNotNow;
  const uint32_t bytes = size - Headers(sock);
  const uint32_t needed = bytes + (kTcpDupThresh + 1u) * snd.mss;
  if (static_cast<uint32_t>(snd.write_seq - snd.nxt) - snd.fin < needed || snd.wnd < needed) return kNotNow;
  if (snd.nxt + needed > snd.una + snd.wnd) return kWait;
  const uint32_t in_flight = TcpInFlight(sock);
  if (in_flight + bytes > cwnd) return in_flight == 0 ? kNotNow : kWait;
  Frame* frame = sock.send_head;
  if (!Fit(sock, bytes) || !TcpTransmitFrame(sock, frame, now_ns)) return kNotNow;
  const auto& cb = frame->Cb<TcpTxCb>();
  sock.send_head = frame->next;
  sock.snd.nxt = cb.end();
  TcpPacketSent(sock);
  probe.size = size;
  probe.start = cb.seq;
  probe.end = cb.end();
  ++sock.context.counters.mtu_probes;
  return kSent;
}

// RFC 4821 §7.6.1. Windows are in bytes here and stay what they are.
void TcpMtuProbeAcked(TcpSock& sock) {
  TcpMtuProbe& probe = *sock.mtu_probe;
  if (probe.size == 0 || sock.snd.una < probe.end) return;
  probe.search_low = probe.size;
  probe.size = 0;
  ++sock.context.counters.mtu_probes_arrived;
  TcpSyncMss(sock);
}

bool TcpMtuProbeLost(TcpSock& sock) {
  TcpMtuProbe& probe = *sock.mtu_probe;
  if (probe.size == 0 || sock.snd.una != probe.start || sock.recovery.state >= TcpCaState::kCwr) return false;
  const auto& head = sock.send_queue.head()->Cb<TcpTxCb>();
  // RFC 4821 §7.6.4: with others it may have been congestion. Differs from Linux, which does not ask.
  if (!head.has(TcpTxCb::kLost) || sock.board.lost_out != head.size()) return false;
  probe.search_high = probe.size - 1;
  probe.narrowed = true;
  probe.size = 0;
  ++sock.context.counters.mtu_probes_lost;
  TcpRetransmitLost(sock);
  return true;
}

bool TcpMtuProbeTooBig(const TcpSock& sock) {
  const TcpMtuProbe* probe = sock.mtu_probe;
  return probe != nullptr && probe->size > probe->search_high;
}

}  // namespace weir::netstack
