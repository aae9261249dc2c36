#include "netstack/host/xdp_stack.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "netstack/host/filter_file.h"

namespace weir {

absl::StatusOr<std::unique_ptr<XdpStack>> XdpStack::Create(const HostOptions& options, XdpShared& shared, int shard,
                                                           runtime::FramePool& pool, runtime::Scheduler& scheduler) {
  std::unique_ptr<XdpStack> self(new XdpStack(options, shared, shard));
  self->hand_over_ = shared.MakeHandOver(shard);
  self->inet_ = std::make_unique<netstack::Inet>(
      netstack::IpOptions{.secret = shared.secret(), .shard = shard, .forwarding = options.ip_forward}, options.tcp, pool,
      scheduler.timers());
  if (self->hand_over_ != nullptr) {
    self->hand_over_->Connect(*self->inet_);
    self->inet_->SetPeers(self->hand_over_.get());
  }
  if (!options.filter.empty()) {
    absl::StatusOr<netstack::Filter> filter = ReadFilterFile(options.filter);
    if (!filter.ok()) return absl::Status(filter.status().code(), absl::StrCat("--filter: ", filter.status().message()));
    self->filter_ = std::make_unique<netstack::FilterHook>(self->inet_->ip, *std::move(filter));
  }
  self->stack_ = std::make_unique<netstack::InetStack>(*self->inet_, scheduler);
  for (const std::unique_ptr<XdpInterface>& interface : shared.interfaces()) {
    absl::StatusOr<std::unique_ptr<XdpPort>> port = XdpPort::Create(options, *interface, shard, pool);
    if (!port.ok()) return port.status();
    (*port)->Connect(*self->inet_, self->inet_->ip.AddInterface(interface->device_options()), shared.capture(),
                     self->hand_over_.get());
    self->ports_.push_back(*std::move(port));
  }
  self->addresses_ = std::make_unique<AddressSetup>(*self->inet_, scheduler);
  self->inet_->ip.address_listener = self.get();
  return self;
}

absl::Status XdpStack::Start() {
  if (shard_ != 0) return absl::OkStatus();
  absl::Status status = AddAddresses();
  status.Update(AddRoutes());
  return status;
}

Task<absl::Status> XdpStack::Configured() {
  if (shard_ == 0) co_return co_await addresses_->Wait();
  co_return co_await configured_.Wait();
}

size_t XdpStack::ReceiveFromPeers(Nanos now_ns) {
  if (shard_ != 0 && shared_.config_version() != config_version_) Follow();
  return hand_over_->Receive(now_ns);
}

void XdpStack::Publish() {
  config_version_ = inet_->ip.config_version();
  shared_.Publish(netstack::ReadIpConfig(inet_->ip), addresses_->Complete());
}

void XdpStack::Follow() {
  netstack::IpConfig config;
  bool complete;
  config_version_ = shared_.Read(&config, &complete);
  netstack::FollowIpConfig(inet_->ip, config);
  if (complete) configured_.Set();
}

XdpStack::~XdpStack() {
  if (inet_ != nullptr) inet_->ip.address_listener = nullptr;
}

absl::Status XdpStack::AddAddresses() {
  for (const HostOptions::Address& wanted : options_.addresses) {
    const std::string& name = wanted.interface.empty() ? options_.interfaces.front() : wanted.interface;
    netstack::Interface* interface = FindInterface(name);
    if (interface == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("--address: @", name, ": --interface does not name ", name));
    }
    const absl::Status added = addresses_->Add(*interface, wanted);
    if (!added.ok()) return added;
  }
  addresses_->Start();
  return absl::OkStatus();
}

// The interface that a gateway is on; nullptr, and one line, when there is none.
absl::StatusOr<netstack::Interface*> XdpStack::InterfaceOf(const HostOptions::Route& route) {
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(route.prefix.length == 0 ? "--gateway=" : "--route: gateway ",
                                                   route.gateway.ToString(), why));
  };
  if (!route.gateway.is_v4() && route.gateway.is_link_local()) {
    if (route.interface.empty() && ports_.size() > 1) return wrong(": say on which interface, fe80::1%eth0");
    const std::string& name = route.interface.empty() ? ports_.front()->interface().device.name() : route.interface;
    netstack::Interface* interface = FindInterface(name);
    if (interface == nullptr) return wrong(absl::StrCat(": --interface does not name ", name));
    if (interface->LinkLocal() == nullptr) return wrong(" needs an IPv6 address on the same interface");
    return interface;
  }
  for (const std::unique_ptr<XdpPort>& port : ports_) {
    if (port->interface().OnLink(route.gateway)) return &port->interface();
  }
  return wrong(" is in the network of none of our addresses");
}

absl::Status XdpStack::AddRoutes() {
  for (const HostOptions::Route& route : options_.routes) {
    absl::StatusOr<netstack::Interface*> out = InterfaceOf(route);
    if (!out.ok()) return out.status();
    if (!inet_->ip.routes.Add({.prefix = route.prefix, .out = *out, .gateway = route.gateway})) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", netstack::RouteTable::kMaxRoutes, " routes"));
    }
  }
  return absl::OkStatus();
}

netstack::Interface* XdpStack::FindInterface(const std::string& name) {
  const auto port = std::ranges::find_if(ports_, [&](const auto& p) { return p->interface().device.name() == name; });
  return port == ports_.end() ? nullptr : &(*port)->interface();
}

XdpPort& XdpStack::PortOf(const netstack::Interface& interface) {
  return **std::ranges::find_if(ports_, [&](const auto& port) { return &port->interface() == &interface; });
}

void XdpStack::AddressAdded(netstack::Interface& interface, const IpAddress& ip) {
  const absl::Status status = PortOf(interface).shared().Steer(shard_, ip, /*ours=*/true);
  if (!status.ok()) std::fprintf(stderr, "weir: frames to %s: %s\n", ip.ToString().c_str(), status.ToString().c_str());
  addresses_->AddressAdded();
}

void XdpStack::AddressDuplicate(netstack::Interface& interface, const IpAddress& ip) {
  addresses_->AddressDuplicate(interface, ip);
}

void XdpStack::AddressRemoved(netstack::Interface& interface, const IpAddress& ip) {
  const absl::Status status = PortOf(interface).shared().Steer(shard_, ip, /*ours=*/false);
  if (!status.ok()) std::fprintf(stderr, "weir: frames to %s: %s\n", ip.ToString().c_str(), status.ToString().c_str());
}

bool XdpStack::JoinedElsewhere(netstack::Interface& interface, const IpAddress& group) {
  return hand_over_ != nullptr && PortOf(interface).shared().WantedElsewhere(shard_, group);
}

std::string XdpStack::Describe() const {
  std::string text = "xdp on ";
  for (const std::unique_ptr<XdpPort>& port : ports_) {
    if (port != ports_.front()) absl::StrAppend(&text, "; ");
    absl::StrAppend(&text, port->shared().Describe());
    for (const netstack::InterfaceAddress& address : port->interface().addresses()) {
      absl::StrAppend(&text, ", ", address.prefix.ToString());
    }
  }
  return text;
}

}  // namespace weir
