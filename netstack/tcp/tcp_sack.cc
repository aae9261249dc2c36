#include "netstack/tcp/tcp_sack.h"

#include <algorithm>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/wire/tcp.h"

namespace weir::netstack {
namespace {

void Remove(TcpSock& sock, size_t at) {
  SeqRange* blocks = sock.loss->ours;
  std::copy(blocks + at + 1, blocks + sock.sack.count, blocks + at);
  --sock.sack.count;
}

}  // namespace

void TcpSackNew(TcpSock& sock, Seq start, Seq end) {
  auto& sack = sock.sack;
  if (!sack.ok) return;
  SeqRange* const blocks = TcpGetLoss(sock).ours;
  for (size_t i = 0; i < sack.count;) {
    const SeqRange& block = blocks[i];
    if (block.start > end || block.end < start) {
      ++i;
      continue;
    }
    start = std::min(start, block.start, [](Seq a, Seq b) { return a < b; });
    end = std::max(end, block.end, [](Seq a, Seq b) { return a < b; });
    Remove(sock, i);
  }
  // With all in use the oldest is forgotten: it was told of often enough (RFC 2018 §4).
  sack.count = std::min<uint8_t>(sack.count + 1, TcpOptions::kMaxSackBlocks);
  std::copy_backward(blocks, blocks + sack.count - 1, blocks + sack.count);
  blocks[0] = {start, end};
}

void TcpSackRemove(TcpSock& sock) {
  for (size_t i = 0; i < sock.sack.count;) {
    if (sock.loss->ours[i].end <= sock.rcv.nxt) {
      Remove(sock, i);
    } else {
      ++i;
    }
  }
}

void TcpSackRebuild(TcpSock& sock) {
  sock.sack.count = 0;
  if (!TcpHasOfo(sock)) return;
  for (runtime::Frame* frame = sock.loss->ofo_queue.head(); frame != nullptr; frame = frame->next) {
    const auto& cb = frame->Cb<TcpRxCb>();
    TcpSackNew(sock, cb.seq, cb.seq + frame->len + cb.fin);
  }
}

void TcpSackCut(TcpSock& sock, Seq end) {
  auto& sack = sock.sack;
  for (size_t i = 0; i < sack.count;) {
    if (sock.loss->ours[i].start >= end) {
      Remove(sock, i);
      continue;
    }
    if (sock.loss->ours[i].end > end) sock.loss->ours[i].end = end;
    ++i;
  }
  // A duplicate of what is gone would be taken for a block of its own.
  if (sack.has_dsack && sock.loss->dsack.end > end) sack.has_dsack = false;
}

void TcpDsackSet(TcpSock& sock, Seq start, Seq end) {
  if (!sock.sack.ok || !sock.context.settings.dsack || start >= end) return;
  // Of several duplicates before the next ACK one can be told of; when they touch, all (tcp_dsack_extend).
  SeqRange& dsack = TcpGetLoss(sock).dsack;
  if (sock.sack.has_dsack && start <= dsack.end && end >= dsack.start) {
    if (start < dsack.start) dsack.start = start;
    if (end > dsack.end) dsack.end = end;
  } else if (!sock.sack.has_dsack) {
    dsack = {start, end};
  }
  sock.sack.has_dsack = true;
}

uint8_t TcpTakeSackBlocks(TcpSock& sock, std::span<std::byte> to) {
  auto& sack = sock.sack;
  uint8_t written = 0;
  const auto write = [&](const SeqRange& block) {
    TcpOptions::StoreSackBlock(&to[8 * written++], {block.start.value(), block.end.value()});
  };
  const size_t room = to.size() / 8;
  if (sack.has_dsack && room > 0) {
    write(sock.loss->dsack);
    sack.has_dsack = false;
  }
  for (size_t i = 0; i < sack.count && written < room; ++i) write(sock.loss->ours[i]);
  return written;
}

}  // namespace weir::netstack
