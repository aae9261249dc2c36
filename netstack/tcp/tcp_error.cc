// ICMP errors about segments that we sent (RFC 1122 §4.2.3.9, RFC 5927). Linux: tcp_v4_err, tcp_v4_mtu_reduced.
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_mtu_probe.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_recovery.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

// The path is narrower than what is under way: all of it is sent again at once, in segments that fit. That is no sign
// of congestion (RFC 8201 §5.4; tcp_simple_retransmit).
void MtuReduced(TcpSock& sock) {
  const uint16_t before = sock.snd.mss;
  TcpSyncMss(sock);
  if (sock.mtu_discover == TcpMtuDiscover::kDont) return;  // in fragments it gets there (tcp_v4_mtu_reduced)
  if (sock.state == TcpState::kSynSent) return;  // the SYN goes again by itself, and without data
  if (sock.snd.mss < before || TcpMtuProbeTooBig(sock)) TcpSimpleRetransmit(sock);
}

}  // namespace

DropReason TcpErr(TcpContext& context, const TransportError& error, Nanos now_ns) {
  TcpSock* sock = context.demux.Find(error.local(), error.remote());
  if (sock == nullptr) return DropReason::kIcmpNoSocket;
  // RFC 5927 §4.1: about something that is under way; else it is too old, or a guess.
  const Seq seq(runtime::LoadBe32(error.transport.data() + 4));
  if (seq < sock->snd.una || seq >= sock->snd.nxt) return DropReason::kIcmpNoSocket;
  if (error.too_big) {
    if (!LowerPathMtu(context.ip, error, now_ns)) return DropReason::kIcmpIgnored;
    MtuReduced(*sock);
    return DropReason::kConsumed;
  }
  // RFC 1122 §4.2.3.9, RFC 5927 §5.2: what works may go on working; the error is remembered for when it does not, or told
  // where the program asked for that. Before anything works, soft errors end the attempt too: differs from RFC 1122 as
  // Linux does (RFC 5461 §4.1), for a program that has other addresses to try.
  if (sock->state == TcpState::kSynSent) {
    TcpDone(*sock, error.error);
  } else if (sock->recverr && sock->owner != nullptr) {
    sock->error = static_cast<uint8_t>(error.error);
    context.ip.Ready(*sock, ReadySock::kError);
  } else {
    sock->soft_error = static_cast<uint8_t>(error.error);
  }
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
