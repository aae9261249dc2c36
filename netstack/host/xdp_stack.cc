#include "netstack/host/xdp_stack.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "netstack/host/filter_file.h"
#include "xdp/interface_info.h"

namespace weir {
namespace {

absl::Status CheckOptions(const HostOptions& options) {
  if (options.interfaces.empty()) {
    return absl::InvalidArgumentError("--stack=xdp needs --interface=NAME: 'ip link' lists them");
  }
  if (options.addresses.empty()) {
    return absl::InvalidArgumentError(
        "--stack=xdp needs --address=A.B.C.D/LEN, dhcp or slaac: sharing the interface's own is not there yet");
  }
  for (size_t i = 0; i < options.interfaces.size(); ++i) {
    const auto& all = options.interfaces;
    if (std::count(all.begin(), all.end(), all[i]) > 1) {
      return absl::InvalidArgumentError(absl::StrCat("--interface: ", all[i], " is there twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<XdpStack>> XdpStack::Create(const HostOptions& options, runtime::FramePool& pool,
                                                           runtime::Scheduler& scheduler) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  std::unique_ptr<XdpStack> self(new XdpStack);
  if (!options.pcap.empty()) {
    absl::StatusOr<std::unique_ptr<netstack::PcapWriter>> capture = netstack::PcapWriter::Create(options.pcap);
    if (!capture.ok()) return capture.status();
    self->capture_ = *std::move(capture);
  }
  self->inet_ = std::make_unique<netstack::Inet>(
      netstack::IpOptions{.secret = runtime::SipKey::Random(), .forwarding = options.ip_forward}, options.tcp, pool,
      scheduler.timers());
  if (!options.filter.empty()) {
    absl::StatusOr<netstack::Filter> filter = ReadFilterFile(options.filter);
    if (!filter.ok()) return absl::Status(filter.status().code(), absl::StrCat("--filter: ", filter.status().message()));
    self->filter_ = std::make_unique<netstack::FilterHook>(self->inet_->ip, *std::move(filter));
  }
  self->stack_ = std::make_unique<netstack::InetStack>(*self->inet_, scheduler);
  for (const std::string& name : options.interfaces) {
    absl::StatusOr<XdpPort::Place> place = XdpPort::Find(name);
    if (!place.ok()) return place.status();
    absl::StatusOr<std::unique_ptr<XdpPort>> port = XdpPort::Create(options, *place, pool);
    if (!port.ok()) return port.status();
    (*port)->Connect(*self->inet_, self->inet_->ip.AddInterface((*port)->device_options()), self->capture_.get());
    self->ports_.push_back(*std::move(port));
  }
  self->addresses_ = std::make_unique<AddressSetup>(*self->inet_, scheduler);
  // Only now: from here on the frames are ours, and somebody is there to answer.
  self->inet_->ip.address_listener = self.get();
  status = self->AddAddresses(options);
  status.Update(self->AddRoutes(options));
  if (!status.ok()) return status;
  return self;
}

XdpStack::~XdpStack() {
  if (inet_ != nullptr) inet_->ip.address_listener = nullptr;
}

absl::Status XdpStack::AddAddresses(const HostOptions& options) {
  for (const HostOptions::Address& wanted : options.addresses) {
    const std::string& name = wanted.interface.empty() ? options.interfaces.front() : wanted.interface;
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

absl::Status XdpStack::AddRoutes(const HostOptions& options) {
  for (const HostOptions::Route& route : options.routes) {
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
  const absl::Status status = PortOf(interface).Steer(ip, /*ours=*/true);
  if (!status.ok()) std::fprintf(stderr, "weir: frames to %s: %s\n", ip.ToString().c_str(), status.ToString().c_str());
  addresses_->AddressAdded();
}

void XdpStack::AddressDuplicate(netstack::Interface& interface, const IpAddress& ip) {
  addresses_->AddressDuplicate(interface, ip);
}

void XdpStack::AddressRemoved(netstack::Interface& interface, const IpAddress& ip) {
  const absl::Status status = PortOf(interface).Steer(ip, /*ours=*/false);
  if (!status.ok()) std::fprintf(stderr, "weir: frames to %s: %s\n", ip.ToString().c_str(), status.ToString().c_str());
}

std::string XdpStack::Describe() const {
  std::string text = "xdp on ";
  for (const std::unique_ptr<XdpPort>& port : ports_) {
    if (port != ports_.front()) absl::StrAppend(&text, "; ");
    absl::StrAppend(&text, port->Describe());
    for (const netstack::InterfaceAddress& address : port->interface().addresses()) {
      absl::StrAppend(&text, ", ", address.prefix.ToString());
    }
  }
  return text;
}

}  // namespace weir
