#include "netstack/tcp/tcp_memory.h"

#include <cstring>
#include <utility>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_sack.h"
#include "netstack/tcp/tcp_user_calls.h"

namespace weir::netstack {
namespace {

using runtime::Frame;

void ForgetHolder(TcpSock& sock) {
  if (sock.loss != nullptr && sock.loss->linked()) sock.loss->Unlink();
}

// Whether `next` follows `frame` in the stream without a hole.
bool Touches(Frame* frame, Frame* next) {
  const auto& cb = frame->Cb<TcpRxCb>();
  return !cb.fin && cb.seq + frame->len == next->Cb<TcpRxCb>().seq;
}

// Puts what follows each frame into it, as far as it fits.
void Collapse(TcpContext& context, runtime::FrameQueue& queue, bool in_order) {
  for (Frame* frame = queue.head(); frame != nullptr;) {
    Frame* next = frame->next;
    if (next == nullptr) return;
    if ((in_order || Touches(frame, next)) && TcpCoalesce(context, frame, *next)) {
      frame->Cb<TcpRxCb>().fin = next->Cb<TcpRxCb>().fin;
      runtime::Unref(queue.RemoveAfter(frame));
    } else {
      frame = next;
    }
  }
}

// Connections that TcpReclaim looks at in a turn: a few, each perhaps a look into memory, which costs a burst of 64
// frames some percent; and as many as the burst has frames while that finds something.
constexpr uint32_t kFew = 8, kMany = 64;

// `frame`'s bytes behind those of `tail`, when that is a heap frame with room, or in a new one; nullptr: none left.
Frame* CopyToHeap(TcpContext& context, Frame* tail, Frame& frame) {
  IpContext& ip = context.ip;
  const bool fits = tail != nullptr && tail->pool != &ip.pool && tail->refs == 1 && tail->tailroom() >= frame.len;
  Frame* heap = fits ? tail : ip.AllocHeapFrame();
  if (heap == nullptr) return nullptr;
  if (!fits) heap->Cb<TcpRxCb>() = {.seq = frame.Cb<TcpRxCb>().seq, .fin = false};
  std::memcpy(heap->data + heap->len, frame.data, frame.len);
  heap->len += frame.len;
  ip.copied_bytes += frame.len;
  ip.copied_out_bytes += frame.len;
  return heap;
}

}  // namespace

bool TcpCoalesce(TcpContext& context, Frame* tail, const Frame& frame) {
  if (tail == nullptr || tail->refs != 1 || tail->tx_pending != 0 || tail->tailroom() < frame.len) return false;
  std::memcpy(tail->data + tail->len, frame.data, frame.len);
  tail->len += frame.len;
  context.ip.copied_bytes += frame.len;
  return true;
}

void TcpCollapseOfoQueue(TcpSock& sock) {
  if (TcpHasOfo(sock)) Collapse(sock.context, sock.loss->ofo_queue, /*in_order=*/false);
}
void TcpCollapseReceiveQueue(TcpSock& sock) { Collapse(sock.context, sock.receive_queue, /*in_order=*/true); }

void TcpHoldsOfo(TcpSock& sock) {
  TcpLoss& loss = TcpGetLoss(sock);
  if (!loss.linked()) sock.context.ofo_holders.PushBack(loss);
}

void TcpPruneOfoQueue(TcpSock& sock, uint32_t reserve) {
  runtime::FrameQueue& queue = sock.loss->ofo_queue;
  TcpContext& context = sock.context;
  const runtime::FramePool& pool = context.ip.pool;
  uint32_t goal = queue.count() / 8 + 1;
  if (pool.free_count() <= reserve) goal = std::max(goal, reserve + 1 - pool.free_count());
  const uint32_t keep = queue.count() > goal ? queue.count() - goal : 0;
  Frame* last = nullptr;
  for (uint32_t i = 0; i < keep; ++i) last = last == nullptr ? queue.head() : last->next;
  while (queue.count() > keep) {
    runtime::Unref(last == nullptr ? queue.PopFront() : queue.RemoveAfter(last));
    context.ip.outcomes.Count(DropReason::kTcpOfoPruned);
  }
  if (last == nullptr) {
    ForgetHolder(sock);
    return TcpSackCut(sock, sock.rcv.nxt);
  }
  const auto& cb = last->Cb<TcpRxCb>();
  TcpSackCut(sock, cb.seq + last->len + cb.fin);
  if (sock.sack.count == 0) TcpSackRebuild(sock);  // what was told of is gone, but not what was not
}

Frame* TcpCopyOfFrame(TcpSock& sock, Frame& frame) { return CopyToHeap(sock.context, nullptr, frame); }

void TcpCopyOut(TcpSock& sock) {
  runtime::FrameQueue& queue = sock.receive_queue;
  Frame* done = nullptr;  // the last of those that have gone round to the end of the queue
  for (uint32_t left = queue.count(); left > 0; --left) {
    Frame* frame = queue.PopFront();
    Frame* heap = frame->pool == &sock.context.ip.pool ? CopyToHeap(sock.context, done, *frame) : nullptr;
    if (heap != nullptr) runtime::Unref(std::exchange(frame, heap));
    if (frame != done) queue.PushBack(frame);
    done = frame;
  }
}

void TcpReclaim(TcpContext& context) {
  context.ip.TakeReturnedHeapFrames();
  const runtime::FramePool& pool = context.ip.pool;
  TcpReclaimState& state = context.reclaim;
  if (!TcpShareFrames(pool)) {
    state = {};
    return;
  }
  if (pool.free_count() > state.rests_above) return;
  const uint64_t before = context.ip.copied_out_bytes;
  state.buckets += context.demux.ForSome(state.found ? kMany : kFew, [](TcpSock& sock) {
    if (sock.reader == nullptr && !sock.receive_queue.empty()) TcpCopyOut(sock);
  });
  state.found = context.ip.copied_out_bytes != before;
  if (state.found) state.buckets = 0;
  if (state.buckets < context.demux.buckets()) return;
  // Nothing anywhere: others have the frames. So it stays until there are fewer still.
  state.buckets = 0;
  const uint32_t step = pool.size() / 64 + 1;
  state.rests_above = pool.free_count() > step ? pool.free_count() - step : 0;
}

void TcpBeforeHandOver(TcpSock& sock) {
  const runtime::FramePool& pool = sock.context.ip.pool;
  if (pool.charged() < pool.size() / 2) [[likely]] return;
  const bool trusted = sock.has_held() && sock.held() == 0;
  if (!trusted || pool.free_count() <= TcpSendReserve(pool)) TcpCopyOut(sock);
}

void TcpFrameBack(runtime::FrameHolder& holder) {
  auto& sock = static_cast<TcpSock&>(static_cast<ReadySock&>(holder));
  if (!sock.leftover()) return TcpCleanupRbuf(sock);
  if (sock.held() == 0) sock.context.FreeLeftover(sock);
}

bool TcpMakeRoom(TcpContext& context, TcpSock* sock, uint32_t reserve) {
  const runtime::FramePool& pool = context.ip.pool;
  const auto enough = [&] { return pool.free_count() > reserve; };
  if (!enough() && sock != nullptr && TcpHasOfo(*sock)) {
    TcpCollapseOfoQueue(*sock);
    if (!enough()) TcpPruneOfoQueue(*sock, reserve);
  }
  while (!enough() && !context.ofo_holders.empty()) {
    TcpSock& holder = context.ofo_holders.front().sock;
    if (!TcpHasOfo(holder)) {
      ForgetHolder(holder);
    } else {
      TcpPruneOfoQueue(holder, reserve);
    }
  }
  return enough();
}

Frame* TcpAllocFrame(TcpContext& context, TcpSock* sock, uint32_t reserve) {
  return TcpMakeRoom(context, sock, reserve) ? context.ip.pool.Alloc() : nullptr;
}

}  // namespace weir::netstack
