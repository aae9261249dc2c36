#include "netstack/tcp/tcp_extra.h"

#include <utility>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_keepalive.h"

namespace weir::netstack {

TcpExtra::TcpExtra(TcpSock& sock) : timer(&TcpKeepAliveTimer, sock) {}

TcpExtra& TcpGetExtra(TcpSock& sock) {
  if (sock.extra == nullptr) sock.extra = new TcpExtra(sock);
  return *sock.extra;
}

void TcpFreeExtra(TcpSock& sock) {
  if (sock.extra == nullptr) return;
  TcpStopKeepAlive(sock);
  delete std::exchange(sock.extra, nullptr);
}

void TcpSetFinTimeout(TcpSock& sock, uint8_t seconds) {
  if (seconds != 0 || sock.extra != nullptr) TcpGetExtra(sock).fin_timeout_s = seconds;
}

Nanos TcpFinTimeout(const TcpSock& sock) {
  const bool own = sock.extra != nullptr && sock.extra->fin_timeout_s != 0;
  return (own ? sock.extra->fin_timeout_s : sock.context.settings.fin_timeout_s) * kSecond;
}

void TcpSetNotSentLowat(TcpSock& sock, uint32_t bytes) {
  if (bytes != 0 || sock.extra != nullptr) TcpGetExtra(sock).notsent_lowat = bytes;
}

uint32_t TcpNotSentLowat(const TcpSock& sock) {
  if (sock.extra != nullptr && sock.extra->notsent_lowat != 0) return sock.extra->notsent_lowat;
  return sock.snd.buffer_locked ? UINT32_MAX : sock.context.settings.notsent_lowat;
}

void TcpNotSentWake(TcpSock& sock) {
  const auto unsent = static_cast<uint32_t>(sock.snd.write_seq - sock.snd.nxt);
  if (unsent >= TcpNotSentLowat(sock)) return;
  sock.snd.notsent_full = false;
  sock.context.ip.Ready(sock, ReadySock::kWritable);
}

void TcpSetSynCount(TcpSock& sock, uint8_t count) { TcpGetExtra(sock).syn_count = count; }

void TcpSetWindowClamp(TcpSock& sock, uint32_t bytes) {
  TcpGetExtra(sock).window_clamp = bytes;
  sock.rcv.clamped = true;
}

void TcpSetMinTtl(TcpSock& sock, uint8_t ttl) {
  sock.rcv.guarded = ttl != 0;
  if (ttl != 0) TcpGetExtra(sock).min_ttl = ttl;
}

}  // namespace weir::netstack
