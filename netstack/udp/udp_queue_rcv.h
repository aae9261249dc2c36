// A datagram to a socket (udp_queue_rcv_skb of Linux).
#ifndef NETSTACK_UDP_UDP_QUEUE_RCV_H_
#define NETSTACK_UDP_UDP_QUEUE_RCV_H_

#include <utility>

#include "netstack/udp/udp_table.h"

namespace weir::netstack {

// Queues the datagram, which lies in frames of `pool`, as UdpReceiveQueue takes it, and marks the socket ready. False,
// and counted: there is no room.
template <typename Waiting>
inline bool UdpQueueRcv(UdpTable& table, UdpSock& sock, const runtime::FramePool& pool, Waiting&& datagram) {
  // The pool's last frames are for receiving and answering; sockets that nobody reads do not get them.
  if (!pool.short_of_frames() && sock.receive_queue.Push(std::forward<Waiting>(datagram))) [[likely]] {
    table.ip().Ready(sock, ReadySock::kReadable);
    return true;
  }
  ++sock.dropped;
  return false;
}

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_QUEUE_RCV_H_
