// The receiver's half of selective acknowledgment (RFC 2018) and of duplicate SACK (RFC 2883): which blocks our ACKs
// tell of. The sender's half is tcp_scoreboard.h.
//
// The blocks are kept as they change: the out-of-order queue knows what is there, but not what came last, which goes
// first (RFC 2018 §4). Linux: tcp_sack_new_ofo_skb, tcp_sack_remove, tcp_dsack_set.
#ifndef NETSTACK_TCP_TCP_SACK_H_
#define NETSTACK_TCP_TCP_SACK_H_

#include <span>

#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

inline bool TcpHasSackBlocks(const TcpSock& sock) { return sock.sack.count != 0 || sock.sack.has_dsack; }

// [start, end) came out of order: its block, joined with what it touches, is the first one now.
void TcpSackNew(TcpSock& sock, Seq start, Seq end);
// rcv.nxt went on: blocks below it are over.
void TcpSackRemove(TcpSock& sock);
// What is queued out of order was given up in part: the blocks are made anew from the queue.
void TcpSackRebuild(TcpSock& sock);
// What was queued out of order from `end` on is given up, which RFC 2018 §8 allows, and not told of any more.
void TcpSackCut(TcpSock& sock, Seq end);

// [start, end) had been received before; the next ACK says so (RFC 2883 §4).
void TcpDsackSet(TcpSock& sock, Seq start, Seq end);

// Writes the blocks that go into one segment, as many as `to` holds, and returns how many. A duplicate is told of once,
// first (RFC 2883 §4).
uint8_t TcpTakeSackBlocks(TcpSock& sock, std::span<std::byte> to);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_SACK_H_
