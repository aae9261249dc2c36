// TcpContext: the TCP of one shard: its connections and listeners, settings and counters.
#ifndef NETSTACK_TCP_TCP_CONTEXT_H_
#define NETSTACK_TCP_TCP_CONTEXT_H_

#include <cstdint>

#include "netstack/ip/ip_context.h"
#include "netstack/tcp/tcp_demux.h"
#include "netstack/tcp/tcp_sock.h"
#include "runtime/base/intrusive_list.h"

namespace weir::netstack {

struct TcpSettings {
  // Control blocks on this shard, TIME-WAIT included. At the bound the oldest in TIME-WAIT makes room.
  uint32_t max_sockets = 65536;
  // Unread bytes that a connection may hold: tcp_rmem's default times four, for an RTT of 4 ms at 1 Gbit/s.
  uint32_t receive_buffer = 512 << 10;
  // Unacknowledged and unsent bytes that a connection may hold.
  uint32_t send_buffer = 512 << 10;
  // Options to offer and to take, by their Linux names: tcp_timestamps (0: off, 1: on, 2: on without a secret offset),
  // tcp_sack, tcp_dsack, tcp_window_scaling.
  uint8_t timestamps = 1;
  bool sack = true;
  bool dsack = true;
  bool window_scaling = true;
  // tcp_ecn: 0: off; 1: asked for and agreed to; 2: agreed to.
  uint8_t ecn = 2;
  // Spurious timeouts are recognized (tcp_frto), the tail of a flight is probed (tcp_early_retrans, RFC 8985 §7).
  bool frto = true;
  bool early_retrans = true;
  // tcp_congestion_control for new connections, tcp_slow_start_after_idle.
  TcpCongestionControl congestion_control = TcpCongestionControl::kCubic;
  bool slow_start_after_idle = true;
  // Header prediction; off only to show that it changes nothing.
  bool prediction = true;
};

struct TcpCounters {
  uint64_t predicted_data = 0;
  uint64_t predicted_acks = 0;
  uint64_t slow_path = 0;
  uint64_t segments_out = 0;
  uint64_t retransmits = 0;
  uint64_t fast_recoveries = 0;
  uint64_t timeouts = 0;
  uint64_t spurious_timeouts = 0;   // found by F-RTO
  uint64_t undone_reductions = 0;
  uint64_t loss_probes = 0;
  uint64_t resets_out = 0;
  uint64_t accepted = 0;
  uint64_t time_wait_recycled = 0;
  uint64_t direct_copied_bytes = 0;  // straight to a waiting reader
};

struct TcpContext {
  TcpContext(IpContext& ip, const TcpSettings& settings);
  ~TcpContext();
  TcpContext(const TcpContext&) = delete;

  // A new control block, closed and not in the tables; nullptr at the bound.
  TcpSock* Alloc();
  // Takes `sock` out of everything and frees it at the end of the turn, when no caller can hold it any more.
  void Free(TcpSock& sock);
  void FreeDead();

  // Connections that still have something to send or to receive: all but those in TIME-WAIT.
  uint32_t unfinished() const { return sockets - in_time_wait; }

  // Asks for TcpFlush to look at `sock`.
  void WantOutput(TcpSock& sock) {
    if (!static_cast<runtime::ListNode<TcpOutputTag>&>(sock).linked()) output.PushBack(sock);
  }

  IpContext& ip;
  TcpSettings settings;
  TcpDemux demux;
  TcpCounters counters;
  uint32_t sockets = 0;
  uint32_t in_time_wait = 0;
  uint64_t port_draws = 0;
  runtime::List<TcpSock, TcpOutputTag> output;
  runtime::List<TcpSock, TcpMemoryTag> short_of_frames;
  runtime::List<TcpSock, TcpQueueTag> time_wait;
  runtime::List<TcpSock, TcpQueueTag> dead;
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_CONTEXT_H_
