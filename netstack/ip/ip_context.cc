#include "netstack/ip/ip_context.h"

#include <algorithm>
#include <utility>

namespace weir::netstack {
namespace {

Route ConnectedRoute(Interface& interface, const IpPrefix& prefix) {
  return {.prefix = {prefix.network(), prefix.length}, .out = &interface, .gateway = {}, .metric = 0};
}

}  // namespace

IpAddress SolicitedNodeGroup(const IpAddress& ip) {
  std::array<uint8_t, 16> bytes{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  const std::array<uint8_t, 16> from = ip.bytes();
  std::copy(from.begin() + 13, from.end(), bytes.begin() + 13);
  return IpAddress::V6(bytes);
}

IpContext::IpContext(const IpOptions& options, runtime::FramePool& pool, runtime::TimerWheel& timers)
    : pool(pool),
      timers(timers),
      secret(options.secret),
      forwarding(options.forwarding),
      path_mtu(timers, options.secret),
      fragment_ids(options.secret, options.shard),
      draws(static_cast<uint64_t>(options.shard) << 32) {
  for (const InterfaceOptions& wanted : options.interfaces) {
    Interface& interface = AddInterface(wanted.device);
    for (const IpPrefix& prefix : wanted.addresses) AddAddress(interface, {prefix, AddressState::kPreferred});
    for (const IpAddress& gateway : wanted.gateways) {
      const IpPrefix all = gateway.is_v4() ? IpPrefix{IpAddress::V4(0), 0} : IpPrefix{IpAddress(), 0};
      routes.Add({.prefix = all, .out = &interface, .gateway = gateway, .metric = 0});
    }
  }
}

runtime::Frame* IpContext::AllocHeapFrame() {
  if (heap_ == nullptr && !no_heap_) {
    absl::StatusOr<runtime::FramePool::Ptr> heap = runtime::FramePool::Create(
        {.frame_size = pool.frame_size(), .frames = pool.size(), .populate = false});
    no_heap_ = !heap.ok();
    if (no_heap_) return nullptr;
    heap_ = *std::move(heap);
    for (const auto kind : {runtime::FrameHolder::Kind::kTcp, runtime::FrameHolder::Kind::kUdp}) {
      heap_->SetOnReturn(kind, pool.on_return(kind));
    }
  }
  return heap_ == nullptr || heap_->free_count() == 0 ? nullptr : heap_->Alloc(0);
}

void IpContext::ForgetHolders() {
  pool.ForgetHolders();
  if (heap_ != nullptr) heap_->ForgetHolders();
}

IpContext::~IpContext() {
  for (const std::unique_ptr<Interface>& interface : interfaces) interface->neighbours.Clear(*interface);
}

Interface& IpContext::AddInterface(const NetDeviceOptions& options) {
  const uint32_t index = options.index != 0 ? options.index : static_cast<uint32_t>(interfaces.size() + 1);
  interfaces.push_back(std::make_unique<Interface>(*this, index, options));
  local4.AddInterface();
  return *interfaces.back();
}

Interface* IpContext::FindInterface(uint32_t index) {
  const auto found = std::ranges::find_if(interfaces, [&](const auto& interface) { return interface->index == index; });
  return found == interfaces.end() ? nullptr : found->get();
}

bool IpContext::AddAddress(Interface& interface, const InterfaceAddress& address) {
  const IpAddress& ip = address.prefix.ip;
  if (interface.FindAddress(ip) != nullptr || interface.address_count_ == Interface::kMaxAddresses) return false;
  if (address.on_link && !AddConnectedRoute(interface, address.prefix)) return false;
  interface.addresses_[interface.address_count_++] = address;
  ++dst_changes;
  ++config_changes;
  if (ip.is_v4()) local4.Update(interfaces);
  if (!ip.is_v4()) {
    if (ip.is_link_local()) interface.mld.ReportAgain();
    if (speaks()) JoinGroup(interface, SolicitedNodeGroup(ip));
  }
  if (address_listener != nullptr) address_listener->AddressAdded(interface, ip);
  return true;
}

void IpContext::RemoveAddress(Interface& interface, const IpAddress& ip) {
  InterfaceAddress* found = interface.FindAddress(ip);
  if (found == nullptr) return;
  const InterfaceAddress removed = *found;
  std::move(found + 1, interface.addresses_.data() + interface.address_count_, found);  // their order counts
  --interface.address_count_;
  ++dst_changes;
  ++config_changes;
  if (removed.prefix.ip.is_v4()) local4.Update(interfaces);
  const IpAddress& address = removed.prefix.ip;  // `ip` may have been a part of what moved
  if (removed.on_link) DropConnectedRoute(interface, removed.prefix);
  if (!address.is_v4()) LeaveGroup(interface, SolicitedNodeGroup(address));
  if (address_listener != nullptr) address_listener->AddressRemoved(interface, address);
}

bool IpContext::AddConnectedRoute(Interface& interface, const IpPrefix& network) {
  return routes.Add(ConnectedRoute(interface, network));
}

void IpContext::DropConnectedRoute(Interface& interface, const IpPrefix& network) {
  const bool wanted = std::ranges::any_of(interface.addresses(), [&](const InterfaceAddress& a) {
    return a.on_link && a.prefix.length == network.length && a.prefix.network() == network.network();
  });
  if (!wanted && !interface.routers.IsOnLink(network)) routes.Remove(ConnectedRoute(interface, network));
}

uint64_t IpContext::Draw() {
  const uint64_t draw[] = {++draws};
  return runtime::SipHash(secret, draw);
}

bool IpContext::JoinGroup(Interface& interface, const IpAddress& group) {
  MulticastGroup* entry = interface.groups.FindOrAdd(group);
  if (entry == nullptr) return false;
  const bool was_joined = entry->joined();
  ++entry->users;
  GroupChanged(interface, *entry, was_joined);
  return true;
}

void IpContext::LeaveGroup(Interface& interface, const IpAddress& group) {
  MulticastGroup* entry = interface.groups.Find(group);
  if (entry == nullptr || entry->users == 0) return;
  --entry->users;
  GroupChanged(interface, *entry, /*was_joined=*/true);
}

bool IpContext::JoinGroup(MulticastMembership& membership) {
  MulticastGroup* entry = membership.interface->groups.FindOrAdd(membership.group);
  if (entry == nullptr) return false;
  const bool was_joined = entry->joined();
  entry->members.PushBack(membership);
  GroupChanged(*membership.interface, *entry, was_joined);
  return true;
}

void IpContext::FilterChanged(MulticastMembership& membership) {
  GroupChanged(*membership.interface, *membership.interface->groups.Find(membership.group), /*was_joined=*/true);
}

void IpContext::LeaveGroup(MulticastMembership& membership) {
  MulticastGroup* entry = membership.interface->groups.Find(membership.group);
  membership.Unlink();
  GroupChanged(*membership.interface, *entry, /*was_joined=*/true);
}

void IpContext::GroupChanged(Interface& interface, MulticastGroup& group, bool was_joined) {
  const bool changed = address_listener != nullptr && group.joined() != was_joined;
  if (changed && was_joined) address_listener->AddressRemoved(interface, group.group);
  const bool told = !changed || !was_joined || !address_listener->JoinedElsewhere(interface, group.group);
  (group.group.is_v4() ? interface.igmp : interface.mld).FilterChanged(group, was_joined, told);
  if (changed && !was_joined) address_listener->AddressAdded(interface, group.group);
}

Interface* IpContext::FindLocal(const IpAddress& ip) {
  if (ip.is_v4()) {
    const LocalTable::Entry* entry = local4.Find(ip.v4());
    return entry != nullptr && !entry->broadcast ? entry->interface : nullptr;
  }
  for (const std::unique_ptr<Interface>& interface : interfaces) {
    if (interface->FindAddress(ip) != nullptr) return interface.get();
  }
  return nullptr;
}

}  // namespace weir::netstack
