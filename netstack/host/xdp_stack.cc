#include "netstack/host/xdp_stack.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "netstack/host/filter_file.h"
#include "netstack/ip/arp.h"
#include "xdp/interface_info.h"

namespace weir {
namespace {

absl::Status CheckOptions(const HostOptions& options) {
  if (options.interfaces.empty()) {
    return absl::InvalidArgumentError("--stack=xdp needs --interface=NAME: 'ip link' lists them");
  }
  if (options.addresses.empty()) {
    return absl::InvalidArgumentError(
        "--stack=xdp needs --address=A.B.C.D/LEN: sharing the interface's own addresses is not there yet");
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

uint32_t XdpStack::FrameSize(const HostOptions& options) {
  uint32_t mtu = options.mtu;
  for (const std::string& name : options.interfaces) {
    absl::StatusOr<XdpPort::Place> place = XdpPort::Find(name);
    if (options.mtu != 0 || !place.ok()) break;  // what is wrong with it is said later
    absl::StatusOr<xdp::InterfaceInfo> interface = xdp::ReadInterfaceInfo(place->device);
    if (interface.ok()) mtu = std::max(mtu, interface->mtu);
  }
  return mtu > XdpPort::LargestMtu(options.frame_size) ? 4096 : options.frame_size;
}

uint32_t XdpStack::Frames(const HostOptions& options) {
  return options.frames * static_cast<uint32_t>(std::max<size_t>(options.interfaces.size(), 1));
}

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
      netstack::IpOptions{.secret = runtime::SipKey::Random(), .forwarding = options.ip_forward}, netstack::TcpSettings(),
      pool, scheduler.timers());
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
    const auto port = std::ranges::find_if(ports_, [&](const auto& p) { return p->interface().device.name() == name; });
    if (port == ports_.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--address=", wanted.prefix.ToString(), "@", name, ": --interface does not name ", name));
    }
    netstack::Interface& interface = (*port)->interface();
    if (!inet_->ip.AddAddress(interface, {wanted.prefix, netstack::AddressState::kPreferred})) {
      return absl::InvalidArgumentError(absl::StrCat("--address=", wanted.prefix.ToString(), ": twice, or more than ",
                                                     netstack::Interface::kMaxAddresses, " on ", name));
    }
    if (wanted.prefix.ip.is_v4()) inet_->ip.CountFailure(netstack::ArpAnnounce(interface, wanted.prefix.ip));
  }
  return absl::OkStatus();
}

absl::Status XdpStack::AddRoutes(const HostOptions& options) {
  for (const HostOptions::Route& route : options.routes) {
    const auto port = std::ranges::find_if(ports_, [&](const auto& p) { return p->interface().OnLink(route.gateway); });
    if (port == ports_.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(route.prefix.length == 0 ? "--gateway=" : "--route: gateway ", route.gateway.ToString(),
                       " is in the network of none of our addresses"));
    }
    if (!inet_->ip.routes.Add({.prefix = route.prefix, .out = &(*port)->interface(), .gateway = route.gateway})) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", netstack::RouteTable::kMaxRoutes, " routes"));
    }
  }
  return absl::OkStatus();
}

XdpPort& XdpStack::PortOf(const netstack::Interface& interface) {
  return **std::ranges::find_if(ports_, [&](const auto& port) { return &port->interface() == &interface; });
}

void XdpStack::AddressAdded(netstack::Interface& interface, const IpAddress& ip) {
  const absl::Status status = PortOf(interface).Steer(ip, /*ours=*/true);
  if (!status.ok()) std::fprintf(stderr, "weir: frames to %s: %s\n", ip.ToString().c_str(), status.ToString().c_str());
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
