#include "netstack/udp/udp_table.h"

#include <cerrno>

#include "netstack/udp/udp_multicast.h"
#include "netstack/udp/udp_output.h"

namespace weir::netstack {
namespace {

bool MayBindTo(IpContext& ip, const IpAddress& address) {
  return address.is_any() || address.is_multicast() || ip.IsLocal(address) ||
         std::ranges::any_of(ip.interfaces, [&](const auto& interface) { return interface->IsBroadcast(address); });
}

// Which of the sockets that share a port gets a flow: the one with the largest (rendezvous hashing), so that a flow
// stays where it is while others come and go.
uint64_t FlowWeight(const runtime::SipKey& key, const UdpSock& sock, const Endpoint& local, const Endpoint& remote) {
  const uint64_t flow[] = {local.ip.words()[0],  local.ip.words()[1], remote.ip.words()[0], remote.ip.words()[1],
                           uint64_t{local.port} << 16 | remote.port,  sock.id};
  return runtime::SipHash(key, flow);
}

}  // namespace

UdpTable::~UdpTable() {
  ip_.ForgetHolders();
  while (ReadySock* sock = leftovers_.PopFront()) {
    sock->ForgetHeld();
    sock->on_ready(*sock, 0);
  }
}

void UdpTable::FrameBack(runtime::FrameHolder& holder) {
  auto& sock = static_cast<ReadySock&>(holder);
  if (sock.held() > 0) return;
  sock.Unlink();
  sock.on_ready(sock, 0);
}

int UdpTable::Bind(UdpSock& sock, Endpoint local) {
  if (!MayBindTo(ip_, local.ip)) return EADDRNOTAVAIL;
  if (local.port == 0) {
    constexpr uint32_t kFirst = 32768, kCount = 61000 - kFirst;  // ip_local_port_range of Linux
    for (uint32_t tries = 0; tries < kCount && local.port == 0; ++tries) {
      const uint64_t draw[] = {++port_draws_};
      const auto port = static_cast<uint16_t>(kFirst + runtime::SipHash(ip_.secret, draw) % kCount);
      if (Overlaps({local.ip, port})) continue;
      // Anybody may send to it, and is to find this socket.
      if (ip_.peers == nullptr || ip_.peers->UsePortAlone(space_, port)) local.port = port;
    }
    if (local.port == 0) return EADDRINUSE;
  } else if (Overlaps(local, &sock)) {
    return EADDRINUSE;
  } else if (ip_.peers != nullptr) {
    ip_.peers->UsePort(space_, local.port);
  }
  sock.local = local;
  sock.bound = local.ip;
  sock.id = ++ids_;
  UdpSock*& head = buckets_[local.port % kBuckets];
  sock.hash_next = head;
  head = &sock;
  NotePlain(local.port);
  return 0;
}

int UdpTable::Connect(UdpSock& sock, const Endpoint& peer) {
  Disconnect(sock);
  UdpRoute route;
  const int error = UdpFindRoute(*this, sock, peer, {}, &route);
  if (error != 0) return error;
  sock.remote = peer;
  if (sock.bound.is_any()) sock.local.ip = route.flow.source;
  NotePlain(sock.local.port);
  return 0;
}

void UdpTable::Disconnect(UdpSock& sock) {
  sock.remote = {};
  sock.local.ip = sock.bound;
  NotePlain(sock.local.port);
}

void UdpTable::NotePlain(uint16_t port) {
  UdpSock* head = buckets_[port % kBuckets];
  for (UdpSock* sock = head; sock != nullptr; sock = sock->hash_next) sock->plain_port = UdpSock::kNoPort;
  if (head == nullptr || head->hash_next != nullptr || head->remote.port != 0) return;
  if (head->local.ip == IpAddress() && !head->v6only) head->plain_port = head->local.port;
}

int UdpTable::Score(const UdpSock& sock, const Endpoint& local, const Endpoint& remote) {
  constexpr int kConnected = 4, kAddress = 2, kFamily = 1;
  if (sock.local.port != local.port || !BoundTo(sock.local.ip, sock.v6only, local.ip)) return -1;
  int score = 0;
  if (sock.remote.port != 0) {
    const bool scope_fits = sock.remote.scope_id == 0 || sock.remote.scope_id == remote.scope_id;
    if (sock.remote.port != remote.port || sock.remote.ip != remote.ip || !scope_fits) return -1;
    score += kConnected;
  }
  if (sock.local.ip == local.ip) return score + kAddress;
  return sock.local.ip == IpAddress() ? score : score + kFamily;
}

UdpSock* UdpTable::LookupPacket(const std::byte* ip) const {
  using runtime::LoadBe16, runtime::LoadBe32;
  const std::byte* udp = ip + Ipv4Header::kMinSize;
  return Lookup({IpAddress::V4(LoadBe32(ip + Ipv4Header::kDestinationOffset)),
                 LoadBe16(udp + UdpHeader::kDestinationPortOffset)},
                {IpAddress::V4(LoadBe32(ip + Ipv4Header::kSourceOffset)), LoadBe16(udp)});
}

UdpSock* UdpTable::Lookup(const Endpoint& local, const Endpoint& remote) const {
  UdpSock* best = nullptr;
  int best_score = -1;
  uint64_t best_weight = 0;
  for (UdpSock* sock = buckets_[local.port % kBuckets]; sock != nullptr; sock = sock->hash_next) {
    const int score = Score(*sock, local, remote);
    if (score < best_score || score < 0) continue;
    const uint64_t weight = sock->reuse_port ? FlowWeight(ip_.secret, *sock, local, remote) : 0;
    // Of equals the one that was bound last, as on Linux.
    if (score == best_score && weight <= best_weight) continue;
    best = sock;
    best_score = score;
    best_weight = weight;
  }
  return best;
}

bool UdpTable::Overlaps(const Endpoint& local, const UdpSock* sock) const {
  for (UdpSock* other = buckets_[local.port % kBuckets]; other != nullptr; other = other->hash_next) {
    if (other->local.port != local.port) continue;
    const bool v6only = sock != nullptr && sock->v6only;
    if (!BoundTo(other->local.ip, other->v6only, local.ip) && !BoundTo(local.ip, v6only, other->local.ip)) continue;
    const bool shared = sock != nullptr && ((sock->reuse_port && other->reuse_port) ||
                                            (sock->reuse_address && other->reuse_address));
    if (!shared) return true;
  }
  return false;
}

void UdpTable::Unbind(UdpSock& sock) {
  UdpLeaveAllGroups(*this, sock);
  UdpSock** link = &buckets_[sock.local.port % kBuckets];
  while (*link != &sock) link = &(*link)->hash_next;
  *link = sock.hash_next;
  if (ip_.peers != nullptr) ip_.peers->LeavePort(space_, sock.local.port);
  NotePlain(sock.local.port);
  sock.receive_queue.Clear();
  if (sock.linked()) sock.Unlink();
}

}  // namespace weir::netstack
