// ESTABLISHED: header prediction, and the full steps where it does not hold. The fast path is only a shortcut: with
// prediction off, the same segments give the same state and output.
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_loss.h"

namespace weir::netstack {
namespace {

// Timestamps alone, and not from before; or none, when that was agreed.
bool PredictedOptions(const TcpSock& sock, const TcpSegment& segment) {
  if (!sock.ts.ok) return segment.header.header_size == TcpHeader::kMinSize;
  return segment.header.header_size == TcpHeader::kMinSize + TcpOptions::kTimestampsSize &&
         segment.options.has_timestamps && static_cast<int32_t>(segment.options.ts_val - sock.ts.recent) >= 0;
}

// Van Jacobson's prediction: nothing but ACK (and PSH), exactly the next segment, the window unchanged, an
// acknowledgment of what is in flight, and no hole that the data could fill.
bool Predicted(const TcpSock& sock, const TcpSegment& segment) {
  return sock.context.settings.prediction && (segment.header.flags & ~kTcpPsh) == kTcpAck &&
         segment.seq == sock.rcv.nxt && segment.ack >= sock.snd.una && segment.ack <= sock.snd.nxt &&
         uint32_t{segment.header.window} << sock.snd.wscale == sock.snd.wnd && !TcpHasOfo(sock) &&
         segment.end() <= sock.rcv.wup + sock.rcv.wnd && PredictedOptions(sock, segment);
}

// Whether a predicted segment carries on where one of the same burst ended, with nothing of ours under way: its ACK
// field then says nothing that was not said a moment ago. This is what Linux's coalescing of segments saves
// (tcp_gro_receive); here nothing is held back for it, since data is delivered and acknowledged after the burst anyway.
bool CarriesOn(const TcpSock& sock, const TcpSegment& segment, Nanos now_ns) {
  return segment.payload != 0 && sock.heard_ns == now_ns && segment.seq > sock.rcv.wup &&
         segment.seq > sock.snd.wl1 && segment.ack == sock.snd.una && sock.snd.nxt == sock.snd.una;
}

}  // namespace

// Linux: tcp_rcv_established.
DropReason TcpRcvEstablished(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  TcpCounters& counters = sock.context.counters;
  if (Predicted(sock, segment)) {
    ++(segment.payload == 0 ? counters.predicted_acks : counters.predicted_data);
    if (CarriesOn(sock, segment, now_ns)) {
      ++counters.coalesced;
      sock.snd.wl1 = segment.seq;
      sock.snd.wl2 = segment.ack;
      sock.soft_error = 0;
      return TcpDataQueue(sock, segment, now_ns);
    }
    const DropReason reason = TcpAck(sock, segment, now_ns);
    if (segment.payload == 0 || reason != DropReason::kConsumed) return reason;
    return TcpDataQueue(sock, segment, now_ns);
  }
  ++counters.slow_path;
  return TcpRcvStateProcess(sock, segment, now_ns);
}

}  // namespace weir::netstack
