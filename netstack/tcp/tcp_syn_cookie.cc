#include "netstack/tcp/tcp_syn_cookie.h"

#include <iterator>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_timestamps.h"
#include "runtime/base/siphash.h"

namespace weir::netstack {
namespace {

constexpr int kHashBits = 24;
constexpr uint32_t kHashMask = (1u << kHashBits) - 1;
// The values that were most often seen (msstab; for IPv6 less 20 bytes of header each).
constexpr uint16_t kMss4[] = {536, 1300, 1440, 1460};
constexpr uint16_t kMss6[] = {1280 - 60, 1480 - 60, 1500 - 60, 9000 - 60};
static_assert(std::size(kMss4) == std::size(kMss6));

// The bits of the timestamp, as in Linux.
constexpr uint32_t kOptionMask = 63;
constexpr uint32_t kEcnBit = 1 << 5;
constexpr uint32_t kSackBit = 1 << 4;
constexpr uint32_t kScaleMask = 15;  // all of it: no window scale

const uint16_t* MssTable(const TcpSock& sock) { return sock.remote.ip.is_v4() ? kMss4 : kMss6; }

uint32_t Hash(const TcpSock& sock, uint32_t count, uint32_t which) {
  // Its own key: no other hash of these endpoints may help to make one.
  const runtime::SipKey& secret = sock.context.ip.secret;
  const runtime::SipKey key{~secret.k0, ~secret.k1};
  const auto a = sock.local.ip.words(), b = sock.remote.ip.words();
  const uint64_t words[] = {a[0], a[1], b[0], b[1], uint64_t{sock.local.port} << 16 | sock.remote.port,
                            uint64_t{which} << 32 | count};
  return static_cast<uint32_t>(runtime::SipHash(key, words));
}

uint32_t Period(Nanos now_ns) { return static_cast<uint32_t>(now_ns / kTcpSynCookiePeriod); }

}  // namespace

Seq TcpSynCookie(const TcpSock& sock, Nanos now_ns) {
  uint32_t index = std::size(kMss4) - 1;
  while (index > 0 && MssTable(sock)[index] > sock.snd.peer_mss) --index;
  const uint32_t count = Period(now_ns);
  return Seq(Hash(sock, 0, 0) + sock.rcv.irs.value() + (count << kHashBits) +
             ((Hash(sock, count, 1) + index) & kHashMask));
}

std::optional<uint16_t> TcpCheckSynCookie(const TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  const uint32_t cookie = (segment.ack - 1).value() - Hash(sock, 0, 0) - (segment.seq - 1).value();
  const uint32_t count = Period(now_ns);
  const uint32_t age = (count - (cookie >> kHashBits)) & (UINT32_MAX >> kHashBits);
  if (age >= kTcpSynCookieMaxAge) return std::nullopt;
  const uint32_t index = (cookie - Hash(sock, count - age, 1)) & kHashMask;
  if (index >= std::size(kMss4)) return std::nullopt;
  return MssTable(sock)[index];
}

void TcpCookieTimestamp(TcpSock& sock, Nanos now_ns) {
  const auto clock = static_cast<uint32_t>(now_ns / kMillisecond);
  uint32_t options = sock.rcv.wscale != 0 ? sock.snd.wscale : kScaleMask;
  if (sock.sack.ok) options |= kSackBit;
  if (sock.ecn.ok) options |= kEcnBit;
  uint32_t stamp = (clock & ~kOptionMask) | options;
  if (stamp > clock) stamp -= kOptionMask + 1;  // not ahead of what comes next
  sock.ts.offset += stamp - clock;
}

std::optional<TcpCookieSyn> TcpCookieOptions(const TcpSock& sock, const TcpSegment& segment) {
  TcpCookieSyn syn;
  TcpOptions& options = syn.options;
  if (!segment.options.has_timestamps || segment.options.ts_ecr == 0) return syn;
  const TcpSettings& settings = sock.context.settings;
  const uint32_t echo = segment.options.ts_ecr - sock.ts.offset;
  options.has_timestamps = true;
  options.ts_val = segment.options.ts_val;
  options.sack_permitted = (echo & kSackBit) != 0;
  options.has_window_scale = (echo & kScaleMask) != kScaleMask;
  if (options.has_window_scale) options.window_scale = echo & kScaleMask;
  if ((echo & kEcnBit) != 0) syn.flags |= kTcpEce | kTcpCwr;
  const bool agreed = settings.timestamps != 0 && (settings.sack || !options.sack_permitted) &&
                      (settings.window_scaling || !options.has_window_scale) &&
                      (settings.ecn != 0 || (echo & kEcnBit) == 0);
  return agreed ? std::optional(syn) : std::nullopt;
}

}  // namespace weir::netstack
