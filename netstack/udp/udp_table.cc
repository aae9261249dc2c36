#include "netstack/udp/udp_table.h"

#include <cerrno>

namespace weir::netstack {

int UdpTable::Bind(UdpSock& sock, Endpoint local) {
  if (!local.ip.is_any() && !ip_.IsLocal(local.ip)) return EADDRNOTAVAIL;
  if (local.port == 0) {
    constexpr uint32_t kFirst = 32768, kCount = 61000 - kFirst;  // ip_local_port_range of Linux
    for (uint32_t tries = 0; tries < kCount && local.port == 0; ++tries) {
      const uint64_t draw[] = {++port_draws_};
      const auto port = static_cast<uint16_t>(kFirst + runtime::SipHash(ip_.secret, draw) % kCount);
      if (!Overlaps({local.ip, port})) local.port = port;
    }
    if (local.port == 0) return EADDRINUSE;
  } else if (Overlaps(local)) {
    return EADDRINUSE;
  }
  sock.local = local;
  UdpSock*& head = buckets_[local.port % kBuckets];
  sock.hash_next = head;
  head = &sock;
  return 0;
}

UdpSock* UdpTable::Lookup(const Endpoint& local) const {
  UdpSock* best = nullptr;
  for (UdpSock* sock = buckets_[local.port % kBuckets]; sock != nullptr; sock = sock->hash_next) {
    if (sock->local.port != local.port || !BoundTo(sock->local.ip, local.ip)) continue;
    if (sock->local.ip == local.ip) return sock;
    if (best == nullptr || best->local.ip == IpAddress()) best = sock;
  }
  return best;
}

bool UdpTable::Overlaps(const Endpoint& local) const {
  for (UdpSock* sock = buckets_[local.port % kBuckets]; sock != nullptr; sock = sock->hash_next) {
    const Endpoint& other = sock->local;
    if (other.port == local.port && (BoundTo(other.ip, local.ip) || BoundTo(local.ip, other.ip))) return true;
  }
  return false;
}

void UdpTable::Unbind(UdpSock& sock) {
  UdpSock** link = &buckets_[sock.local.port % kBuckets];
  while (*link != &sock) link = &(*link)->hash_next;
  *link = sock.hash_next;
  while (!sock.receive_queue.empty()) sock.receive_queue.Pop();
  if (sock.linked()) sock.Unlink();
}

}  // namespace weir::netstack
