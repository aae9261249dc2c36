// Pacing: segments leave at intervals rather than as bursts of a window, so that they queue less on the way. The rate
// is Linux's internal one: twice the congestion window a round trip in slow start, 1.2 times after it, and at most what
// the program says. Off until a program asks for it. Linux: tcp_update_pacing_rate, tcp_update_skb_after_send.
#ifndef NETSTACK_TCP_TCP_PACING_H_
#define NETSTACK_TCP_TCP_PACING_H_

#include <cstdint>

#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_sock.h"
#include "runtime/base/recycler.h"

namespace weir::netstack {

// What a paced connection has besides its control block.
struct TcpPacer : runtime::Recycled {
  explicit TcpPacer(TcpSock& sock);

  TcpTimer timer;
  uint64_t max_rate = 0;  // bytes a second
  Nanos next_ns = 0;      // when the next segment may go
  uint8_t segments = 0;   // the first ones, which are not paced
};

inline TcpPacer* TcpPacerOf(const TcpSock& sock) { return sock.extra == nullptr ? nullptr : sock.extra->pacer; }

// Paces from now on, at `max_rate` bytes a second at most (SO_MAX_PACING_RATE); 0: not any more.
void TcpSetPacing(TcpSock& sock, uint64_t max_rate);

// Whether a segment may go now; else the timer is armed for when it may.
bool TcpPacingAllows(TcpSock& sock, Nanos now_ns);
// A segment of so many bytes went.
void TcpPacingSent(TcpSock& sock, uint32_t bytes, Nanos now_ns);

// Bytes a second; UINT64_MAX: as fast as the windows allow.
uint64_t TcpPacingRate(const TcpSock& sock);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_PACING_H_
