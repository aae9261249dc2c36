#include "netstack/udp/udp_table.h"

#include <cerrno>

namespace weir::netstack {

int UdpTable::Bind(UdpSock& sock, Endpoint local) {
  if (local.ip.is_any()) local.ip = ip_.address.ip;
  if (!ip_.IsLocal(local.ip)) return EADDRNOTAVAIL;
  if (local.port == 0) {
    constexpr uint32_t kFirst = 32768, kCount = 61000 - kFirst;  // ip_local_port_range of Linux
    for (uint32_t tries = 0; tries < kCount && local.port == 0; ++tries) {
      const uint64_t draw[] = {++port_draws_};
      const auto port = static_cast<uint16_t>(kFirst + runtime::SipHash(ip_.secret, draw) % kCount);
      if (Lookup(port) == nullptr) local.port = port;
    }
    if (local.port == 0) return EADDRINUSE;
  } else if (Lookup(local.port) != nullptr) {
    return EADDRINUSE;
  }
  sock.local = local;
  UdpSock*& head = buckets_[local.port % kBuckets];
  sock.hash_next = head;
  head = &sock;
  return 0;
}

void UdpTable::Unbind(UdpSock& sock) {
  UdpSock** link = &buckets_[sock.local.port % kBuckets];
  while (*link != &sock) link = &(*link)->hash_next;
  *link = sock.hash_next;
  while (!sock.receive_queue.empty()) runtime::Unref(sock.receive_queue.Pop().frame);
  if (sock.linked()) sock.Unlink();
}

}  // namespace weir::netstack
