// IpContext: what the network layer of one shard knows: its interfaces, routes, and the shard's frames, timers and
// counters (the part of Linux's struct net that matters here). Owned by Inet; belongs to one shard.
#ifndef NETSTACK_IP_IP_CONTEXT_H_
#define NETSTACK_IP_IP_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "netstack/drop_reason.h"
#include "netstack/ip/flow_label.h"
#include "netstack/ip/fragment_id.h"
#include "netstack/ip/interface.h"
#include "netstack/ip/local_table.h"
#include "netstack/ip/netfilter.h"
#include "netstack/ip/path_mtu.h"
#include "netstack/ip/peer_shards.h"
#include "netstack/ip/rate_limit.h"
#include "netstack/ip/reassembly.h"
#include "netstack/ip/route.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/siphash.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/buffer/frame_pool.h"

namespace weir::netstack {

// A socket that something happened to. Protocol input puts it on IpContext::ready and sets event bits; after the burst
// the socket layer takes the list and wakes the coroutines. This is all that protocol code knows of waiting.
struct ReadySock;

// What the socket layer registered; nullptr when no program holds the socket.
struct ReadyOwner {
  void (*on_ready)(ReadySock& sock, uint8_t events) = nullptr;
  void* owner = nullptr;
};

struct ReadySock : runtime::ListNode<ReadySock>, ReadyOwner, runtime::FrameHolder {
  static constexpr uint8_t kReadable = 1;
  static constexpr uint8_t kWritable = 2;
  static constexpr uint8_t kConnected = 4;  // or failed to
  static constexpr uint8_t kError = 8;

  explicit ReadySock(Kind kind = Kind::kTcp) : FrameHolder(kind) {}

  uint8_t events = 0;
};
static_assert(sizeof(ReadySock) == 40);  // with three bytes behind `events` for who derives from it

struct InterfaceOptions {
  NetDeviceOptions device;
  std::vector<IpPrefix> addresses;  // each brings the route to its network
  std::vector<IpAddress> gateways;  // default routes: at most one a family
};

struct IpOptions {
  std::vector<InterfaceOptions> interfaces;
  runtime::SipKey secret;
  int shard = 0;  // of the host's, which share the secret
  // Pass on what is for other hosts (ip_forward and ipv6.conf.all.forwarding of Linux).
  bool forwarding = false;
};

// The group that every holder of `ip`, an IPv6 address, listens to for neighbour solicitations (RFC 4291 §2.7.1).
IpAddress SolicitedNodeGroup(const IpAddress& ip);

// Whether a socket bound to `bound` gets what is sent to `destination`: "::" stands for every address of both families,
// or of IPv6 with `v6only` (IPV6_V6ONLY), 0.0.0.0 for every one of IPv4.
inline bool BoundTo(const IpAddress& bound, bool v6only, const IpAddress& destination) {
  if (v6only && destination.is_v4()) return false;
  return bound == destination || bound == IpAddress() || (bound == IpAddress::V4(0) && destination.is_v4());
}

// The scope_id of a peer that sent to us on `in` (RFC 4007 §6).
inline uint32_t ScopeOf(const IpAddress& ip, const Interface& in) {
  return !ip.is_v4() && ip.is_link_local() ? in.index : 0;
}

// Told of addresses, groups included, that frames must now come in for, or need not any more: the steering program.
class AddressListener {
 public:
  virtual void AddressAdded(Interface& interface, const IpAddress& ip) = 0;
  virtual void AddressRemoved(Interface& interface, const IpAddress& ip) = 0;
  // `ip` was removed, or not taken, because another host on the link has it (RFC 4862 §5.4.5, RFC 5227 §2.1.1), which
  // somebody ought to know.
  virtual void AddressDuplicate(Interface&, const IpAddress& /*ip*/) {}
  // Another shard of this host still is a member of `group`, which one here left: routers hear nothing of it.
  virtual bool JoinedElsewhere(Interface&, const IpAddress& /*group*/) { return false; }

 protected:
  ~AddressListener() = default;
};

struct IpContext {
  IpContext(const IpOptions& options, runtime::FramePool& pool, runtime::TimerWheel& timers);
  ~IpContext();
  IpContext(const IpContext&) = delete;

  void Ready(ReadySock& sock, uint8_t event) {
    sock.events |= event;
    if (!sock.linked()) ready.PushBack(sock);
  }
  // For what the stack sends by itself. kConsumed counts frames that came in, each of them once.
  void CountFailure(DropReason reason) {
    if (reason != DropReason::kConsumed) outcomes.Count(reason);
  }

  Interface& AddInterface(const NetDeviceOptions& options);
  // Whether this stack answers for the host: it is the only one, or shard 0 of several.
  bool speaks() const { return peers == nullptr || peers->speaks(); }
  // Changes whenever something does that IpConfig is made of.
  uint32_t config_version() const { return routes.generation() + config_changes; }

  // By its index; nullptr when there is none, as for 0.
  Interface* FindInterface(uint32_t index);

  // Gives `interface` an address, with the route to its network and, for IPv6, the solicited-node group (RFC 4291
  // §2.7.1). False: no room, or it is there already. Nobody is asked whether it is free: see Interface::addrconf, and
  // for IPv4 DhcpInterface.
  bool AddAddress(Interface& interface, const InterfaceAddress& address);
  // Takes it away with what AddAddress brought.
  void RemoveAddress(Interface& interface, const IpAddress& ip);
  // The route to a network of the link, and its end unless an address or a router still says that it is one.
  bool AddConnectedRoute(Interface& interface, const IpPrefix& network);
  void DropConnectedRoute(Interface& interface, const IpPrefix& network);
  // Membership of a group on an interface without a socket, from all sources; counted, so each Join wants its Leave.
  // False: no room.
  bool JoinGroup(Interface& interface, const IpAddress& group);
  void LeaveGroup(Interface& interface, const IpAddress& group);
  // A socket's membership: of membership.group on membership.interface, by its filter. Join: false, and not joined,
  // when there is no room. Linux: ip_mc_add_src, ip_mc_del_src; ip6_mc_add_src, ip6_mc_del_src.
  bool JoinGroup(MulticastMembership& membership);
  void FilterChanged(MulticastMembership& membership);
  void LeaveGroup(MulticastMembership& membership);

  // The interface that `ip` is an address of, whichever one the packet came in on (the weak host model of RFC 1122
  // §3.3.4.2, as Linux has it); nullptr: not ours.
  Interface* FindLocal(const IpAddress& ip);
  // Whether a packet to `ip` is for this host alone.
  bool IsLocal(const IpAddress& ip) const { return const_cast<IpContext*>(this)->FindLocal(ip) != nullptr; }

  // Changes whenever something does that a look-up for IpDst depends on. Each part only counts up, so their sum is the
  // same only when all of them are.
  uint32_t dst_cookie() const { return routes.generation() + path_mtu.generation() + dst_changes; }

  // A number that nobody foresees who does not know the secret: for delays.
  uint64_t Draw();

  // A frame of memory that is no device's, for data that waits for a program, or is kept by one, while `pool` runs short;
  // as many as `pool` has, made when the first is asked for. nullptr: none left.
  runtime::Frame* AllocHeapFrame();
  const runtime::FramePool* heap() const { return heap_.get(); }
  // Once a turn: what other threads gave back of them.
  void TakeReturnedHeapFrames() {
    if (heap_ != nullptr && heap_->outstanding() > 0) heap_->TakeReturned();
  }
  // The sockets are gone, but not all that they gave to programs.
  void ForgetHolders();

  runtime::FramePool& pool;
  runtime::TimerWheel& timers;
  runtime::SipKey secret;
  bool forwarding;
  std::vector<std::unique_ptr<Interface>> interfaces;  // made at set-up
  LocalTable local4;  // their IPv4 addresses
  RouteTable routes;
  HookTable hooks;
  Reassembly reassembly{*this};
  PathMtuCache path_mtu;
  uint32_t dst_changes = 0;  // of neighbours that went, and of addresses
  uint32_t config_changes = 0;  // of addresses, and of what a network says of its links
  FragmentIds fragment_ids;
  const FlowLabels flow_labels{secret};
  AddressListener* address_listener = nullptr;
  PeerShards* peers = nullptr;  // set before there are sockets; nullptr: the host has one shard
  OutcomeCounters outcomes;
  runtime::List<ReadySock, ReadySock> ready;
  // icmp_msgs_per_sec and icmp_msgs_burst of Linux; one bucket for both ICMPs.
  RateLimit icmp_limit{.rate = 1000, .burst = 50};
  uint64_t forwarded = 0;     // packets passed on to another host
  uint64_t draws;
  uint64_t copied_bytes = 0;  // payload copied by the stack because it could not be passed on in place
  uint64_t copied_out_bytes = 0;  // of these, to heap frames

 private:
  void GroupChanged(Interface& interface, MulticastGroup& group, bool was_joined);

  runtime::FramePool::Ptr heap_;
  bool no_heap_ = false;  // there is no memory for it
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_CONTEXT_H_
