#include "netstack/ip/ip_context.h"

#include <algorithm>

namespace weir::netstack {
namespace {

Route ConnectedRoute(Interface& interface, const IpPrefix& prefix) {
  return {.prefix = {prefix.network(), prefix.length}, .out = &interface, .gateway = {}, .metric = 0};
}

}  // namespace

IpAddress SolicitedNodeGroup(const IpAddress& ip) {
  std::array<uint8_t, 16> bytes{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  std::copy(ip.bytes().begin() + 13, ip.bytes().end(), bytes.begin() + 13);
  return IpAddress::V6(bytes);
}

IpContext::IpContext(const IpOptions& options, runtime::FramePool& pool, runtime::TimerWheel& timers)
    : pool(pool),
      timers(timers),
      secret(options.secret),
      forwarding(options.forwarding),
      path_mtu(timers, options.secret),
      fragment_ids(options.secret) {
  for (const InterfaceOptions& wanted : options.interfaces) {
    Interface& interface = AddInterface(wanted.device);
    for (const IpPrefix& prefix : wanted.addresses) AddAddress(interface, {prefix, AddressState::kPreferred});
    for (const IpAddress& gateway : wanted.gateways) {
      const IpPrefix all = gateway.is_v4() ? IpPrefix{IpAddress::V4(0), 0} : IpPrefix{IpAddress(), 0};
      routes.Add({.prefix = all, .out = &interface, .gateway = gateway, .metric = 0});
    }
  }
}

IpContext::~IpContext() {
  for (const std::unique_ptr<Interface>& interface : interfaces) interface->neighbours.Clear(*interface);
}

Interface& IpContext::AddInterface(const NetDeviceOptions& options) {
  const uint32_t index = options.index != 0 ? options.index : static_cast<uint32_t>(interfaces.size() + 1);
  interfaces.push_back(std::make_unique<Interface>(*this, index, options));
  return *interfaces.back();
}

Interface* IpContext::FindInterface(uint32_t index) {
  const auto found = std::ranges::find_if(interfaces, [&](const auto& interface) { return interface->index == index; });
  return found == interfaces.end() ? nullptr : found->get();
}

bool IpContext::AddAddress(Interface& interface, const InterfaceAddress& address) {
  const IpAddress& ip = address.prefix.ip;
  if (interface.FindAddress(ip) != nullptr || interface.address_count_ == Interface::kMaxAddresses) return false;
  if (!routes.Add(ConnectedRoute(interface, address.prefix))) return false;
  interface.addresses_[interface.address_count_++] = address;
  if (!ip.is_v4()) JoinGroup(interface, SolicitedNodeGroup(ip));
  if (address_listener != nullptr) address_listener->AddressAdded(interface, ip);
  return true;
}

void IpContext::RemoveAddress(Interface& interface, const IpAddress& ip) {
  InterfaceAddress* found = interface.FindAddress(ip);
  if (found == nullptr) return;
  const IpPrefix prefix = found->prefix;
  std::move(found + 1, interface.addresses_.data() + interface.address_count_, found);  // their order counts
  --interface.address_count_;
  // Another address may be in the same network.
  const bool shared = std::ranges::any_of(interface.addresses(), [&](const InterfaceAddress& a) {
    return a.prefix.length == prefix.length && a.prefix.network() == prefix.network();
  });
  if (!shared) routes.Remove(ConnectedRoute(interface, prefix));
  if (!ip.is_v4()) LeaveGroup(interface, SolicitedNodeGroup(ip));
  if (address_listener != nullptr) address_listener->AddressRemoved(interface, ip);
}

bool IpContext::JoinGroup(Interface& interface, const IpAddress& group) {
  bool full;
  const bool added = interface.groups.Join(group, &full);
  if (added && address_listener != nullptr) address_listener->AddressAdded(interface, group);
  return !full;
}

void IpContext::LeaveGroup(Interface& interface, const IpAddress& group) {
  if (interface.groups.Leave(group) && address_listener != nullptr) address_listener->AddressRemoved(interface, group);
}

Interface* IpContext::FindLocal(const IpAddress& ip) {
  for (const std::unique_ptr<Interface>& interface : interfaces) {
    if (interface->FindAddress(ip) != nullptr) return interface.get();
  }
  return nullptr;
}

}  // namespace weir::netstack
