#include "netstack/tcp/tcp_timestamps.h"

#include <algorithm>

#include "netstack/tcp/tcp_context.h"

namespace weir::netstack {
namespace {

// RFC 7323 §5.5: a connection that was idle for so long may have seen the peer's clock wrap; what was remembered says
// nothing any more (TCP_PAWS_WRAP).
constexpr uint32_t kMaxAgeSeconds = 24 * 24 * 3600;
// Some clocks go back by a tick between CPUs (TCP_PAWS_WINDOW).
constexpr int32_t kTolerance = 1;
// Beyond it an echo is nonsense: 2^31 µs, the limit of Linux.
constexpr uint32_t kMaxRttMs = 2'147'483;

// An ACK that overtook others on the way carries an older timestamp. Without data, and without news, it does no harm,
// and an answer to it might be answered; so it may be older by what one retransmission timeout allows (the reasoning is
// in tcp_disordered_ack).
bool IsDisorderedAck(const TcpSock& sock, const TcpSegment& segment) {
  const auto behind_ms = static_cast<int32_t>(sock.ts.recent - segment.options.ts_val);
  return segment.length() == 0 && segment.has(kTcpAck) && segment.seq == sock.rcv.nxt && segment.ack == sock.snd.una &&
         uint32_t{segment.header.window} << sock.snd.wscale == sock.snd.wnd &&
         behind_ms * kMillisecond <= sock.rtt.rto_ns + sock.rtt.rto_ns / 5;
}

}  // namespace

void TcpInitTimestamps(TcpSock& sock) {
  const TcpContext& context = sock.context;
  if (context.settings.timestamps != 1) return;
  // Its own key: neither the demux's hash nor what an initial sequence number is made of may be visible in it.
  const runtime::SipKey key{context.ip.secret.k0, ~context.ip.secret.k1};
  const auto a = sock.local.ip.words(), b = sock.remote.ip.words();
  const uint64_t words[] = {a[0], a[1], b[0], b[1]};
  sock.ts.offset = static_cast<uint32_t>(runtime::SipHash(key, words));
}

void TcpSetTsRecent(TcpSock& sock, uint32_t ts_val, Nanos now_ns) {
  sock.ts.recent = ts_val;
  sock.ts.recent_s = static_cast<uint32_t>(now_ns / kSecond);
}

void TcpUpdateTsRecent(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  if (!sock.ts.ok || !segment.options.has_timestamps || segment.seq > sock.rcv.wup) return;
  // A disordered ACK passed PAWS all the same; its timestamp is old.
  const bool newer = static_cast<int32_t>(segment.options.ts_val - sock.ts.recent) >= 0;
  const bool aged = static_cast<uint32_t>(now_ns / kSecond) - sock.ts.recent_s >= kMaxAgeSeconds;
  if (newer || aged) TcpSetTsRecent(sock, segment.options.ts_val, now_ns);
}

bool TcpTimestampIsOld(uint32_t recent, uint32_t recent_s, uint32_t ts_val, Nanos now_ns) {
  if (static_cast<int32_t>(recent - ts_val) <= kTolerance) return false;
  if (static_cast<uint32_t>(now_ns / kSecond) - recent_s >= kMaxAgeSeconds) return false;
  // Differs from RFC 7323 as Linux does: there are hosts whose SYN has a zero.
  return recent != 0;
}

bool TcpPawsReject(const TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  if (!sock.ts.ok || !segment.options.has_timestamps) return false;
  if (!TcpTimestampIsOld(sock.ts.recent, sock.ts.recent_s, segment.options.ts_val, now_ns)) return false;
  return !IsDisorderedAck(sock, segment);
}

Nanos TcpTimestampRtt(const TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  const TcpOptions& options = segment.options;
  if (!sock.ts.ok || !options.has_timestamps || options.ts_ecr == 0) return 0;
  // Less than a tick is measured as one (tcp_rtt_tsopt_us).
  const uint32_t ms = TcpTimestamp(sock, now_ns) - options.ts_ecr;
  if (ms > kMaxRttMs) return 0;
  return std::max<Nanos>(ms, 1) * kMillisecond;
}

}  // namespace weir::netstack
