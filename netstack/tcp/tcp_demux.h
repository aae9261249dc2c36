// TcpDemux: which connection or listener a segment is for. Connections are found by a keyed hash of the four-tuple, so
// that a peer cannot choose colliding ones; listeners by port. Linux: __inet_lookup_established,
// __inet_lookup_listener.
#ifndef NETSTACK_TCP_TCP_DEMUX_H_
#define NETSTACK_TCP_TCP_DEMUX_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "netstack/ip/peer_shards.h"
#include "netstack/tcp/tcp_sock.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/siphash.h"

namespace weir::netstack {

class TcpDemux {
 public:
  // One bucket a connection, rounded up to a power of two, so chains are short at the bound.
  TcpDemux(const runtime::SipKey& key, uint32_t max_sockets);

  // Before anything is inserted: who is told which ports are in use here.
  void set_peers(PeerShards* peers) { peers_ = peers; }

  uint32_t Hash(const Endpoint& local, const Endpoint& remote) const;
  TcpSock* Find(const Endpoint& local, const Endpoint& remote) {
    if (TcpSock* sock = Recent(local, remote)) return sock;
    return Find(Hash(local, remote), local, remote);
  }
  // The same, for who knows the hash.
  TcpSock* Find(uint32_t hash, const Endpoint& local, const Endpoint& remote) {
    TcpSock* sock = First(hash);
    while (sock != nullptr && !IsOf(*sock, local, remote)) sock = Next(*sock);
    if (sock != nullptr) recent_[RecentSlot(local, remote)] = sock;
    return sock;
  }
  // One that was found lately, if it is that: segments come in trains, and from the same connections again. Who chooses
  // endpoints that share a slot only sees to it that they are looked for in the table.
  TcpSock* Recent(const Endpoint& local, const Endpoint& remote) const {
    TcpSock* sock = recent_[RecentSlot(local, remote)];
    return sock != nullptr && IsOf(*sock, local, remote) ? sock : nullptr;
  }
  // sock.local and remote are set and not in the table; `hash` is theirs.
  void Insert(TcpSock& sock, uint32_t hash);
  // Does nothing when it is not in the table.
  void Remove(TcpSock& sock);

  // The one that a SYN to `local` is for: bound to that address, else to all of its family, else to all.
  TcpListenSock* FindListener(const Endpoint& local) const;
  // Whether one listens that `local`, for IPv6 alone with `v6only`, would be in the way of.
  bool ListenerOverlaps(const Endpoint& local, bool v6only = false) const;
  void InsertListener(TcpListenSock& listener);
  void RemoveListener(TcpListenSock& listener);

  // For tcp_early_demux.h: the bucket of a hash, and the first connection in it.
  void PrefetchBucket(uint32_t hash) const { __builtin_prefetch(&buckets_[hash & mask_]); }
  void PrefetchHead(uint32_t hash) const {
    if (const TcpSock* sock = buckets_[hash & mask_]) __builtin_prefetch(&sock->hash, /*rw=*/1);
  }
  // The connections of a hash, which are of different endpoints; nullptr: no (more).
  TcpSock* First(uint32_t hash) const { return OfHash(buckets_[hash & mask_], hash); }
  static TcpSock* Next(const TcpSock& sock) { return OfHash(sock.hash_next, sock.hash); }

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

  // The same on the next `count` of them or a few more, round and round, with a bound on the buckets that are looked
  // into, most of which may be empty. `fn` leaves the table as it is.
  // Returns how many buckets that were.
  template <typename Fn>
  size_t ForSome(size_t count, Fn&& fn) {
    const size_t most = std::min<size_t>(4096, buckets_.size());
    size_t looks = 0;
    for (size_t seen = 0; looks < most && seen < count; ++looks) {
      some_ = (some_ + 1) & mask_;
      for (TcpSock* sock = buckets_[some_]; sock != nullptr; sock = sock->hash_next, ++seen) fn(*sock);
    }
    return looks;
  }
  size_t buckets() const { return buckets_.size(); }

 private:
  static constexpr size_t kListenBuckets = 256;
  // More than are active at once on most hosts, and 2 KiB, which stay in the caches.
  static constexpr size_t kRecent = 256;

  static size_t RecentSlot(const Endpoint& local, const Endpoint& remote) {
    return (remote.port ^ local.port ^ remote.ip.words()[1] >> 56) % kRecent;  // the last byte of the address
  }

  static bool IsOf(const TcpSock& sock, const Endpoint& local, const Endpoint& remote) {
    return sock.remote == remote && sock.local == local;
  }
  static TcpSock* OfHash(TcpSock* sock, uint32_t hash) {
    while (sock != nullptr && sock->hash != hash) sock = sock->hash_next;
    return sock;
  }

  runtime::SipKey key_;
  PeerShards* peers_ = nullptr;
  uint32_t mask_;
  uint32_t some_ = 0;  // the bucket that ForSome was at
  std::vector<TcpSock*> buckets_;
  std::array<TcpSock*, kRecent> recent_{};  // in the table
  std::array<TcpListenSock*, kListenBuckets> listeners_{};
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_DEMUX_H_
