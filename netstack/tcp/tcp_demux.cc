#include "netstack/tcp/tcp_demux.h"

#include <bit>

namespace weir::netstack {

TcpDemux::TcpDemux(const runtime::SipKey& key, uint32_t max_sockets)
    : key_(key), mask_(std::bit_ceil(max_sockets) - 1), buckets_(size_t{mask_} + 1) {}

uint32_t TcpDemux::Hash(const Endpoint& local, const Endpoint& remote) const {
  const uint64_t ports = uint64_t{local.port} << 16 | remote.port;
  if (remote.ip.is_v4()) {
    const uint64_t words[] = {uint64_t{local.ip.v4()} << 32 | remote.ip.v4(), ports};
    return static_cast<uint32_t>(runtime::SipHash13(key_, words));
  }
  const auto a = local.ip.words(), b = remote.ip.words();
  const uint64_t words[] = {a[0], a[1], b[0], b[1], ports};
  return static_cast<uint32_t>(runtime::SipHash13(key_, words));
}

void TcpDemux::Insert(TcpSock& sock, uint32_t hash) {
  sock.hash = hash;
  sock.hash_next = buckets_[sock.hash & mask_];
  buckets_[sock.hash & mask_] = &sock;
  sock.hashed = true;
  if (peers_ != nullptr) [[unlikely]] peers_->UsePort(PortSpace::kTcp, sock.local.port);
}

void TcpDemux::Remove(TcpSock& sock) {
  if (!sock.hashed) return;
  TcpSock** link = &buckets_[sock.hash & mask_];
  while (*link != &sock) link = &(*link)->hash_next;
  *link = sock.hash_next;
  sock.hashed = false;
  if (peers_ != nullptr) [[unlikely]] peers_->LeavePort(PortSpace::kTcp, sock.local.port);
  TcpSock*& recent = recent_[RecentSlot(sock.local, sock.remote)];
  if (recent == &sock) recent = nullptr;
}

TcpListenSock* TcpDemux::FindListener(const Endpoint& local) const {
  TcpListenSock* best = nullptr;
  for (TcpListenSock* l = listeners_[local.port % kListenBuckets]; l != nullptr; l = l->hash_next) {
    if (l->local.port != local.port || !BoundTo(l->local.ip, l->v6only, local.ip)) continue;
    if (l->local.ip == local.ip) return l;
    if (best == nullptr || best->local.ip == IpAddress()) best = l;
  }
  return best;
}

bool TcpDemux::ListenerOverlaps(const Endpoint& local, bool v6only) const {
  for (TcpListenSock* l = listeners_[local.port % kListenBuckets]; l != nullptr; l = l->hash_next) {
    if (l->local.port != local.port) continue;
    if (BoundTo(l->local.ip, l->v6only, local.ip) || BoundTo(local.ip, v6only, l->local.ip)) return true;
  }
  return false;
}

void TcpDemux::InsertListener(TcpListenSock& listener) {
  TcpListenSock*& head = listeners_[listener.local.port % kListenBuckets];
  listener.hash_next = head;
  head = &listener;
  if (peers_ != nullptr) peers_->UsePort(PortSpace::kTcp, listener.local.port);
}

void TcpDemux::RemoveListener(TcpListenSock& listener) {
  TcpListenSock** link = &listeners_[listener.local.port % kListenBuckets];
  while (*link != &listener) link = &(*link)->hash_next;
  *link = listener.hash_next;
  if (peers_ != nullptr) peers_->LeavePort(PortSpace::kTcp, listener.local.port);
}

}  // namespace weir::netstack
