#include "netstack/tcp/tcp_memory.h"

#include <cstring>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_sack.h"

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
