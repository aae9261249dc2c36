#include "netstack/udp/dhcp_interface.h"

#include <algorithm>
#include <cstring>

#include "netstack/ip/arp.h"
#include "netstack/ip/ip_output.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/udp.h"

namespace weir::netstack {
namespace {

// Above a route that the user set, as what routers advertise is (IP6_RT_PRIO_USER of Linux, and dhclient's habit).
constexpr uint32_t kRouteMetric = 1024;

Route RouteOf(Interface& out, const DhcpLease::Route& route) {
  return {.prefix = route.network, .out = &out, .gateway = route.gateway, .metric = kRouteMetric};
}

}  // namespace

DhcpInterface::DhcpInterface(Interface& interface, const std::string& hostname)
    : Timer(&OnTimer),
      interface_(interface),
      client_({.mac = interface.device.mac(),
               .secret = {interface.context.Draw(), interface.context.Draw()},
               .hostname = hostname},
              *this, interface.context.timers) {}

DhcpInterface::~DhcpInterface() { interface_.context.timers.Cancel(*this); }

void DhcpInterface::Release(Nanos now_ns) {
  releasing_ = true;
  client_.Stop(now_ns);
}

// RFC 2131 §4.1. Not through a socket: none can have the source 0.0.0.0 that is sent from before there is an address.
void DhcpInterface::Send(std::span<const std::byte> payload, const IpAddress& source, const IpAddress& destination,
                         Nanos now_ns) {
  IpContext& context = interface_.context;
  runtime::Frame* frame = context.pool.Alloc();
  if (frame == nullptr) return context.outcomes.Count(DropReason::kTxNoFrame);
  std::memcpy(frame->data, payload.data(), payload.size());
  const auto length = static_cast<uint16_t>(payload.size() + UdpHeader::kSize);
  frame->len = static_cast<uint32_t>(payload.size());
  std::byte* header = frame->Push(UdpHeader::kSize);
  UdpHeader{.source_port = kDhcpClientPort, .destination_port = kDhcpServerPort, .length = length}.Emit(header);
  const ChecksumSum pseudo = PseudoHeaderSum(source, destination, kProtocolUdp, length);
  const uint16_t checksum = FinishChecksum(SumBytes(frame->bytes()) + pseudo);
  StoreChecksum(header + UdpHeader::kChecksumOffset, checksum != 0 ? checksum : uint16_t{0xffff});  // RFC 768
  context.CountFailure(IpOutput(
      context, frame,
      {.source = source, .destination = destination, .protocol = kProtocolUdp, .out = &interface_}, now_ns));
}

// RFC 5227 §2.1.1: three questions, one to two seconds apart, after a random delay, and two seconds more for an answer.
void DhcpInterface::Probe(const IpAddress& address, Nanos now_ns) {
  interface_.arp_probe = {.ip = address};
  probes_ = kProbeNum;
  interface_.context.timers.Arm(*this, now_ns + static_cast<Nanos>(interface_.context.Draw() % kProbeWait));
}

void DhcpInterface::NextProbe(Nanos now_ns) {
  IpContext& context = interface_.context;
  if (interface_.arp_probe.conflict) return EndProbe(/*conflict=*/true, now_ns);
  if (probes_ == 0) return EndProbe(/*conflict=*/false, now_ns);
  context.CountFailure(ArpProbe(interface_, interface_.arp_probe.ip));
  const Nanos gap = kProbeMin + static_cast<Nanos>(context.Draw() % (kProbeMax - kProbeMin));
  context.timers.Arm(*this, now_ns + (--probes_ > 0 ? gap : kAnnounceWait));
}

void DhcpInterface::EndProbe(bool conflict, Nanos now_ns) {
  const IpAddress address = interface_.arp_probe.ip;
  interface_.arp_probe = {};
  if (conflict && interface_.context.address_listener != nullptr) {
    interface_.context.address_listener->AddressDuplicate(interface_, address);
  }
  client_.OnProbeResult(address, conflict, now_ns);
}

void DhcpInterface::Configure(const DhcpLease& lease, Nanos now_ns) {
  IpContext& context = interface_.context;
  ++context.config_changes;
  interface_.mtu4 = lease.mtu.has_value() && *lease.mtu < interface_.device.mtu() ? *lease.mtu : 0;
  SetRoutes(std::span(lease.routes).first(lease.route_count));
  if (lease.routes_left_out) context.outcomes.Count(DropReason::kAutoconfTableFull);
  if (address_ == lease.address) return;
  if (address_.has_value()) context.RemoveAddress(interface_, address_->ip);  // renewed with another mask
  address_.reset();
  if (!context.AddAddress(interface_, {lease.address})) return context.outcomes.Count(DropReason::kAutoconfTableFull);
  address_ = lease.address;
  announcements_ = kAnnounceNum;
  NextAnnouncement(now_ns);
}

void DhcpInterface::Deconfigure(Nanos) {
  if (releasing_) return;
  interface_.context.timers.Cancel(*this);
  SetRoutes({});
  interface_.mtu4 = 0;
  ++interface_.context.config_changes;
  if (address_.has_value()) interface_.context.RemoveAddress(interface_, address_->ip);
  address_.reset();
}

void DhcpInterface::SetRoutes(std::span<const DhcpLease::Route> routes) {
  const std::span<const DhcpLease::Route> before(routes_.data(), route_count_);
  if (std::ranges::equal(routes, before)) return;
  IpContext& context = interface_.context;
  for (const DhcpLease::Route& route : before) context.routes.Remove(RouteOf(interface_, route));
  std::ranges::copy(routes, routes_.begin());
  route_count_ = routes.size();
  for (const DhcpLease::Route& route : routes) {
    if (!context.routes.Add(RouteOf(interface_, route))) context.outcomes.Count(DropReason::kAutoconfTableFull);
  }
}

// RFC 5227 §2.3.
void DhcpInterface::NextAnnouncement(Nanos now_ns) {
  interface_.context.CountFailure(ArpAnnounce(interface_, address_->ip));
  if (--announcements_ > 0) interface_.context.timers.Arm(*this, now_ns + kAnnounceInterval);
}

void DhcpInterface::OnTimer(runtime::Timer& timer, Nanos now_ns) {
  auto& self = static_cast<DhcpInterface&>(timer);
  if (self.interface_.arp_probe.ip.is_v4()) {
    self.NextProbe(now_ns);
  } else {
    self.NextAnnouncement(now_ns);
  }
}

}  // namespace weir::netstack
