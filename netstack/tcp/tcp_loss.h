// TcpLoss: what a connection has besides its control block while something is amiss on its way: data out of order, SACK
// blocks, what is to be sent again, and how to bring the congestion window down and back. Most connections have
// none most of the time. It comes from the recycler, at most one for each connection, so the steady state allocates
// nothing and there is no bound of its own to meet.
#ifndef NETSTACK_TCP_TCP_LOSS_H_
#define NETSTACK_TCP_TCP_LOSS_H_

#include <utility>

#include "netstack/tcp/tcp_prr.h"
#include "netstack/tcp/tcp_sock.h"
#include "runtime/base/recycler.h"
#include "runtime/buffer/frame_queue.h"

namespace weir::netstack {

// As a list node it is in TcpContext::ofo_holders while something may be queued out of order.
struct TcpLoss : runtime::Recycled, runtime::ListNode<TcpOfoTag> {
  explicit TcpLoss(TcpSock& sock) : sock(sock) {}

  TcpSock& sock;
  runtime::FrameQueue ofo_queue;  // out of order: sorted, without overlaps
  runtime::Frame* retransmit_hint = nullptr;  // no frame before it is to be sent again; nullptr: none at all
  runtime::Frame* sack_hint = nullptr;        // the last one that a SACK block marked
  SeqRange ours[4];    // that our ACKs tell of, newest first: tcp_sack.h
  SeqRange dsack;      // received twice
  SeqRange theirs[4];  // of the peer's last ACK that had some, sorted: tcp_scoreboard.h

  // Of the reduction, with recovery.has_undo: tcp_undo.h.
  Seq undo_marker;             // una when it began
  int32_t undo_retrans = 0;    // bytes sent again since and not reported as duplicates; -1: none sent again yet
  uint32_t retrans_stamp = 0;  // with recovery.has_retrans_stamp: TSval of the first retransmission
  uint32_t prior_cwnd = 0;
  uint32_t prior_ssthresh = 0;  // 0: not to be restored
  TcpPrr prr;                   // in CWR and Recovery
};

inline TcpLoss& TcpGetLoss(TcpSock& sock) {
  if (sock.loss == nullptr) sock.loss = new TcpLoss(sock);
  return *sock.loss;
}
inline bool TcpHasOfo(const TcpSock& sock) { return sock.loss != nullptr && !sock.loss->ofo_queue.empty(); }
inline uint32_t TcpOfoCount(const TcpSock& sock) { return sock.loss == nullptr ? 0 : sock.loss->ofo_queue.count(); }
inline void TcpClearOfo(TcpSock& sock) {
  if (sock.loss != nullptr) sock.loss->ofo_queue.Clear();
}
inline bool TcpWantsRetransmit(const TcpSock& sock) {
  return sock.loss != nullptr && sock.loss->retransmit_hint != nullptr;
}

inline void TcpFreeLoss(TcpSock& sock) {
  if (sock.loss != nullptr && sock.loss->linked()) sock.loss->Unlink();
  delete std::exchange(sock.loss, nullptr);
}

// Gives it back, at the end of a turn, when all is well, no block is to be told of or known, and nothing can be undone.
// A window that came down for good reasons can still turn out to have done so needlessly, so after a loss it is kept
// until the next one.
inline void TcpReleaseLoss(TcpSock& sock) {
  if (sock.loss == nullptr) return;
  const auto& recovery = sock.recovery;
  const bool amiss = recovery.state != TcpCaState::kOpen || recovery.has_undo || recovery.has_retrans_stamp;
  const bool blocks = sock.sack.count != 0 || sock.sack.has_dsack || sock.board.sacked_out != 0;
  if (amiss || blocks || !sock.loss->ofo_queue.empty()) return;
  TcpFreeLoss(sock);
}

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_LOSS_H_
