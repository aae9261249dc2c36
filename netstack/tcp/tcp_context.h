// TcpContext: the TCP of one shard: its connections and listeners, settings and counters.
#ifndef NETSTACK_TCP_TCP_CONTEXT_H_
#define NETSTACK_TCP_TCP_CONTEXT_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "netstack/ip/ip_context.h"
#include "netstack/tcp/tcp_demux.h"
#include "netstack/tcp/tcp_fast_open_cache.h"
#include "netstack/tcp/tcp_settings.h"
#include "netstack/tcp/tcp_sock.h"
#include "netstack/tcp/tcp_time_wait.h"
#include "runtime/base/intrusive_list.h"

namespace weir::netstack {

struct TcpCounters {
  uint64_t predicted_data = 0;
  uint64_t predicted_acks = 0;
  uint64_t coalesced = 0;  // of predicted_data: carried on another of the same burst
  uint64_t slow_path = 0;
  uint64_t segments_out = 0;
  uint64_t retransmits = 0;
  uint64_t fast_recoveries = 0;
  uint64_t timeouts = 0;
  uint64_t spurious_timeouts = 0;   // found by F-RTO
  uint64_t undone_reductions = 0;
  uint64_t loss_probes = 0;
  uint64_t sack_frames_visited = 0;  // of send queues, for blocks that ACKs told of
  uint64_t mtu_black_holes = 0;  // segments made smaller after losses
  uint64_t mtu_probes = 0;
  uint64_t mtu_probes_arrived = 0;
  uint64_t mtu_probes_lost = 0;
  uint64_t resets_out = 0;
  uint64_t accepted = 0;
  uint64_t syncookies_sent = 0;
  uint64_t syncookies_received = 0;
  uint64_t syncookies_failed = 0;
  uint64_t fast_open_accepted = 0;  // before the handshake was done
  uint64_t fast_open_cookies_asked = 0;
  uint64_t fast_open_cookies_wrong = 0;
  uint64_t fast_open_overflows = 0;
  uint64_t fast_open_active = 0;         // connections whose SYN's data was taken
  uint64_t fast_open_active_failed = 0;  // and was not
  uint64_t challenge_acks = 0;
  uint64_t acks_withheld = 0;  // by the rate limits of tcp_challenge_ack.h
  uint64_t urgent_bytes = 0;   // taken out of the stream
  uint64_t orphans_reset = 0;  // beyond tcp_max_orphans
  uint64_t time_wait_recycled = 0;
  uint64_t time_wait_overflows = 0;  // not entered: tcp_max_tw_buckets
  uint64_t time_wait_reused = 0;     // by connections that we opened
  uint64_t direct_copied_bytes = 0;  // straight to a waiting reader
};

// The segments of a burst that TcpEarlyDemux has seen, in their order.
struct TcpBurst {
  static constexpr size_t kMax = 64;  // frames that are looked ahead at: a burst of the ring
  struct Segment {
    const runtime::Frame* frame;
    uint32_t hash;
  };

  size_t count = 0;
  size_t next = 0;
  std::array<Segment, kMax> segments;

  // The hash of whom `frame` is for, unless a hook has changed that on its way; false: not known.
  bool Take(const runtime::Frame& frame, uint32_t* hash) {
    for (size_t at = next; at < count; ++at) {
      if (segments[at].frame != &frame) continue;
      *hash = segments[at].hash;
      next = at + 1;
      return true;
    }
    return false;
  }
};

// Of TcpReclaim (tcp_memory.h).
struct TcpReclaimState {
  bool found = false;     // something, the last time
  size_t buckets = 0;     // looked into since then
  uint32_t rests_above = ~0u;  // free frames
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
  // A control block of which programs keep frames is there until those come back: it is in `leftovers` then.
  void FreeLeftover(TcpSock& sock);

  // Connections that no program holds, and that are not in TIME-WAIT: at most tcp_max_orphans. False: one too many.
  bool AddOrphan(TcpSock& sock);
  void NoOrphan(TcpSock& sock);

  // Those with a control block, and those in TIME-WAIT.
  uint32_t connections() const { return sockets + time_wait.count(); }

  // Asks for TcpFlush to look at `sock`.
  void WantOutput(TcpSock& sock) {
    if (!static_cast<runtime::ListNode<TcpOutputTag>&>(sock).linked()) output.PushBack(sock);
  }
  // An ACK at the end of the turn, if no segment carries it.
  void WantAck(TcpSock& sock) {
    sock.ack_now = true;
    WantOutput(sock);
  }

  IpContext& ip;
  TcpSettings settings;
  TcpDemux demux;
  TcpTimeWaitTable time_wait;
  TcpFastOpenCache fast_open_cache;
  TcpCounters counters;
  TcpBurst burst;
  uint32_t sockets = 0;  // control blocks
  uint32_t orphans = 0;
  uint64_t port_draws = 0;
  struct {
    int64_t second = -1;
    uint32_t left = 0;  // that may be sent in that second
  } challenges;
  runtime::List<TcpSock, TcpOutputTag> output;
  runtime::List<TcpSock, TcpQueueTag> short_of_frames;
  // Of those that may have something queued out of order, from the one whose holes are oldest: tcp_memory.h.
  runtime::List<TcpLoss, TcpOfoTag> ofo_holders;
  runtime::List<TcpSock, TcpQueueTag> dead;
  runtime::List<TcpSock, TcpQueueTag> leftovers;
  TcpReclaimState reclaim;
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_CONTEXT_H_
