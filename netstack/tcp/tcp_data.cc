// RFC 9293 §3.10.7.4, seventh and eighth: segment text and FIN. In order, data goes to a waiting reader's memory or to
// the receive queue; out of order, to a sorted queue from which holes are filled.
#include <algorithm>
#include <cstring>

#include "netstack/tcp/tcp_delack.h"
#include "netstack/tcp/tcp_ecn.h"
#include "netstack/tcp/tcp_autotune.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_memory.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_sack.h"
#include "netstack/tcp/tcp_urgent.h"

namespace weir::netstack {
namespace {

// Frames that a connection may keep unread. Full segments reach the byte bound first; a peer that sends tiny ones
// (each costs a frame) meets this: a receive buffer, 512 KiB at least, in half-full segments.
uint32_t MaxQueuedFrames(const TcpSock& sock) { return std::max<uint32_t>(768, sock.rcv.buffer / 682); }
// Holes are rarely longer than a window of full segments: 512 KiB, or the receive buffer, in 1448-byte segments.
uint32_t MaxOfoFrames(const TcpSock& sock) { return std::max<uint32_t>(362, sock.rcv.buffer / 1448); }

// Copies what fits from the front of `frame` to the reader's memory (the kernel's direct copy to the reader).
void CopyToReader(TcpSock& sock, runtime::Frame& frame) {
  if (sock.reader == nullptr || sock.reader->peeks) return;
  size_t skip = sock.reader->copied;
  for (const iovec& to : sock.reader->into) {
    if (frame.len == 0) return;
    if (skip >= to.iov_len) {
      skip -= to.iov_len;
      continue;
    }
    const size_t n = std::min<size_t>(frame.len, to.iov_len - skip);
    std::memcpy(static_cast<std::byte*>(to.iov_base) + skip, frame.data, n);
    frame.Pull(static_cast<uint32_t>(n));
    sock.reader->copied += n;
    sock.context.counters.direct_copied_bytes += n;
    skip = 0;
  }
}

// With the frames that the program keeps.
bool QueueIsFull(const TcpSock& sock) { return sock.receive_queue.count() + sock.held() >= MaxQueuedFrames(sock); }

bool PoolHasRoom(TcpSock& sock) {
  const runtime::FramePool& pool = sock.context.ip.pool;
  // One that holds nothing may go further: see TcpSelectWindow.
  const bool holds = !sock.receive_queue.empty() || sock.held() > 0;
  const uint32_t reserve = holds ? TcpReceiveReserve(pool) : TcpFrameFloor(pool);
  if (pool.free_count() > reserve) return true;
  TcpCollapseReceiveQueue(sock);
  return TcpMakeRoom(sock.context, &sock, reserve);
}

// What is to be queued in order for `frame`: itself, or, when the pool runs short, a heap frame. The caller gets a
// reference; nullptr: there is no room.
runtime::Frame* Keep(TcpSock& sock, runtime::Frame& frame) {
  if (QueueIsFull(sock)) TcpCollapseReceiveQueue(sock);
  if (QueueIsFull(sock)) return nullptr;
  if (!PoolHasRoom(sock)) return TcpCopyOfFrame(sock, frame);
  runtime::Ref(&frame);
  return &frame;
}

// Takes the in-order payload of `frame` (rcv.nxt is its first byte); false when there is no room for it.
bool QueueInOrder(TcpSock& sock, runtime::Frame& frame) {
  const uint32_t length = frame.len;
  if (length == 0) return true;
  if (TcpHasUrg(sock, frame)) [[unlikely]] {
    if (QueueIsFull(sock) || !PoolHasRoom(sock)) return false;
    TcpTakeUrg(sock, frame);
  }
  if (sock.receive_queue.empty()) CopyToReader(sock, frame);
  if (frame.len > 0) {
    const uint32_t rest = frame.len;
    const bool crowded =
        sock.receive_queue.count() >= MaxQueuedFrames(sock) / 2 || TcpShareFrames(sock.context.ip.pool);
    if (!(crowded && TcpCoalesce(sock.context, sock.receive_queue.tail(), frame))) {
      runtime::Frame* kept = Keep(sock, frame);
      if (kept == nullptr) {
        sock.rcv.nxt += length - rest;
        sock.stats.bytes_received += length - rest;
        if (rest < length) sock.context.ip.Ready(sock, ReadySock::kReadable);
        return false;
      }
      kept->Cb<TcpRxCb>() = {.seq = sock.rcv.nxt + (length - rest), .fin = false};
      sock.receive_queue.PushBack(kept);
    }
    sock.rcv.queued += rest;
  }
  sock.rcv.nxt += length;
  sock.stats.bytes_received += length;
  sock.context.ip.Ready(sock, ReadySock::kReadable);
  return true;
}

// Eighth: the FIN, once everything before it is there (tcp_fin).
void Fin(TcpSock& sock, Nanos now_ns) {
  sock.rcv.fin = true;
  sock.rcv.nxt += 1;
  sock.ack_now = true;
  TcpClearOfo(sock);
  sock.sack.count = 0;
  switch (sock.state) {
    case TcpState::kSynReceived:
    case TcpState::kEstablished:
      sock.state = TcpState::kCloseWait;
      break;
    case TcpState::kFinWait1:
      sock.state = TcpState::kClosing;  // our FIN is not acknowledged, else it were FIN-WAIT-2
      break;
    case TcpState::kFinWait2:
      return TcpEnterTimeWait(sock, now_ns);
    default:
      break;
  }
  sock.context.ip.Ready(sock, ReadySock::kReadable);
}

// Into the frame before it, when it follows that one without a hole (tcp_ooo_try_coalesce).
bool AppendOfo(TcpSock& sock, runtime::Frame* previous, Seq seq, const runtime::Frame& frame, bool fin) {
  if (previous == nullptr) return false;
  auto& cb = previous->Cb<TcpRxCb>();
  if (cb.fin || cb.seq + previous->len != seq || !TcpCoalesce(sock.context, previous, frame)) return false;
  cb.fin = fin;
  return true;
}

// Whether what begins at `seq` may be queued out of order. It takes the place of what is further on, if need be
// (tcp_prune_ofo_queue with its `in_skb`).
bool HasOfoRoom(TcpSock& sock, Seq seq) {
  const runtime::FramePool& pool = sock.context.ip.pool;
  const uint32_t reserve = TcpReceiveReserve(pool);
  const auto room = [&] { return TcpOfoCount(sock) < MaxOfoFrames(sock) && pool.free_count() > reserve; };
  if (room()) return true;
  TcpCollapseOfoQueue(sock);
  if (!room() && TcpHasOfo(sock) && seq < sock.loss->ofo_queue.tail()->Cb<TcpRxCb>().seq) {
    TcpPruneOfoQueue(sock, reserve);
  }
  return room();
}

// A segment beyond rcv.nxt: keeps its data sorted by sequence number, and answers at once (RFC 5681 §4.2).
DropReason TcpDataQueueOfo(TcpSock& sock, TcpSegment& segment) {
  sock.ack_now = true;
  runtime::Frame& frame = segment.frame;
  if (!HasOfoRoom(sock, segment.seq)) return DropReason::kTcpOfoFull;
  runtime::FrameQueue& queue = TcpGetLoss(sock).ofo_queue;
  runtime::Frame* previous = nullptr;
  Seq seq = segment.seq;
  runtime::Frame* tail = queue.tail();
  if (tail != nullptr && seq >= tail->Cb<TcpRxCb>().seq + tail->len) {
    previous = tail;  // the usual case: behind everything
  } else {
    for (runtime::Frame* at = queue.head(); at != nullptr && at->Cb<TcpRxCb>().seq <= seq; at = at->next) {
      previous = at;
    }
  }
  if (previous != nullptr) {
    const TcpRxCb& cb = previous->Cb<TcpRxCb>();
    const Seq end = cb.seq + previous->len;
    if (end + cb.fin >= segment.end()) {
      TcpDsackSet(sock, segment.seq, segment.end());
      TcpSackNew(sock, cb.seq, end + cb.fin);
      return DropReason::kTcpDuplicate;
    }
    if (end > seq) {
      TcpDsackSet(sock, seq, end);
      const auto known = std::min(static_cast<uint32_t>(end - seq), frame.len);
      frame.Pull(known);
      seq += known;
    }
  }
  // What overlaps the following frame is cut off here, so the queue stays free of overlaps. A FIN beyond it is kept.
  runtime::Frame* next = previous == nullptr ? queue.head() : previous->next;
  bool fin = segment.has(kTcpFin);
  if (next != nullptr && seq + frame.len > next->Cb<TcpRxCb>().seq) {
    const Seq next_end = next->Cb<TcpRxCb>().seq + next->len;
    TcpDsackSet(sock, next->Cb<TcpRxCb>().seq, segment.end() < next_end ? segment.end() : next_end);
    frame.Trim(static_cast<uint32_t>(next->Cb<TcpRxCb>().seq - seq));
    fin = false;  // the peer sends it again when it is still missing
    if (frame.len == 0) return DropReason::kTcpDuplicate;
  }
  TcpSackNew(sock, seq, seq + frame.len + fin);
  if (TcpShareFrames(sock.context.ip.pool) && AppendOfo(sock, previous, seq, frame, fin)) return DropReason::kConsumed;
  runtime::Ref(&frame);
  frame.Cb<TcpRxCb>() = {.seq = seq, .fin = fin};
  queue.InsertAfter(previous, &frame);
  TcpHoldsOfo(sock);
  return DropReason::kConsumed;
}

Seq OldEnd(const TcpSock& sock, Seq end) { return end < sock.rcv.nxt ? end : sock.rcv.nxt; }

// Moves what has become in order from the out-of-order queue (tcp_ofo_queue).
void TcpOfoQueue(TcpSock& sock, Nanos now_ns) {
  while (TcpHasOfo(sock)) {
    runtime::FrameQueue& queue = sock.loss->ofo_queue;
    const TcpRxCb cb = queue.head()->Cb<TcpRxCb>();
    if (cb.seq > sock.rcv.nxt) return;
    if (cb.seq < sock.rcv.nxt) TcpDsackSet(sock, cb.seq, OldEnd(sock, cb.seq + queue.head()->len));
    runtime::Frame* frame = queue.PopFront();
    const auto known = std::min(static_cast<uint32_t>(sock.rcv.nxt - cb.seq), frame->len);
    frame->Pull(known);
    const bool queued = QueueInOrder(sock, *frame);
    runtime::Unref(frame);
    if (!queued) return TcpSackRebuild(sock);
    if (cb.fin) return Fin(sock, now_ns);
  }
}

// What has become in order, from the segment that fills a hole on.
void FillHole(TcpSock& sock, Nanos now_ns) {
  sock.ack_now = true;  // RFC 5681 §4.2
  TcpOfoQueue(sock, now_ns);
  TcpSackRemove(sock);
}

// RFC 1122 §4.2.3.2, RFC 5681 §4.2: at least every second full segment, at once while the peer's window is young.
void ScheduleAck(TcpSock& sock, uint32_t payload, Nanos now_ns) {
  TcpMeasureGap(sock, now_ns);
  sock.rcv.mss = std::max<uint16_t>(sock.rcv.mss, static_cast<uint16_t>(payload));
  sock.ack_delayed = true;
  if (sock.quick_acks > 0) {
    --sock.quick_acks;
    sock.ack_now = true;
  }
}

}  // namespace

DropReason TcpDataQueue(TcpSock& sock, TcpSegment& segment, Nanos now_ns) {
  if (segment.length() == 0) return DropReason::kConsumed;
  sock.context.WantOutput(sock);
  TcpEcnReceive(sock, segment);
  // The tail beyond the window is cut (RFC 9293 §3.10.7.4, first, last paragraph).
  const Seq right = sock.rcv.wup + sock.rcv.wnd;
  bool fin = segment.has(kTcpFin);
  if (segment.seq + segment.payload > right) {
    segment.frame.Trim(static_cast<uint32_t>(right - segment.seq));
    segment.payload = segment.frame.len;
    fin = false;
    segment.header.flags &= static_cast<uint8_t>(~kTcpFin);
  }
  if (segment.seq > sock.rcv.nxt) {
    const DropReason reason = TcpDataQueueOfo(sock, segment);
    // RFC 5681 §4.2: one for each. A peer without SACK counts them; with it, one a turn tells of all that came.
    if (!sock.sack.ok) TcpSendAck(sock, now_ns);
    return reason;
  }
  const auto known = static_cast<uint32_t>(sock.rcv.nxt - segment.seq);
  if (known > 0) TcpDsackSet(sock, segment.seq, OldEnd(sock, segment.end()));
  if (known > segment.payload || (known == segment.payload && !fin)) {
    sock.ack_now = true;
    return DropReason::kTcpDuplicate;
  }
  segment.frame.Pull(known);
  const bool had_hole = TcpHasOfo(sock);
  if (!QueueInOrder(sock, segment.frame)) {
    sock.ack_now = true;
    return DropReason::kTcpRcvPruned;
  }
  TcpRcvSpaceAdjust(sock, now_ns);
  ScheduleAck(sock, segment.payload, now_ns);
  if (fin) {
    Fin(sock, now_ns);
  } else if (had_hole) {
    FillHole(sock, now_ns);
  }
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
