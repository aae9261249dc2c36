// TcpDemux: which connection or listener a segment is for. Connections are found by a keyed hash of the four-tuple, so
// that a peer cannot choose colliding ones; listeners by port. Linux: __inet_lookup_established,
// __inet_lookup_listener.
#ifndef NETSTACK_TCP_TCP_DEMUX_H_
#define NETSTACK_TCP_TCP_DEMUX_H_

#include <array>
#include <cstdint>
#include <vector>

#include "netstack/tcp/tcp_sock.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/siphash.h"

namespace weir::netstack {

class TcpDemux {
 public:
  // One bucket a connection, rounded up to a power of two, so chains are short at the bound.
  TcpDemux(const runtime::SipKey& key, uint32_t max_sockets);

  uint32_t Hash(const Endpoint& local, const Endpoint& remote) const;
  TcpSock* Find(const Endpoint& local, const Endpoint& remote) const;
  // sock.local and remote are set and not in the table.
  void Insert(TcpSock& sock);
  // Does nothing when it is not in the table.
  void Remove(TcpSock& sock);

  // The one that a SYN to `local` is for: bound to that address, else to all of its family, else to all.
  TcpListenSock* FindListener(const Endpoint& local) const;
  // Whether one listens that `local` would be in the way of.
  bool ListenerOverlaps(const Endpoint& local) const;
  void InsertListener(TcpListenSock& listener);
  void RemoveListener(TcpListenSock& listener);

  // Calls `fn` on every connection; `fn` may remove the one it is given.
  template <typename Fn>
  void ForEach(Fn&& fn) {
    for (TcpSock* sock : buckets_) {
      while (sock != nullptr) {
        TcpSock* next = sock->hash_next;
        fn(*sock);
        sock = next;
      }
    }
  }

 private:
  static constexpr size_t kListenBuckets = 256;

  runtime::SipKey key_;
  uint32_t mask_;
  std::vector<TcpSock*> buckets_;
  std::array<TcpListenSock*, kListenBuckets> listeners_{};
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_DEMUX_H_
