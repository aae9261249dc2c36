// ESTABLISHED: header prediction, and the full steps where it does not hold. The fast path is only a shortcut: with
// prediction off, the same segments give the same state and output.
#include "netstack/tcp/tcp_input.h"

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
         uint32_t{segment.header.window} << sock.snd.wscale == sock.snd.wnd && sock.ofo_queue.empty() &&
         segment.end() <= sock.rcv.wup + sock.rcv.wnd && PredictedOptions(sock, segment);
}

}  // namespace

// Linux: tcp_rcv_established.
DropReason TcpRcvEstablished(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  TcpCounters& counters = sock.context.counters;
  if (Predicted(sock, segment)) {
    ++(segment.payload == 0 ? counters.predicted_acks : counters.predicted_data);
    const DropReason reason = TcpAck(sock, segment, now_ns);
    if (segment.payload == 0 || reason != DropReason::kConsumed) return reason;
    return TcpDataQueue(sock, segment, now_ns);
  }
  ++counters.slow_path;
  return TcpRcvStateProcess(sock, segment, now_ns);
}

}  // namespace weir::netstack
