// TIME-WAIT (RFC 9293 §3.6.1): what is kept of a connection that both sides have ended, so that its old segments are not
// taken for a new one's, and the peer's FIN finds an answer when that was lost. A small block takes the place of the
// control block, which is gone, or closed as long as the program holds it. Linux: tcp_timewait_sock.
//
// The blocks have a table of their own, which is asked for what no connection has: connections do not pay for them.
#ifndef NETSTACK_TCP_TCP_TIME_WAIT_H_
#define NETSTACK_TCP_TCP_TIME_WAIT_H_

#include <vector>

#include "netstack/ip/peer_shards.h"
#include "netstack/tcp/seq.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/recycler.h"
#include "runtime/base/timer_wheel.h"

namespace weir::netstack {

struct TcpContext;
struct TcpSock;
struct TcpTimeWaitTag;

struct TcpTimeWait : runtime::Recycled, runtime::ListNode<TcpTimeWaitTag> {
  TcpTimeWait* hash_next = nullptr;
  uint32_t hash = 0;  // TcpDemux's of the endpoints
  Seq rcv_nxt;
  Seq snd_nxt;
  uint16_t window = 0;  // as the field says it
  bool ts_ok = false;
  uint8_t tos = 0;  // IP_TOS; of what the program set nothing else is kept (tw_tos)
  uint32_t ts_offset = 0;  // of these three see TcpSock::ts
  uint32_t ts_recent = 0;
  uint32_t ts_recent_s = 0;
  Nanos ends_ns = 0;
  uint32_t last_oow_ack_ms = 0;  // when something was answered last; 0: never
  Endpoint local;
  Endpoint remote;
};

// Two cache lines.
static_assert(sizeof(TcpTimeWait) <= 128);

// All of a shard, by their endpoints and by their age. They end at the same age, so one timer does for them.
class TcpTimeWaitTable : runtime::Timer {
 public:
  // One bucket for each of `most`, rounded up to a power of two.
  TcpTimeWaitTable(runtime::TimerWheel& timers, uint32_t most);
  ~TcpTimeWaitTable();
  TcpTimeWaitTable(const TcpTimeWaitTable&) = delete;

  // As TcpDemux::set_peers.
  void set_peers(PeerShards* peers) { peers_ = peers; }

  uint32_t count() const { return count_; }
  // `hash` is TcpDemux's; nullptr: none.
  TcpTimeWait* Find(uint32_t hash, const Endpoint& local, const Endpoint& remote) const;
  // What `sock`, whose numbers are final, leaves.
  void Insert(const TcpSock& sock, Nanos now_ns);
  // 2 MSL from now on.
  void Restart(TcpTimeWait& block, Nanos now_ns);
  void Remove(TcpTimeWait& block);
  // False: there is none.
  bool RemoveOldest();

 private:
  static void Expired(runtime::Timer& timer, Nanos now_ns);

  runtime::TimerWheel& timers_;
  PeerShards* peers_ = nullptr;
  uint32_t mask_;
  uint32_t count_ = 0;
  std::vector<TcpTimeWait*> buckets_;
  runtime::List<TcpTimeWait, TcpTimeWaitTag> by_age_;
};

// When a connection in TIME-WAIT makes way for one that we open. With timestamps, whose clock has gone on since, the peer
// tells the new connection's segments from old ones (RFC 6191 §2, RFC 7323 §5.1); its number begins behind all old ones.
// tcp_tw_reuse says whether (twsk_unique).
// `by_name`: the program named the port itself, and so wants it whatever the setting is (inet_hash_connect asks without
// a twp).
bool TcpTimeWaitReusable(const TcpContext& context, const TcpTimeWait& block, bool by_name, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_TIME_WAIT_H_
