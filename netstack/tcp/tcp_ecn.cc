#include "netstack/tcp/tcp_ecn.h"

#include <algorithm>

#include "netstack/tcp/tcp_context.h"

namespace weir::netstack {
namespace {

// Segments that are acknowledged at once when something was marked: the sender is to hear soon
// (tcp_enter_quickack_mode).
constexpr uint8_t kQuickAcks = 2;

}  // namespace

void TcpEcnOffer(TcpSock& sock) { sock.ecn.ok = sock.context.settings.ecn == 1; }

void TcpEcnTakeSyn(TcpSock& sock, const TcpSegment& segment) {
  const bool ece = segment.has(kTcpEce), cwr = segment.has(kTcpCwr);
  if (segment.has(kTcpAck)) {
    // RFC 3168 §6.1.1: both flags would be those of our SYN, reflected by a host that knows nothing of them.
    sock.ecn.ok = sock.ecn.ok && ece && !cwr;
  } else {
    // RFC 3168 §6.1.1: no SYN is sent with ECT; one that comes with it was marked by a box that knows nothing of ECN.
    sock.ecn.ok = sock.context.settings.ecn != 0 && ece && cwr && segment.ecn == kEcnNotEct;
  }
}

uint8_t TcpEcnSynFlags(TcpSock& sock) {
  if (sock.state == TcpState::kSynSent) {
    // RFC 3168 §6.1.1.1: there are boxes on the way that drop such a SYN; again it goes without (tcp_ecn_fallback).
    if (sock.retries > 0) sock.ecn.ok = false;
    return sock.ecn.ok ? kTcpEce | kTcpCwr : 0;
  }
  return sock.ecn.ok ? kTcpEce : 0;
}

uint8_t TcpEcnSendFlags(TcpSock& sock, bool new_data, uint8_t* ecn) {
  *ecn = kEcnNotEct;
  if (!sock.ecn.ok) return 0;
  uint8_t flags = sock.ecn.demand_cwr ? kTcpEce : 0;
  if (new_data) {
    *ecn = kEcnEct0;
    if (sock.ecn.queue_cwr) flags |= kTcpCwr;
    sock.ecn.queue_cwr = false;
  }
  return flags;
}

void TcpEcnReceive(TcpSock& sock, const TcpSegment& segment) {
  if (!sock.ecn.ok || segment.payload == 0) return;
  if (segment.has(kTcpCwr)) {
    sock.ecn.demand_cwr = false;
    sock.ack_now = true;  // the sender's window may be down to one segment (tcp_ecn_accept_cwr)
  }
  if (segment.ecn != kEcnCe || sock.ecn.demand_cwr) return;
  sock.ecn.demand_cwr = true;
  sock.quick_acks = std::max(sock.quick_acks, kQuickAcks);
}

}  // namespace weir::netstack
