// RouterDiscovery: what routers say of the link of one interface (RFC 4861 §6.3): which of them lead elsewhere, which
// networks are on the link, its MTU, hop limit and timers. Linux: ndisc_router_discovery, ndisc_send_rs.
//
// Nothing is believed before Start: who sets addresses and gateways by hand does not want to hear of others. Differs
// from Linux, which takes a default route (accept_ra_defrtr) from the link even then.
#ifndef NETSTACK_IP_ROUTER_DISCOVERY_H_
#define NETSTACK_IP_ROUTER_DISCOVERY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "netstack/wire/ndp.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"
#include "runtime/base/timer_wheel.h"

namespace weir::netstack {

class Interface;

struct DefaultRouter {
  IpAddress ip;
  Nanos until_ns = 0;
};

struct OnLinkPrefix {
  IpPrefix prefix;
  Nanos until_ns = 0;
};

class RouterDiscovery : private runtime::Timer {
 public:
  static constexpr int kMaxRtrSolicitations = 3;                     // RFC 4861 §10, as are the following
  static constexpr Nanos kMaxRtrSolicitationDelay = 1 * kSecond;
  static constexpr Nanos kRtrSolicitationInterval = 4 * kSecond;
  static constexpr uint32_t kMinMtu = 1280;                          // RFC 8200 §5
  static constexpr uint32_t kMaxReachableTimeMs = 3600 * 1000;       // RFC 4861 §6.2.1
  // A retransmission timer that is forged must neither flood the link nor stop neighbours from being missed. The lower
  // bound is Linux's (a jiffy of HZ 100).
  static constexpr uint32_t kMinRetransTimerMs = 10;
  static constexpr uint32_t kMaxRetransTimerMs = 10 * 1000;
  // RFC 4861 §6.3.4 wants two at least. A redundant pair in each of a few address plans is what links have.
  static constexpr size_t kMaxRouters = 8;
  // Two advertisements full of them: the old and the new plan of a site that renumbers.
  static constexpr size_t kMaxPrefixes = 2 * RouterAdvertisement::kMaxPrefixes;
  static constexpr uint32_t kRouteMetric = 1024;  // IP6_RT_PRIO_USER of Linux: what the user set comes first

  explicit RouterDiscovery(Interface& interface) : Timer(&OnTimer), interface_(interface) {}
  ~RouterDiscovery();
  RouterDiscovery(const RouterDiscovery&) = delete;

  // Looks for routers, and believes them from now on.
  void Start(Nanos now_ns);
  bool started() const { return started_; }

  // A valid advertisement from `router` (RFC 4861 §6.3.4), but for its prefixes' addresses, which are Addrconf's.
  void AdvertisementRcv(const RouterAdvertisement& message, const IpAddress& router, Nanos now_ns);
  // It does not answer: another is used, if there is one, and it is tried again in its turn (RFC 4861 §6.3.6).
  void Unreachable(const IpAddress& router);
  // It is a router no more (RFC 4861 §7.2.5).
  void Remove(const IpAddress& router);

  // Whether a router has said that the network is on the link.
  bool IsOnLink(const IpPrefix& network) const;
  std::span<const DefaultRouter> routers() const { return {routers_.data(), router_count_}; }
  std::span<const OnLinkPrefix> prefixes() const { return {prefixes_.data(), prefix_count_}; }

 private:
  static void OnTimer(runtime::Timer& timer, Nanos now_ns);

  void Solicit(Nanos now_ns);
  void SetParameters(const RouterAdvertisement& message);
  void SetRouter(const IpAddress& router, Nanos until_ns, Nanos now_ns);
  void SetPrefix(const PrefixInformation& advertised, Nanos now_ns);
  void Expire(Nanos now_ns);
  void EraseRouter(size_t i);
  // The default route goes through routers_[i] from now on; through none when there is none.
  void Choose(size_t i);
  void Arm();

  Interface& interface_;
  bool started_ = false;
  int solicitations_ = 0;              // still to be sent
  Nanos solicit_ns_ = kNever;          // when
  uint32_t base_reachable_ms_ = 0;     // as last advertised; 0: never
  std::array<DefaultRouter, kMaxRouters> routers_;
  size_t router_count_ = 0;
  size_t chosen_ = 0;  // the router in use, when there is one
  std::array<OnLinkPrefix, kMaxPrefixes> prefixes_;
  size_t prefix_count_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_ROUTER_DISCOVERY_H_
