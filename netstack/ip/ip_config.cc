#include "netstack/ip/ip_config.h"

#include <algorithm>

namespace weir::netstack {
namespace {

// Their order says which is chosen as a source, so they come to stand in the order of `wanted`.
void FollowAddresses(IpContext& context, Interface& interface, const std::vector<InterfaceAddress>& wanted) {
  const auto same = [](const InterfaceAddress& a, const InterfaceAddress& b) {
    return a.prefix == b.prefix && a.on_link == b.on_link;
  };
  const auto has = [&](const InterfaceAddress& ours) {
    return std::ranges::any_of(wanted, [&](const InterfaceAddress& theirs) { return same(ours, theirs); });
  };
  for (size_t i = interface.addresses().size(); i-- > 0;) {
    if (!has(interface.addresses()[i])) context.RemoveAddress(interface, IpAddress(interface.addresses()[i].prefix.ip));
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    const bool there = i < interface.addresses().size() && same(interface.addresses()[i], wanted[i]);
    if (!there) {
      context.RemoveAddress(interface, wanted[i].prefix.ip);
      if (!context.AddAddress(interface, wanted[i])) continue;
    }
    if (InterfaceAddress* ours = interface.FindAddress(wanted[i].prefix.ip)) *ours = wanted[i];
  }
}

}  // namespace

IpConfig ReadIpConfig(const IpContext& context) {
  IpConfig config;
  for (const std::unique_ptr<Interface>& interface : context.interfaces) {
    config.links.push_back({.addresses = {interface->addresses().begin(), interface->addresses().end()},
                            .mtu4 = interface->mtu4,
                            .mtu6 = interface->mtu6,
                            .hop_limit = interface->hop_limit,
                            .reachable_time6_ns = interface->reachable_time6_ns,
                            .retrans_timer6_ns = interface->retrans_timer6_ns});
  }
  for (const Route& route : context.routes.routes()) {
    const auto link = std::ranges::find_if(context.interfaces, [&](const auto& i) { return i.get() == route.out; });
    config.routes.push_back({.prefix = route.prefix,
                             .link = static_cast<size_t>(link - context.interfaces.begin()),
                             .gateway = route.gateway,
                             .metric = route.metric});
  }
  return config;
}

void FollowIpConfig(IpContext& context, const IpConfig& config) {
  for (size_t i = 0; i < config.links.size() && i < context.interfaces.size(); ++i) {
    const IpConfig::Link& link = config.links[i];
    Interface& interface = *context.interfaces[i];
    FollowAddresses(context, interface, link.addresses);
    interface.mtu4 = link.mtu4;
    interface.mtu6 = link.mtu6;
    interface.hop_limit = link.hop_limit;
    interface.reachable_time6_ns = link.reachable_time6_ns;
    interface.retrans_timer6_ns = link.retrans_timer6_ns;
  }
  std::vector<Route> wanted;
  for (const IpConfig::ConfiguredRoute& route : config.routes) {
    if (route.link >= context.interfaces.size()) continue;
    wanted.push_back({route.prefix, context.interfaces[route.link].get(), route.gateway, route.metric});
  }
  const std::vector<Route> before = context.routes.routes();
  for (const Route& route : before) {
    if (std::ranges::find(wanted, route) == wanted.end()) context.routes.Remove(route);
  }
  for (const Route& route : wanted) {
    if (!context.routes.Add(route)) context.outcomes.Count(DropReason::kAutoconfTableFull);
  }
}

}  // namespace weir::netstack
