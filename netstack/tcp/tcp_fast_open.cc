#include "netstack/tcp/tcp_fast_open.h"

#include <algorithm>
#include <cstring>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_options.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_recovery.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timer.h"
#include "runtime/base/siphash.h"

namespace weir::netstack {
namespace {

uint64_t Period(Nanos now_ns) { return static_cast<uint64_t>(now_ns / kTcpFastOpenKeyPeriod); }

// RFC 7413 §4.1.2: only we can make it, and only for these addresses.
uint64_t Cookie(const TcpSock& sock, uint64_t period) {
  constexpr uint64_t kPurpose = 0x6661'7374'6f70'656e;  // no other hash of the addresses may help to make one
  const auto a = sock.local.ip.words(), b = sock.remote.ip.words();
  const uint64_t words[] = {a[0], a[1], b[0], b[1], period, kPurpose};
  return runtime::SipHash(sock.context.ip.secret, words);
}

enum class CookieIs : uint8_t { kWrong, kGood, kOld };

CookieIs Check(const TcpSock& sock, const TcpOptions& options, Nanos now_ns) {
  if (options.cookie_size != kTcpFastOpenCookieSize) return CookieIs::kWrong;
  const uint64_t period = Period(now_ns);
  uint64_t got = 0;
  std::memcpy(&got, options.cookie, sizeof got);
  if (got == Cookie(sock, period)) return CookieIs::kGood;
  return period > 0 && got == Cookie(sock, period - 1) ? CookieIs::kOld : CookieIs::kWrong;
}

// RFC 7413 §5.1, PendingFastOpenRequests: how many a listener bears (tcp_fastopen_queue_check).
bool HasRoom(TcpListenSock& listener, TcpContext& context, Nanos now_ns) {
  uint32_t most = listener.fast_open_max;
  if (most == 0 && (context.settings.fastopen & kTcpFastOpenAllListeners) != 0) most = listener.backlog;
  if (most == 0) return false;
  if (now_ns - listener.fast_open_reset_ns >= kTcpFastOpenResetHold) listener.fast_open_resets = 0;
  if (listener.fast_open_pending + listener.fast_open_resets < most) return true;
  ++context.counters.fast_open_overflows;
  return false;
}

// What the peer takes in a SYN: its MSS, when it is known, with room for all options there may be. Until its SYN tells
// more, nothing is larger.
void AssumeMss(TcpSock& sock, uint16_t mss) {
  if (mss != 0) {
    sock.snd.peer_mss = static_cast<uint16_t>(
        std::min<uint32_t>(std::max<uint32_t>(mss, sock.context.settings.min_snd_mss), sock.rcv.advmss));
  }
  TcpSyncMss(sock);
  sock.snd.mss = static_cast<uint16_t>(sock.snd.mss + TcpFixedOptions(sock) - TcpOptions::kMaxSize);
}

}  // namespace

bool TcpTryFastOpen(TcpListenSock& listener, TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  TcpContext& context = sock.context;
  const uint32_t settings = context.settings.fastopen;
  const TcpOptions& options = segment.options;
  if ((settings & kTcpFastOpenServer) == 0 || (segment.payload == 0 && !options.has_fast_open)) return false;
  if (!HasRoom(listener, context, now_ns)) return false;
  if ((settings & kTcpFastOpenServerNoCookie) != 0) return true;
  if (!options.has_fast_open) return false;
  if (options.cookie_size == 0) ++context.counters.fast_open_cookies_asked;
  const CookieIs cookie = Check(sock, options, now_ns);
  sock.fast_open.cookie_owed = cookie != CookieIs::kGood;
  if (cookie == CookieIs::kWrong && options.cookie_size != 0) ++context.counters.fast_open_cookies_wrong;
  return cookie != CookieIs::kWrong;
}

void TcpFastOpenChild(TcpListenSock& listener, TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  sock.fast_open.pending = true;
  sock.fast_open.syn_data_taken = segment.payload != 0;
  ++listener.fast_open_pending;
  sock.listener = &listener;
  ++listener.unaccepted;
  listener.accept_queue.PushBack(sock);
  ++sock.context.counters.accepted;
  ++sock.context.counters.fast_open_accepted;
  sock.rcv.wnd = std::min<uint32_t>(TcpSelectWindow(sock), 65535);
  if (segment.payload != 0) {
    TcpSegment text = segment;
    text.seq += 1;
    text.header.flags &= static_cast<uint8_t>(~kTcpSyn);
    // What finds no room goes again, behind the handshake.
    (void)TcpDataQueue(sock, text, now_ns);
  }
  sock.context.ip.Ready(listener, ReadySock::kReadable);
}

void TcpFastOpenSettled(TcpSock& sock) {
  if (!sock.fast_open.pending) return;
  sock.fast_open.pending = false;
  TcpListenSock* listener = sock.listener;
  if (listener == nullptr) return;  // it is no more
  --listener->fast_open_pending;
  if (sock.fast_open.accepted) sock.listener = nullptr;
}

void TcpFastOpenReset(TcpSock& sock, Nanos now_ns) {
  if (!sock.fast_open.pending || sock.listener == nullptr) return;
  ++sock.listener->fast_open_resets;
  sock.listener->fast_open_reset_ns = now_ns;
}

bool TcpFastOpenConnect(TcpSock& sock, Nanos now_ns) {
  TcpContext& context = sock.context;
  if ((context.settings.fastopen & kTcpFastOpenClient) == 0) return false;
  const TcpFastOpenCache::Entry* entry = context.fast_open_cache.Find(sock.local.ip, sock.remote.ip);
  if (entry != nullptr && TcpFastOpenCache::Avoided(*entry, now_ns)) return false;
  sock.fast_open.offered = true;
  const bool cookie = entry != nullptr && entry->cookie_size != 0;
  if (!cookie && (context.settings.fastopen & kTcpFastOpenClientNoCookie) == 0) return false;
  AssumeMss(sock, entry != nullptr ? entry->mss : uint16_t{0});
  sock.fast_open.early = sock.fast_open.deferred = true;
  return true;
}

void TcpFastOpenSyn(TcpSock& sock, Nanos now_ns) {
  runtime::Frame* frame = sock.send_head;
  sock.fast_open.deferred = false;
  sock.rack.xmit_ns = now_ns;
  if (frame != nullptr && TcpFitToMss(sock, frame) && TcpTransmitFrame(sock, frame, now_ns)) {
    sock.send_head = frame->next;
    sock.snd.nxt = frame->Cb<TcpTxCb>().end();
    TcpPacketSent(sock);
    sock.fast_open.syn_data = true;
  } else {
    TcpSendSyn(sock, now_ns);
  }
  TcpRearmRetransmit(sock, now_ns);
}

void TcpFastOpenTakeSynAck(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  if (!sock.fast_open.offered) return;  // unsolicited cookies are not kept
  const TcpOptions& options = segment.options;
  const bool cookie = options.has_fast_open && options.cookie_size != 0;
  // Only a later SYN, without data, got through (RFC 7413 §4.1.3.1).
  const bool lost = sock.retries != 0 && !cookie && sock.fast_open.syn_data && segment.ack == sock.snd.iss + 1;
  TcpFastOpenCache& cache = sock.context.fast_open_cache;
  TcpFastOpenCache::Entry* entry = cookie || lost ? cache.Get(sock.local.ip, sock.remote.ip)
                                                  : cache.Find(sock.local.ip, sock.remote.ip);
  if (entry == nullptr) return;
  if (options.has_mss) entry->mss = options.mss;
  if (cookie) {
    entry->cookie_size = options.cookie_size;
    std::memcpy(entry->cookie.data(), options.cookie, options.cookie_size);
  }
  if (!lost) {
    entry->losses = 0;
    return;
  }
  if (entry->losses < 255) ++entry->losses;
  entry->lost_ns = now_ns;
}

void TcpFastOpenOption(const TcpSock& sock, Nanos now_ns, TcpFastOpenRoom& room, TcpOptions* options) {
  if (sock.state != TcpState::kSynSent) {
    if (!sock.fast_open.cookie_owed) return;
    options->cookie_size = kTcpFastOpenCookieSize;
    const uint64_t cookie = Cookie(sock, Period(now_ns));
    std::memcpy(room.data(), &cookie, sizeof cookie);
  } else {
    // Not in a SYN that goes again: what is on the way may not like it (RFC 7413 §4.1.3.1).
    if (!sock.fast_open.offered || sock.retries != 0) return;
    const auto* entry = sock.context.fast_open_cache.Find(sock.local.ip, sock.remote.ip);
    if (entry != nullptr) {
      options->cookie_size = entry->cookie_size;
      room = entry->cookie;
    }
    if (options->cookie_size == 0 && sock.fast_open.early) return;  // tcp_fastopen: no cookies
  }
  options->has_fast_open = true;
  options->cookie = room.data();
}

void TcpFastOpenEarlyData(TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  auto& snd = sock.snd;
  if (snd.nxt == snd.una) return;
  if (segment.ack > snd.una) {
    const uint32_t wnd = snd.wnd, max_wnd = snd.max_wnd;
    (void)TcpAck(sock, segment, now_ns);
    if (segment.has(kTcpSyn)) {  // whose window is not scaled
      snd.wnd = wnd;
      snd.max_wnd = max_wnd;
    }
  }
  if (sock.fast_open.syn_data) {
    TcpAckState ack{.now_ns = now_ns};
    for (runtime::Frame* frame = sock.send_queue.head(); frame != sock.send_head; frame = frame->next) {
      TcpMarkLost(sock, frame, ack);
    }
    const bool taken = sock.send_queue.head() == sock.send_head;
    sock.fast_open.syn_data_taken = taken;
    ++(taken ? sock.context.counters.fast_open_active : sock.context.counters.fast_open_active_failed);
    if (!taken) TcpRetransmitLost(sock);
  }
  if (snd.nxt != snd.una && sock.timer_kind == TcpTimerKind::kNone) TcpRearmRetransmit(sock, now_ns);
}

}  // namespace weir::netstack
