#include "netstack/tcp/tcp_challenge_ack.h"

#include <algorithm>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_extra.h"

namespace weir::netstack {
namespace {

// How many there are in a second is drawn, from half of the limit to one and a half: whoever could count them would
// learn from it what other connections were asked (the side channel of CVE-2016-5696).
bool LimitedForHost(TcpContext& context, Nanos now_ns) {
  const uint32_t limit = context.settings.challenge_ack_limit;
  auto& challenges = context.challenges;
  if (now_ns / kSecond != challenges.second) {
    challenges.second = now_ns / kSecond;
    challenges.left = limit == 0 ? 0 : (limit + 1) / 2 + static_cast<uint32_t>(context.ip.Draw() % limit);
  }
  if (challenges.left == 0) {
    ++context.counters.acks_withheld;
    return true;
  }
  --challenges.left;
  return false;
}

}  // namespace

bool TcpOowRateLimited(TcpContext& context, uint32_t& last_ms, Nanos now_ns) {
  const auto now_ms = static_cast<uint32_t>(now_ns / kMillisecond);
  if (last_ms != 0 && now_ms - last_ms < context.settings.invalid_ratelimit_ms) {
    ++context.counters.acks_withheld;
    return true;
  }
  last_ms = std::max(now_ms, 1u);
  return false;
}

bool TcpOowRateLimited(TcpSock& sock, Nanos now_ns) {
  return TcpOowRateLimited(sock.context, TcpGetExtra(sock).last_oow_ack_ms, now_ns);
}

void TcpSendChallengeAck(TcpSock& sock, Nanos now_ns) {
  if (TcpOowRateLimited(sock, now_ns) || LimitedForHost(sock.context, now_ns)) return;
  ++sock.context.counters.challenge_acks;
  sock.context.WantAck(sock);
}

bool TcpSendDupack(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  const bool data = segment.length() > 0 && !segment.has(kTcpSyn);
  if (!data && TcpOowRateLimited(sock, now_ns)) return false;
  sock.context.WantAck(sock);
  return true;
}

}  // namespace weir::netstack
