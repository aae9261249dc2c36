#include "netstack/tcp/tcp_urgent.h"

#include <algorithm>
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
  auto& urg = sock.extra->urg;
  urg.byte = frame.data[at];
  urg.kept = true;
  urg.pending = false;
  std::memmove(frame.data + at, frame.data + at + 1, frame.len - at - 1);
  frame.Trim(frame.len - 1);
  ++sock.context.counters.urgent_bytes;
}

void TcpMarkUrgent(TcpSock& sock) {
  TcpGetExtra(sock).urg_out = {.up = sock.snd.write_seq, .sending = true};
  sock.context.WantOutput(sock);
}

void TcpPointToUrg(TcpSock& sock, Seq seq, TcpHeader* header) {
  auto& out = sock.extra->urg_out;
  out.sending = sock.snd.una < out.up;
  if (!out.sending || seq >= out.up) return;
  const auto distance = static_cast<uint32_t>(out.up - seq);
  // Farther away than the field says, it points as far as it can, but only from the end of what was sent.
  if (distance > 0xffff && seq + 0xffff <= sock.snd.nxt) return;
  header->flags |= kTcpUrg;
  header->urgent = static_cast<uint16_t>(std::min<uint32_t>(distance, 0xffff));
}

}  // namespace weir::netstack
