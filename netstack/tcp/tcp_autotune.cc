#include "netstack/tcp/tcp_autotune.h"

#include <algorithm>

#include "netstack/tcp/tcp_context.h"

namespace weir::netstack {
namespace {

// Room for twice what was read in a round trip, against losses, and for a sender whose rate still grows.
uint64_t WantedSpace(const TcpSock& sock, uint32_t read, uint32_t before) {
  const uint64_t window = 2 * uint64_t{read} + 16 * uint64_t{sock.rcv.advmss};
  return window + 2 * window * (read - before) / std::max(before, 1u);
}

}  // namespace

// Differs from Linux: the round trip is the sender's, which the handshake has measured; there is no second estimator of
// the receiver's. A queue that grows on the way makes it too short, and the buffer smaller, not larger.
void TcpRcvSpaceAdjust(TcpSock& sock, Nanos now_ns) {
  auto& space = sock.rcv_space;
  const Seq read_to = sock.rcv.nxt - sock.rcv.queued;
  const auto now_us = static_cast<uint32_t>(now_ns / kMicrosecond);
  if (space.bytes == 0) {
    constexpr uint32_t kInitialSegments = 10;  // TCP_INIT_CWND
    space = {now_us, read_to, std::clamp<uint32_t>(sock.rcv.wnd, 1, kInitialSegments * sock.rcv.advmss)};
    return;
  }
  // Microseconds wrap after 71 minutes; a round trip that is measured then lasts a little longer.
  if ((now_us - space.since_us) * kMicrosecond < sock.rtt.srtt_ns || sock.rtt.srtt_ns == 0) return;
  const TcpSettings& settings = sock.context.settings;
  const auto read = static_cast<uint32_t>(read_to - space.seq);
  if (read > space.bytes) {
    if (settings.moderate_rcvbuf && !sock.rcv.buffer_locked) {
      const uint64_t wanted = std::min<uint64_t>(WantedSpace(sock, read, space.bytes), settings.receive_buffer_max);
      sock.rcv.buffer = std::max(sock.rcv.buffer, static_cast<uint32_t>(wanted));
    }
    space.bytes = read;
  }
  space.since_us = now_us;
  space.seq = read_to;
}

void TcpSndbufExpand(TcpSock& sock) {
  if (sock.snd.buffer_locked) return;
  const uint64_t wanted = std::min<uint64_t>(2 * uint64_t{sock.congestion.cwnd()}, sock.context.settings.send_buffer_max);
  sock.snd.buffer = std::max(sock.snd.buffer, static_cast<uint32_t>(wanted));
}

}  // namespace weir::netstack
