// UDP sockets of one shard and their demultiplexing (RFC 768, RFC 1122 §4.1). No coroutines: a datagram that arrives
// is queued and the socket marked ready.
#ifndef NETSTACK_UDP_UDP_TABLE_H_
#define NETSTACK_UDP_UDP_TABLE_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "netstack/ip/ip_context.h"
#include "netstack/ip/ip_output.h"
#include "netstack/udp/udp_options.h"
#include "netstack/udp/udp_receive_queue.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/udp.h"
#include "runtime/base/byte_order.h"
#include "runtime/base/ip_address.h"

namespace weir::netstack {

struct UdpSock : ReadySock {
  // net.ipv4.igmp_max_memberships of Linux; here it holds for IPv6 too.
  static constexpr size_t kMaxMemberships = 20;

  explicit UdpSock(const UdpBindOptions& options = {})
      : ReadySock(Kind::kUdp),
        receive_queue(*this, std::clamp<size_t>(options.receive_queue, 1, UdpBindOptions::kMaxReceiveQueue)),
        reuse_port(options.reuse_port),
        reuse_address(options.reuse_address) {}

  Endpoint local;    // while connected with the address that the peer sees
  Endpoint remote;   // port 0: not connected
  IpAddress bound;   // the address that Bind was told
  UdpSock* hash_next = nullptr;
  static constexpr uint32_t kNoPort = 1 << 16;
  // `local`'s, while it gets all that is sent there to this host alone: UdpTable::LookupPlain.
  uint32_t plain_port = kNoPort;
  UdpReceiveQueue receive_queue;
  std::vector<std::unique_ptr<MulticastMembership>> memberships;
  uint64_t id = 0;       // of this binding
  uint64_t dropped = 0;  // datagrams for which the queue had no room
  bool reuse_port;
  bool reuse_address;
  bool v6only = false;          // IPV6_V6ONLY: "::" stands for no IPv4 address
  bool recverr = false;         // IP_RECVERR: every ICMP error is told, connected or not
  bool connected_ping = false;  // of ping.h
  PmtuDiscovery pmtu_discovery = PmtuDiscovery::kWant;  // IP_MTU_DISCOVER

  // See UdpOption. ttl 0: the interface's.
  uint8_t ttl = 0;
  uint8_t tos = 0;
  uint8_t multicast_ttl = 1;  // RFC 1112 §6.1
  bool multicast_loop = true;
  bool broadcast = false;
  uint32_t multicast_interface = 0;
};

class UdpTable {
 public:
  explicit UdpTable(IpContext& ip, PortSpace space = PortSpace::kUdp) : ip_(ip), space_(space) {
    ip.pool.SetOnReturn(runtime::FrameHolder::Kind::kUdp, &FrameBack);
  }
  ~UdpTable();
  UdpTable(const UdpTable&) = delete;

  // Binds `sock` to `local`, which may be a group's or a broadcast address too: then it gets nothing else. Port 0 takes
  // a free one of 32768…60999, at random (RFC 6056 §3.3.1). A port that another shard has is no obstacle, unless it is
  // drawn. Returns 0, EADDRINUSE, or EADDRNOTAVAIL when the address is not ours.
  int Bind(UdpSock& sock, Endpoint local);
  // Leaves the groups, and drops what is queued.
  void Unbind(UdpSock& sock);

  // From now on `sock` gets datagrams of `peer` alone. Returns 0; EINVAL: no address or port; EACCES: a broadcast
  // address without kBroadcast; ENETUNREACH: no route, or no address of ours that fits. Linux: ip4_datagram_connect.
  int Connect(UdpSock& sock, const Endpoint& peer);
  void Disconnect(UdpSock& sock);

  // The socket that a datagram from `remote` to `local`, sent to this host alone, is for: the one that says most about
  // it; among those with reuse_port the one that the flow's hash names. nullptr without one. Linux: compute_score,
  // reuseport_select_sock.
  UdpSock* Lookup(const Endpoint& local, const Endpoint& remote = {}) const;
  // The same for a packet at its IPv4 header, which has no options. Mostly there is one socket in the bucket, bound to
  // any address and not connected: it says so in its plain_port.
  UdpSock* LookupPlain(const std::byte* ip) const {
    const uint16_t port = runtime::LoadBe16(ip + Ipv4Header::kMinSize + UdpHeader::kDestinationPortOffset);
    UdpSock* sock = buckets_[port % kBuckets];
    return sock != nullptr && sock->plain_port == port ? sock : LookupPacket(ip);
  }
  // Calls fn(UdpSock&) on each that a datagram from `remote` to `local` may be for, whatever it says of groups.
  template <typename Fn>
  void ForEachMatching(const Endpoint& local, const Endpoint& remote, Fn&& fn) {
    for (UdpSock* sock = buckets_[local.port % kBuckets]; sock != nullptr; sock = sock->hash_next) {
      if (Score(*sock, local, remote) >= 0) fn(*sock);
    }
  }
  // `sock` was unbound, and nobody holds it any more but the frames that a program keeps; when they have come back, its
  // on_ready is called once more, with nothing.
  void Leave(UdpSock& sock) {
    sock.BecomeLeftover();
    leftovers_.PushBack(sock);
  }
  IpContext& ip() { return ip_; }

 private:
  static void FrameBack(runtime::FrameHolder& holder);  // FramePool::OnReturn
  static constexpr size_t kBuckets = 1024;

  // How much `sock` says about such a datagram; below 0: it is not for it.
  static int Score(const UdpSock& sock, const Endpoint& local, const Endpoint& remote);
  UdpSock* LookupPacket(const std::byte* ip) const;
  // After a change of what is in the port's bucket, or of what a socket there says.
  void NotePlain(uint16_t port);
  // Whether a socket is there that one bound to `local` would be in the way of; `sock` may allow it.
  bool Overlaps(const Endpoint& local, const UdpSock* sock = nullptr) const;

  IpContext& ip_;
  const PortSpace space_;  // which other shards use the same ports in
  runtime::List<ReadySock, ReadySock> leftovers_;
  uint64_t port_draws_ = 0;
  uint64_t ids_ = 0;
  std::array<UdpSock*, kBuckets> buckets_{};
};

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_TABLE_H_
