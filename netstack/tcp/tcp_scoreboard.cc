#include "netstack/tcp/tcp_scoreboard.h"

#include <algorithm>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_rack.h"
#include "netstack/tcp/tcp_loss.h"

namespace weir::netstack {
namespace {

using runtime::Frame;

TcpTxCb& Cb(Frame* frame) { return frame->Cb<TcpTxCb>(); }

// Takes `bytes` of a frame out of the sums that it is in.
void Discount(TcpSock& sock, const TcpTxCb& cb, uint32_t bytes) {
  auto& board = sock.board;
  if (cb.has(TcpTxCb::kSacked)) board.sacked_out -= bytes;
  if (cb.has(TcpTxCb::kLost)) board.lost_out -= bytes;
  if (cb.has(TcpTxCb::kRetrans)) board.retrans_out -= bytes;
}

// How often a frame that was sent is in flight.
uint16_t InFlight(const TcpTxCb& cb) {
  return static_cast<uint16_t>(1 - cb.has(TcpTxCb::kSacked) - cb.has(TcpTxCb::kLost) + cb.has(TcpTxCb::kRetrans));
}

void SetLost(TcpSock& sock, TcpTxCb& cb, bool lost) {
  if (cb.has(TcpTxCb::kLost) == lost) return;
  cb.flags ^= TcpTxCb::kLost;
  sock.board.lost_out += lost ? cb.size() : 0u - cb.size();
  sock.board.packets_in_flight += lost ? -1 : 1;
}

void ClearRetrans(TcpSock& sock, TcpTxCb& cb) {
  if (!cb.has(TcpTxCb::kRetrans)) return;
  cb.flags &= static_cast<uint8_t>(~TcpTxCb::kRetrans);
  sock.board.retrans_out -= cb.size();
  --sock.board.packets_in_flight;
}

// A frame arrived, as far as is known for the first time.
void Delivered(TcpSock& sock, const TcpTxCb& cb, TcpAckState& ack) {
  ack.delivered += cb.size();
  ++ack.delivered_packets;
  TcpRackAdvance(sock, cb, ack);
  // RFC 5682 §3.1, step 3: what was sent once, before the timeout.
  if (cb.retransmits == 0 && cb.end() <= sock.recovery.high_seq) ack.orig_acked = true;
}

void Acked(TcpSock& sock, const TcpTxCb& cb, TcpAckState& ack) {
  if (!cb.has(TcpTxCb::kSacked)) Delivered(sock, cb, ack);
  if (cb.retransmits != 0) {
    ack.retrans_acked = true;
  } else if (!cb.has(TcpTxCb::kSacked)) {
    ack.last_rtt_ns = ack.now_ns - cb.sent_ns;
    if (ack.first_rtt_ns == 0) ack.first_rtt_ns = ack.last_rtt_ns;
  }
}

// The frame lies in a block of the peer's (tcp_sacktag_one).
void Sacked(TcpSock& sock, Frame* frame, TcpAckState& ack) {
  TcpTxCb& cb = Cb(frame);
  if (cb.has(TcpTxCb::kSacked)) return;
  Delivered(sock, cb, ack);
  if (cb.retransmits == 0 && ack.sack_rtt_ns == 0) ack.sack_rtt_ns = ack.now_ns - cb.sent_ns;
  // The retransmission of what was lost has arrived, or was not needed. That of a loss probe may still be under way.
  if (cb.has(TcpTxCb::kLost)) ClearRetrans(sock, cb);
  SetLost(sock, cb, false);
  cb.flags |= TcpTxCb::kSacked;
  sock.board.sacked_out += cb.size();
  ++sock.board.sacked_frames;
  --sock.board.packets_in_flight;
  ack.data_sacked = true;
}

// Whether a block is possible (tcp_is_sackblock_valid): in what is outstanding, or, when it tells of a duplicate, in
// what was sent before, and not larger than any window (tcp_dsack_seen).
bool BlockValid(const TcpSock& sock, const SeqRange& block, bool duplicate) {
  if (block.start >= block.end || block.end > sock.snd.nxt) return false;
  if (duplicate) return static_cast<uint32_t>(block.end - block.start) <= sock.snd.max_wnd;
  return block.start > sock.snd.una;
}

// RFC 2883 §4: the first block tells of a duplicate when it is below the acknowledgment, or within the second block.
bool IsDsack(const SeqRange& first, const SeqRange* second, Seq ack) {
  return first.start < ack || (second != nullptr && first.start >= second->start && first.end <= second->end);
}

void Dsack(TcpSock& sock, const SeqRange& block, TcpAckState& ack) {
  auto& recovery = sock.recovery;
  ack.dsack = true;
  TcpRackSawDsack(sock);
  if (recovery.tlp && recovery.tlp_retrans && block.end == recovery.tlp_high_seq) ack.dsack_of_probe = true;
  // Each retransmission that turns out to have been one too many (tcp_dsack_seen).
  if (recovery.has_undo && sock.loss->undo_retrans > 0 && block.end > sock.loss->undo_marker) {
    const int32_t bytes = block.end - block.start;
    sock.loss->undo_retrans = std::max(sock.loss->undo_retrans - bytes, 0);
  }
}

// The part of `block` that the blocks of the ACK before did not have, when they had its front.
Seq NewPart(const TcpSock& sock, const SeqRange& block) {
  for (const SeqRange& known : sock.loss->theirs) {
    if (known.start != known.end && known.start <= block.start && block.start < known.end) return known.end;
  }
  return block.start;
}

// The walk of one ACK along the send queue.
struct SackWalk {
  Frame* at;        // not passed yet
  uint32_t passed;  // frames that were looked at, and not marked
};

// Marks the frames that lie wholly in `block`, which begins behind the earlier ones. Of one that lies in it in part the
// peer will ask for the rest, and get all of it: frames are as large as segments, so this happens only when the path MTU
// changed (tcp_match_skb_to_sack). False when the walk was too long.
bool TagBlock(TcpSock& sock, const SeqRange& block, SackWalk& walk, TcpAckState& ack) {
  const Seq from = NewPart(sock, block);
  if (from >= block.end) return true;
  // Blocks grow at their end, so mostly the walk begins where the last one ended.
  Frame*& at = walk.at;
  Frame* hint = sock.loss->sack_hint;
  if (hint != nullptr && at != nullptr && Cb(hint).end() <= from && Cb(hint).seq > Cb(at).seq) at = hint;
  for (; at != nullptr && at != sock.send_head && Cb(at).end() <= block.end; at = at->next) {
    ++sock.context.counters.sack_frames_visited;
    if (Cb(at).seq < block.start || Cb(at).has(TcpTxCb::kSacked)) {
      if (++walk.passed > kTcpSackWalk) return false;
      continue;
    }
    Sacked(sock, at, ack);
    sock.loss->sack_hint = at;
  }
  return true;
}

// Blocks of a segment that are possible and not about duplicates, in order; returns how many.
size_t TakeBlocks(TcpSock& sock, const TcpSegment& segment, TcpAckState& ack, SeqRange* blocks) {
  const TcpOptions& options = segment.options;
  size_t n = 0;
  const auto block_at = [&](size_t i) {
    const TcpSackBlock block = options.sack_block(i);
    return SeqRange{Seq(block.start), Seq(block.end)};
  };
  for (size_t i = 0; i < options.sack_blocks && i < TcpOptions::kMaxSackBlocks; ++i) {
    const SeqRange block = block_at(i);
    bool duplicate = false;
    if (i == 0) {
      const SeqRange second = options.sack_blocks > 1 ? block_at(1) : SeqRange{};
      duplicate = IsDsack(block, options.sack_blocks > 1 ? &second : nullptr, segment.ack);
    }
    if (!BlockValid(sock, block, duplicate)) continue;
    if (duplicate) Dsack(sock, block, ack);
    else blocks[n++] = block;
  }
  std::sort(blocks, blocks + n, [](const SeqRange& a, const SeqRange& b) { return a.start < b.start; });
  return n;
}

// What duplicate ACKs mean is bounded by what is outstanding, less the hole that they are about
// (tcp_limit_reno_sacked).
void LimitRenoSacks(TcpSock& sock) {
  const auto outstanding = static_cast<uint32_t>(sock.snd.nxt - sock.snd.una);
  const uint32_t holes = std::min(std::max<uint32_t>(sock.board.lost_out, sock.snd.mss), outstanding);
  sock.board.sacked_out = std::min(sock.board.sacked_out, outstanding - holes);
}

// A frame leaves the front of the send queue, and where a walk would begin moves with it.
void ForgetFrame(TcpSock& sock, const Frame* frame) {
  TcpLoss& loss = *sock.loss;
  if (frame == loss.retransmit_hint) loss.retransmit_hint = frame->next == sock.send_head ? nullptr : frame->next;
  if (frame == loss.sack_hint) loss.sack_hint = nullptr;
}

}  // namespace

void TcpPacketSplit(TcpSock& sock, const TcpTxCb& rest) {
  if (rest.sent_ns == 0) return;
  ++sock.usage.packets_out;
  sock.board.packets_in_flight += InFlight(rest);
  if (rest.has(TcpTxCb::kSacked)) ++sock.board.sacked_frames;
}

void TcpPacketsJoin(TcpSock& sock, Frame* frame) {
  auto& board = sock.board;
  TcpTxCb& cb = Cb(frame);
  const TcpTxCb& next = Cb(frame->next);
  Discount(sock, next, next.size());
  board.packets_in_flight -= InFlight(next);
  --sock.usage.packets_out;
  if (cb.has(TcpTxCb::kLost)) board.lost_out += next.size();
  if (cb.has(TcpTxCb::kRetrans)) board.retrans_out += next.size();
  cb.flags |= next.flags & TcpTxCb::kFin;
  cb.retransmits = std::max(cb.retransmits, next.retransmits);
  if (sock.loss->retransmit_hint == frame->next) sock.loss->retransmit_hint = frame;
  if (sock.loss->sack_hint == frame->next) sock.loss->sack_hint = frame;
  if (!sock.sack.ok) LimitRenoSacks(sock);
}

void TcpMarkRetransmitted(TcpSock& sock, TcpTxCb& cb) {
  if (cb.has(TcpTxCb::kRetrans)) return;
  cb.flags |= TcpTxCb::kRetrans;
  sock.board.retrans_out += cb.size();
  ++sock.board.packets_in_flight;
}

void TcpCleanSendQueue(TcpSock& sock, TcpAckState& ack) {
  auto& board = sock.board;
  while (!sock.send_queue.empty()) {
    Frame* frame = sock.send_queue.head();
    TcpTxCb& cb = Cb(frame);
    if (cb.end() > sock.snd.una) {
      if (cb.seq < sock.snd.una) {
        const auto gone = static_cast<uint16_t>(sock.snd.una - cb.seq);
        Discount(sock, cb, gone);
        if (!cb.has(TcpTxCb::kSacked)) ack.delivered += gone;
        if (cb.retransmits != 0) ack.retrans_acked = true;
        cb.seq = sock.snd.una;
        cb.offset = static_cast<uint16_t>(cb.offset + gone);
        cb.length = static_cast<uint16_t>(cb.length - gone);
      }
      break;
    }
    Acked(sock, cb, ack);
    Discount(sock, cb, cb.size());
    --sock.usage.packets_out;
    board.packets_in_flight -= InFlight(cb);
    if (cb.has(TcpTxCb::kSacked)) --board.sacked_frames;
    if (sock.loss != nullptr) [[unlikely]] ForgetFrame(sock, frame);
    runtime::Unref(sock.send_queue.PopFront());
  }
}

void TcpSackTag(TcpSock& sock, const TcpSegment& segment, TcpAckState& ack) {
  SeqRange blocks[TcpOptions::kMaxSackBlocks];
  const size_t n = TakeBlocks(sock, segment, ack, blocks);
  if (n == 0) return;
  TcpLoss& known = TcpGetLoss(sock);
  SackWalk walk{.at = sock.send_queue.head(), .passed = 0};
  for (size_t i = 0; i < n; ++i) {
    if (TagBlock(sock, blocks[i], walk, ack)) continue;
    std::fill(std::begin(known.theirs), std::end(known.theirs), SeqRange{});
    return;
  }
  std::copy(blocks, blocks + n, known.theirs);
  std::fill(known.theirs + n, std::end(known.theirs), SeqRange{});
}

void TcpMarkLost(TcpSock& sock, Frame* frame, TcpAckState& ack) {
  TcpTxCb& cb = Cb(frame);
  if (cb.has(TcpTxCb::kSacked)) return;
  if (cb.has(TcpTxCb::kRetrans)) {
    ClearRetrans(sock, cb);  // lost too: it was sent later than what it repeats
    ack.lost_retrans = true;
  } else if (cb.has(TcpTxCb::kLost)) {
    return;
  }
  SetLost(sock, cb, true);
  ack.lost += cb.size();
  Frame*& hint = TcpGetLoss(sock).retransmit_hint;
  if (hint == nullptr || cb.seq < Cb(hint).seq) hint = frame;
  if (!sock.sack.ok) LimitRenoSacks(sock);
}

void TcpUnmarkLost(TcpSock& sock) {
  for (Frame* frame = sock.send_queue.head(); frame != sock.send_head; frame = frame->next) {
    SetLost(sock, Cb(frame), false);
  }
  if (sock.loss != nullptr) sock.loss->retransmit_hint = nullptr;
}

void TcpForgetSacks(TcpSock& sock) {
  auto& board = sock.board;
  for (Frame* frame = sock.send_queue.head(); frame != sock.send_head; frame = frame->next) {
    Cb(frame).flags &= static_cast<uint8_t>(~TcpTxCb::kSacked);
  }
  board.packets_in_flight += board.sacked_frames;
  board.sacked_out = 0;
  board.sacked_frames = 0;
  if (sock.loss == nullptr) return;
  sock.loss->sack_hint = nullptr;
  std::ranges::fill(sock.loss->theirs, SeqRange{});
}

void TcpPurgeSendQueue(TcpSock& sock) {
  sock.send_queue.Clear();
  sock.send_head = nullptr;
  sock.board = {};
  sock.usage.packets_out = 0;
  if (sock.loss != nullptr) sock.loss->retransmit_hint = sock.loss->sack_hint = nullptr;
}

void TcpAddRenoSack(TcpSock& sock, TcpAckState& ack) {
  if (!ack.duplicate) return;
  const uint32_t before = sock.board.sacked_out;
  if (sock.dup_acks < 255) ++sock.dup_acks;
  sock.board.sacked_out += sock.snd.mss;
  LimitRenoSacks(sock);
  if (sock.board.sacked_out > before) ack.delivered += sock.board.sacked_out - before;
}

void TcpRemoveRenoSacks(TcpSock& sock, TcpAckState& ack) {
  auto& board = sock.board;
  // The bytes that duplicate ACKs stood for were counted then.
  const uint32_t counted = std::min(board.sacked_out, ack.acked > sock.snd.mss ? ack.acked - sock.snd.mss : 0);
  ack.delivered -= std::min(ack.delivered, counted);
  board.sacked_out -= counted;
  LimitRenoSacks(sock);
}

void TcpResetRenoSacks(TcpSock& sock) {
  sock.board.sacked_out = 0;
  sock.dup_acks = 0;
}

}  // namespace weir::netstack
