// TIME-WAIT (RFC 9293 §3.6.1, §3.10.7.4): how connections come into it, what they answer there, and when a new connection
// may have their endpoints. Linux: tcp_minisocks.c, tcp_twsk_unique.
#include "netstack/tcp/tcp_time_wait.h"

#include <bit>

#include "netstack/tcp/tcp_challenge_ack.h"
#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_timestamps.h"

namespace weir::netstack {

TcpTimeWaitTable::TcpTimeWaitTable(runtime::TimerWheel& timers, uint32_t most)
    : Timer(&Expired), timers_(timers), mask_(std::bit_ceil(most) - 1), buckets_(size_t{mask_} + 1) {}

TcpTimeWaitTable::~TcpTimeWaitTable() {
  while (RemoveOldest()) {
  }
}

TcpTimeWait* TcpTimeWaitTable::Find(uint32_t hash, const Endpoint& local, const Endpoint& remote) const {
  if (count_ == 0) return nullptr;
  TcpTimeWait* block = buckets_[hash & mask_];
  while (block != nullptr && !(block->hash == hash && block->remote == remote && block->local == local)) {
    block = block->hash_next;
  }
  return block;
}

void TcpTimeWaitTable::Insert(const TcpSock& sock, Nanos now_ns) {
  auto* block = new TcpTimeWait;
  block->hash = sock.hash;
  block->rcv_nxt = sock.rcv.nxt;
  block->snd_nxt = sock.snd.nxt;
  block->window = static_cast<uint16_t>(sock.rcv.wnd >> sock.rcv.wscale);
  block->ts_ok = sock.ts.ok;
  block->tos = static_cast<uint8_t>(sock.dscp << 2);
  block->ts_offset = sock.ts.offset;
  block->ts_recent = sock.ts.recent;
  block->ts_recent_s = sock.ts.recent_s;
  block->last_oow_ack_ms = sock.extra != nullptr ? sock.extra->last_oow_ack_ms : 0;
  block->local = sock.local;
  block->remote = sock.remote;
  TcpTimeWait*& head = buckets_[block->hash & mask_];
  block->hash_next = head;
  head = block;
  ++count_;
  if (peers_ != nullptr) [[unlikely]] peers_->UsePort(PortSpace::kTcp, block->local.port);
  by_age_.PushBack(*block);
  Restart(*block, now_ns);
}

void TcpTimeWaitTable::Restart(TcpTimeWait& block, Nanos now_ns) {
  block.ends_ns = now_ns + kTcpTimeWait;
  block.Unlink();
  by_age_.PushBack(block);
  if (!armed()) timers_.Arm(*this, by_age_.front().ends_ns);
}

void TcpTimeWaitTable::Remove(TcpTimeWait& block) {
  TcpTimeWait** link = &buckets_[block.hash & mask_];
  while (*link != &block) link = &(*link)->hash_next;
  *link = block.hash_next;
  block.Unlink();
  if (peers_ != nullptr) [[unlikely]] peers_->LeavePort(PortSpace::kTcp, block.local.port);
  delete &block;
  if (--count_ == 0) timers_.Cancel(*this);
}

bool TcpTimeWaitTable::RemoveOldest() {
  if (by_age_.empty()) return false;
  Remove(by_age_.front());
  return true;
}

// May be too early, when those that it was armed for are gone.
void TcpTimeWaitTable::Expired(runtime::Timer& timer, Nanos now_ns) {
  auto& table = static_cast<TcpTimeWaitTable&>(timer);
  while (table.count_ != 0 && table.by_age_.front().ends_ns <= now_ns) table.RemoveOldest();
  if (table.count_ != 0) table.timers_.Arm(table, table.by_age_.front().ends_ns);
}

DropReason TcpRcvTimeWait(TcpContext& context, TcpTimeWait& block, TcpSegment& segment, Nanos now_ns) {
  // RFC 1337 §3, fix 1: a reset does not end TIME-WAIT. Differs from Linux, which wants to be told (a sysctl): here
  // nothing speaks for the hazard.
  if (segment.has(kTcpRst)) return DropReason::kTcpTimeWait;
  // RFC 9293 §3.10.7.4, fourth, and RFC 6191 §2: a SYN beyond the old sequence numbers, or with a later timestamp,
  // opens a new connection.
  const bool stamped = block.ts_ok && segment.options.has_timestamps;
  const uint32_t ts_val = segment.options.ts_val;
  const bool paws_reject = stamped && TcpTimestampIsOld(block.ts_recent, block.ts_recent_s, ts_val, now_ns);
  const bool later = stamped && static_cast<int32_t>(ts_val - block.ts_recent) > 0;
  if (segment.has(kTcpSyn) && !segment.has(kTcpAck) && !paws_reject && (segment.seq > block.rcv_nxt || later)) {
    if (TcpListenSock* listener = context.demux.FindListener(segment.destination)) {
      const Seq last = block.snd_nxt;
      segment.hash = block.hash;
      context.time_wait.Remove(block);
      return TcpRcvListen(*listener, context, segment, now_ns, last);
    }
  }
  // RFC 9293 §3.10.7.4, eighth: the FIN again, so our ACK was lost: answer it and wait anew.
  if (segment.has(kTcpFin) && segment.has(kTcpAck) && !paws_reject) context.time_wait.Restart(block, now_ns);
  if (segment.length() == 0 && segment.seq == block.rcv_nxt) return DropReason::kTcpTimeWait;
  // At once when it brings data, as TcpSendDupack does.
  const bool data = segment.length() > 0 && !segment.has(kTcpSyn);
  if (data || !TcpOowRateLimited(context, block.last_oow_ack_ms, now_ns)) TcpSendTimeWaitAck(context, block, now_ns);
  return DropReason::kTcpTimeWait;
}

void TcpEnterTimeWait(TcpSock& sock, Nanos now_ns) {
  TcpContext& context = sock.context;
  // The peer hears that its FIN came while there is somebody to say so.
  if (sock.ack_now || sock.ack_delayed) TcpSendAck(sock, now_ns);
  if (context.time_wait.count() < context.settings.max_tw_buckets) {
    context.time_wait.Insert(sock, now_ns);
  } else {
    ++context.counters.time_wait_overflows;  // the quiet time is given up
  }
  TcpDone(sock, 0);
}

bool TcpTimeWaitReusable(const TcpContext& context, const TcpTimeWait& block, bool by_name, Nanos now_ns) {
  if (!block.ts_ok) return false;
  if (by_name) return true;
  const uint8_t reuse = context.settings.tw_reuse;
  // A connection of the host with itself; RFC 1122 §3.2.1.3 keeps 127/8 for those.
  const bool loopback = block.local.ip == block.remote.ip || block.remote.ip.is_loopback();
  return (reuse == 1 || (reuse == 2 && loopback)) && static_cast<uint32_t>(now_ns / kSecond) > block.ts_recent_s;
}

}  // namespace weir::netstack
