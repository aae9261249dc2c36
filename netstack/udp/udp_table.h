// UDP sockets of one shard and their demultiplexing (RFC 768, RFC 1122 §4.1). No coroutines: a datagram that arrives
// is queued and the socket marked ready.
#ifndef NETSTACK_UDP_UDP_TABLE_H_
#define NETSTACK_UDP_UDP_TABLE_H_

#include <array>
#include <cstdint>
#include <utility>

#include "netstack/ip/ip_context.h"
#include "runtime/base/fixed_ring.h"
#include "runtime/base/ip_address.h"
#include "runtime/buffer/frame_chain.h"

namespace weir::netstack {

// A received datagram: its payload, in the frame or, when it came in fragments, the frames that it lies in.
struct UdpDatagram {
  runtime::FrameChain data;
  Endpoint source;
  Endpoint destination;
};

// The datagrams that wait for a reader.
class UdpReceiveQueue {
 public:
  // Linux's default receive buffer (212,992 bytes) holds about this many small datagrams, counted with their overhead
  // of 768 bytes each; here each costs a frame, and one of 64 KiB about 45.
  static constexpr size_t kMaxFrames = 256;

  UdpReceiveQueue() : ring_(kMaxFrames) {}

  // False, and `datagram` untouched, when there is no room for it.
  bool Push(UdpDatagram&& datagram) {
    const size_t frames = datagram.data.buffers().size();
    if (frames_ + frames > kMaxFrames) return false;
    frames_ += frames;
    return ring_.Push(std::move(datagram));
  }
  UdpDatagram Pop() {
    frames_ -= ring_.Front().data.buffers().size();
    return ring_.Pop();
  }
  UdpDatagram& Front() { return ring_.Front(); }
  bool empty() const { return ring_.empty(); }
  size_t size() const { return ring_.size(); }

 private:
  runtime::FixedRing<UdpDatagram> ring_;  // a datagram has at least one frame
  size_t frames_ = 0;
};

struct UdpSock : ReadySock {
  Endpoint local;
  UdpSock* hash_next = nullptr;
  UdpReceiveQueue receive_queue;
};

class UdpTable {
 public:
  explicit UdpTable(IpContext& ip) : ip_(ip) {}
  UdpTable(const UdpTable&) = delete;

  // Binds `sock` to `local`; port 0 takes a free one of 32768…60999, at random (RFC 6056 §3.3.1). Returns 0, EADDRINUSE,
  // or EADDRNOTAVAIL when the address is not ours.
  int Bind(UdpSock& sock, Endpoint local);
  // Drops what is queued.
  void Unbind(UdpSock& sock);

  // The socket that a datagram to `local` is for, bound to that address or to all; nullptr without one.
  UdpSock* Lookup(const Endpoint& local) const;
  IpContext& ip() { return ip_; }

 private:
  static constexpr size_t kBuckets = 1024;

  // Whether a socket is there that one bound to `local` would be in the way of.
  bool Overlaps(const Endpoint& local) const;

  IpContext& ip_;
  uint64_t port_draws_ = 0;
  std::array<UdpSock*, kBuckets> buckets_{};
};

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_TABLE_H_
