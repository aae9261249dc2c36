// Frames that run short, and what is given up for them. Of the N frames of the pool (each at least some, for tiny pools),
// while no more than so many are free:
//
//   N/8   a sender gets none, but for the first frame of an empty send queue
//   N/16  nor that one; nothing is queued out of order; an unread receive queue takes no more, and windows close
//   N/32  nor does an empty one; no segment is cut, but for what lies at snd.una
//   0     what is left goes to SYN, ACK, FIN, RST, and to what comes in
//
// From N/4 on, what waits for a reader is moved to heap frames (IpContext::AllocHeapFrame), so that the above is rare.
// Whoever meets its bound has what is queued out of order put together into fewer frames, and then given up, which the
// peer sends again (RFC 2018 §8): so what is in order, and output, always go on. Linux: tcp_prune_queue,
// tcp_prune_ofo_queue, tcp_collapse; here the frames are the shard's, so others' queues are given up too.
#ifndef NETSTACK_TCP_TCP_MEMORY_H_
#define NETSTACK_TCP_TCP_MEMORY_H_

#include <algorithm>
#include <cstdint>

#include "netstack/tcp/tcp_sock.h"
#include "runtime/buffer/frame_pool.h"

namespace weir::netstack {

// The bounds above. The least values let a handshake and one segment each way through a pool of 16 frames.
inline uint32_t TcpSendReserve(const runtime::FramePool& pool) { return std::max(pool.size() / 8, 6u); }
inline uint32_t TcpReceiveReserve(const runtime::FramePool& pool) { return std::max(pool.size() / 16, 4u); }
inline uint32_t TcpFrameFloor(const runtime::FramePool& pool) { return std::max(pool.size() / 32, 2u); }

// With less than a quarter of the pool free, small segments share frames where they can.
inline bool TcpShareFrames(const runtime::FramePool& pool) { return pool.free_count() < pool.size() / 4; }

// Appends `frame`'s bytes to `tail`, which they follow in the stream, when nobody else holds that one and they fit
// (tcp_try_coalesce). It bounds frames, not bytes: tiny segments would otherwise each keep a whole frame.
bool TcpCoalesce(TcpContext& context, runtime::Frame* tail, const runtime::Frame& frame);

// The same for neighbours in the out-of-order queue, and in the receive queue (tcp_collapse_ofo_queue, tcp_collapse).
void TcpCollapseOfoQueue(TcpSock& sock);
void TcpCollapseReceiveQueue(TcpSock& sock);

// Something was queued out of order: `sock` is one of those that TcpMakeRoom may take from.
void TcpHoldsOfo(TcpSock& sock);
// Gives up the end of what `sock` has queued out of order until more than `reserve` frames are free, an eighth of it at
// least (tcp_prune_ofo_queue). The sender is not told of it any more.
void TcpPruneOfoQueue(TcpSock& sock, uint32_t reserve);

// Frames that a program keeps in RecvBuffers count against their connection (sk_rmem_alloc): each as much as a full
// segment, whatever is in it, for that is what its memory could hold (truesize, and tcp_win_from_space).
inline uint64_t TcpHeldBytes(const TcpSock& sock) { return uint64_t{sock.held()} * sock.rcv.advmss; }
// Before `sock` hands what is queued to its program as frames. With half of the pool in programs' hands it is moved to
// heap frames first, but for a program that has given back all that it got before, while senders still get frames. So
// keeping RecvBuffers stalls whoever keeps them, and nobody else. They lie where they are then: a program may have
// looked at their addresses.
void TcpBeforeHandOver(TcpSock& sock);
// Notes that `frame` is in the program's hands.
inline void TcpHandOver(TcpSock& sock, runtime::Frame* frame) {
  sock.NoteHolds();
  frame->pool->Charge(frame, sock);
}
// FramePool::OnReturn: opens the window of the connection that `holder` is, or frees what nobody else holds any more.
void TcpFrameBack(runtime::FrameHolder& holder);
// A heap frame with the same payload; nullptr: none left.
runtime::Frame* TcpCopyOfFrame(TcpSock& sock, runtime::Frame& frame);
// Moves what is queued in order to heap frames, put together, as far as there are some.
void TcpCopyOut(TcpSock& sock);
// Once a turn: while less than a quarter of the pool is free, does so for some connections whose reader does not wait.
void TcpReclaim(TcpContext& context);

// True when more than `reserve` frames are free, after giving up what is queued out of order: first by `sock`, which may
// be nullptr, then by the others, from the one whose holes are oldest.
bool TcpMakeRoom(TcpContext& context, TcpSock* sock, uint32_t reserve);

// A frame when more than `reserve` are free, or can be made so; else nullptr.
runtime::Frame* TcpAllocFrame(TcpContext& context, TcpSock* sock, uint32_t reserve);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_MEMORY_H_
