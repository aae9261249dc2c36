#include "netstack/tcp/tcp_urgent.h"

#include <cstring>

#include "netstack/tcp/tcp_context.h"

namespace weir::netstack {

void TcpCheckUrg(TcpSock& sock, const TcpSegment& segment) {
  const uint16_t pointer = segment.header.urgent;
  const Seq seq = segment.seq + (pointer == 0 ? 0u : pointer - 1u);
  if (seq < sock.rcv.nxt) return;
  auto& urg = TcpGetExtra(sock).urg;
  if (urg.pending && seq <= urg.seq) return;
  urg = {.seq = seq, .pending = true};
}

void TcpTakeUrg(TcpSock& sock, runtime::Frame& frame) {
  const auto at = static_cast<uint32_t>(sock.extra->urg.seq - sock.rcv.nxt);
  std::memmove(frame.data + at, frame.data + at + 1, frame.len - at - 1);
  frame.Trim(frame.len - 1);
  sock.extra->urg.pending = false;
  ++sock.context.counters.urgent_bytes;
}

}  // namespace weir::netstack
