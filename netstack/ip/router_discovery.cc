#include "netstack/ip/router_discovery.h"

#include <algorithm>

#include "netstack/ip/ip_context.h"
#include "netstack/ip/ndisc_output.h"

namespace weir::netstack {
namespace {

Route DefaultRoute(Interface& out, const IpAddress& router) {
  return {.prefix = {IpAddress(), 0}, .out = &out, .gateway = router, .metric = RouterDiscovery::kRouteMetric};
}

}  // namespace

RouterDiscovery::~RouterDiscovery() { interface_.context.timers.Cancel(*this); }

// RFC 4861 §6.3.7: after a random delay, so that hosts that were switched on together do not ask together.
void RouterDiscovery::Start(Nanos now_ns) {
  if (started_) return;
  started_ = true;
  solicitations_ = kMaxRtrSolicitations;
  solicit_ns_ = now_ns + static_cast<Nanos>(interface_.context.Draw() % kMaxRtrSolicitationDelay);
  Arm();
}

void RouterDiscovery::Solicit(Nanos now_ns) {
  interface_.context.CountFailure(NdpSolicitRouters(interface_, now_ns));
  solicit_ns_ = --solicitations_ > 0 ? now_ns + kRtrSolicitationInterval : kNever;
}

void RouterDiscovery::AdvertisementRcv(const RouterAdvertisement& message, const IpAddress& router, Nanos now_ns) {
  // RFC 4861 §6.3.7: one that is a default router ends the questions.
  if (message.router_lifetime_s != 0) solicit_ns_ = kNever;
  SetParameters(message);
  SetRouter(router, now_ns + message.router_lifetime_s * kSecond, now_ns);
  for (const PrefixInformation& prefix : std::span(message.prefixes).first(message.prefix_count)) {
    if (prefix.on_link) SetPrefix(prefix, now_ns);
  }
  Arm();
}

// RFC 4861 §6.3.4: what is 0 is not specified; MTUs that are impossible are ignored.
void RouterDiscovery::SetParameters(const RouterAdvertisement& message) {
  ++interface_.context.config_changes;
  if (message.hop_limit != 0) interface_.hop_limit = message.hop_limit;
  if (message.mtu.has_value() && *message.mtu >= kMinMtu && *message.mtu <= interface_.device.mtu()) {
    interface_.mtu6 = *message.mtu;
  }
  if (message.retrans_timer_ms != 0) {
    const uint32_t ms = std::clamp(message.retrans_timer_ms, kMinRetransTimerMs, kMaxRetransTimerMs);
    interface_.retrans_timer6_ns = ms * kMillisecond;
  }
  // RFC 4861 §6.3.2: between half and one and a half of it, drawn anew when it changes.
  if (message.reachable_time_ms != 0 && message.reachable_time_ms != base_reachable_ms_) {
    base_reachable_ms_ = message.reachable_time_ms;
    const Nanos base = std::min(base_reachable_ms_, kMaxReachableTimeMs) * kMillisecond;
    interface_.reachable_time6_ns = base / 2 + static_cast<Nanos>(interface_.context.Draw() % base);
  }
}

void RouterDiscovery::SetRouter(const IpAddress& router, Nanos until_ns, Nanos now_ns) {
  if (until_ns == now_ns) return Remove(router);
  for (size_t i = 0; i < router_count_; ++i) {
    if (routers_[i].ip != router) continue;
    routers_[i].until_ns = until_ns;
    return;
  }
  if (router_count_ == kMaxRouters) return interface_.context.outcomes.Count(DropReason::kAutoconfTableFull);
  routers_[router_count_++] = {router, until_ns};
  if (router_count_ == 1) Choose(0);
}

void RouterDiscovery::Unreachable(const IpAddress& router) {
  if (router_count_ > 1 && routers_[chosen_].ip == router) Choose((chosen_ + 1) % router_count_);
}

void RouterDiscovery::Remove(const IpAddress& router) {
  for (size_t i = 0; i < router_count_; ++i) {
    if (routers_[i].ip == router) return EraseRouter(i);
  }
}

void RouterDiscovery::EraseRouter(size_t i) {
  const bool in_use = i == chosen_;
  interface_.context.routes.Remove(DefaultRoute(interface_, routers_[i].ip));
  std::move(routers_.begin() + i + 1, routers_.begin() + router_count_, routers_.begin() + i);
  --router_count_;
  if (chosen_ > i) --chosen_;
  if (in_use) Choose(router_count_ == 0 ? 0 : i % router_count_);
}

void RouterDiscovery::Choose(size_t i) {
  IpContext& context = interface_.context;
  if (chosen_ < router_count_) context.routes.Remove(DefaultRoute(interface_, routers_[chosen_].ip));
  chosen_ = i;
  if (router_count_ == 0) return;
  if (!context.routes.Add(DefaultRoute(interface_, routers_[i].ip))) {
    context.outcomes.Count(DropReason::kAutoconfTableFull);
  }
}

// RFC 4861 §6.3.4, of prefixes with the on-link flag.
void RouterDiscovery::SetPrefix(const PrefixInformation& advertised, Nanos now_ns) {
  const IpPrefix& prefix = advertised.prefix;
  if (prefix.ip.is_link_local() || prefix.ip.is_multicast() || prefix.ip.is_v4()) return;
  const bool infinite = advertised.valid_lifetime_s == PrefixInformation::kInfinite;
  const Nanos until_ns = infinite ? kNever : now_ns + advertised.valid_lifetime_s * kSecond;
  for (size_t i = 0; i < prefix_count_; ++i) {
    if (prefixes_[i].prefix != prefix) continue;
    prefixes_[i].until_ns = until_ns;
    return Expire(now_ns);  // a lifetime of 0 is over
  }
  if (until_ns == now_ns) return;
  if (prefix_count_ == kMaxPrefixes || !interface_.context.AddConnectedRoute(interface_, prefix)) {
    return interface_.context.outcomes.Count(DropReason::kAutoconfTableFull);
  }
  prefixes_[prefix_count_++] = {prefix, until_ns};
}

bool RouterDiscovery::IsOnLink(const IpPrefix& network) const {
  return std::ranges::any_of(prefixes(), [&](const OnLinkPrefix& known) {
    return known.prefix.length == network.length && known.prefix.ip == network.network();
  });
}

// RFC 4861 §6.3.5.
void RouterDiscovery::Expire(Nanos now_ns) {
  for (size_t i = router_count_; i-- > 0;) {
    if (routers_[i].until_ns <= now_ns) EraseRouter(i);
  }
  for (size_t i = prefix_count_; i-- > 0;) {
    if (prefixes_[i].until_ns > now_ns) continue;
    const IpPrefix prefix = prefixes_[i].prefix;
    prefixes_[i] = prefixes_[--prefix_count_];
    interface_.context.DropConnectedRoute(interface_, prefix);
  }
}

void RouterDiscovery::OnTimer(runtime::Timer& timer, Nanos now_ns) {
  auto& self = static_cast<RouterDiscovery&>(timer);
  if (self.solicit_ns_ <= now_ns) self.Solicit(now_ns);
  self.Expire(now_ns);
  self.Arm();
}

// For the next thing that happens: a question, or the end of a lifetime.
void RouterDiscovery::Arm() {
  Nanos next = solicit_ns_;
  for (const DefaultRouter& router : routers()) next = std::min(next, router.until_ns);
  for (const OnLinkPrefix& prefix : prefixes()) next = std::min(next, prefix.until_ns);
  if (next == kNever) return interface_.context.timers.Cancel(*this);
  interface_.context.timers.Arm(*this, next);
}

}  // namespace weir::netstack
