#include "netstack/host/address_setup.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <span>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "netstack/ip/arp.h"
#include "netstack/wire/dhcp.h"
#include "runtime/core/sleep.h"

namespace weir {
namespace {

constexpr IpAddress kAnyIpv4 = IpAddress::V4(0);

// Made of a router's prefix, and not only of the link-local one.
bool IsAdvertised(const netstack::InterfaceAddress& address) {
  return address.generated && !address.prefix.ip.is_link_local();
}

bool IsIpv6(const netstack::InterfaceAddress& address) { return !address.prefix.ip.is_v4(); }

absl::Status Refused(const std::string& what, const netstack::Interface& interface) {
  return absl::InvalidArgumentError(absl::StrCat("--address=", what, ": twice, or more than ",
                                                 netstack::Interface::kMaxAddresses, " on ", interface.device.name()));
}

}  // namespace

AddressSetup::~AddressSetup() {
  if (!dhcp_.empty()) inet_.udp.Unbind(dhcp_sock_);
}

absl::Status AddressSetup::Add(netstack::Interface& interface, const HostOptions::Address& wanted) {
  switch (wanted.kind) {
    case AddressKind::kStatic: return AddStatic(interface, wanted.prefix);
    case AddressKind::kDhcp: return AddDhcp(interface);
    case AddressKind::kSlaac: return AddSlaac(interface);
  }
}

absl::Status AddressSetup::AddStatic(netstack::Interface& interface, const IpPrefix& address) {
  const Nanos now_ns = scheduler_.now_ns();
  const bool v4 = address.ip.is_v4();
  const bool added =
      v4 ? inet_.ip.AddAddress(interface, {address}) : interface.addrconf.Add(address, now_ns);
  if (!added) return Refused(address.ToString(), interface);
  if (v4) inet_.ip.CountFailure(netstack::ArpAnnounce(interface, address.ip));
  return absl::OkStatus();
}

absl::Status AddressSetup::AddDhcp(netstack::Interface& interface) {
  const auto same = [&](const auto& dhcp) { return &dhcp->interface() == &interface; };
  if (std::ranges::any_of(dhcp_, same)) return Refused("dhcp", interface);
  if (dhcp_.empty()) {
    dhcp_sock_.owner = this;
    dhcp_sock_.on_ready = &OnDatagram;
    if (inet_.udp.Bind(dhcp_sock_, {kAnyIpv4, netstack::kDhcpClientPort}) != 0) return Refused("dhcp", interface);
  }
  dhcp_.push_back(std::make_unique<netstack::DhcpInterface>(interface, /*hostname=*/""));
  return absl::OkStatus();
}

absl::Status AddressSetup::AddSlaac(netstack::Interface& interface) {
  if (std::ranges::count(slaac_, &interface) > 0) return Refused("slaac", interface);
  slaac_.push_back(&interface);
  return absl::OkStatus();
}

void AddressSetup::Start() {
  const Nanos now_ns = scheduler_.now_ns();
  complete_.Reset();
  for (const std::unique_ptr<netstack::Interface>& interface : inet_.ip.interfaces) {
    const bool slaac = std::ranges::count(slaac_, interface.get()) > 0;
    if (!slaac && std::ranges::none_of(interface->addresses(), &IsIpv6)) continue;
    interface->addrconf.Start(AddressSecret(interface->device.name()), now_ns);
    if (slaac) interface->routers.Start(now_ns);
  }
  for (const auto& dhcp : dhcp_) dhcp->Start(now_ns);
}

std::string AddressSetup::Missing() const {
  std::string missing;
  for (const auto& dhcp : dhcp_) {
    if (dhcp->client().configured()) continue;
    absl::StrAppend(&missing, missing.empty() ? "" : ", ", "no lease from a DHCP server on ",
                    dhcp->interface().device.name());
  }
  for (const netstack::Interface* interface : slaac_) {
    if (std::ranges::any_of(interface->addresses(), &IsAdvertised)) continue;
    absl::StrAppend(&missing, missing.empty() ? "" : ", ", "no prefix from a router on ", interface->device.name());
  }
  return missing;
}

Task<absl::Status> AddressSetup::Wait() {
  if (Missing().empty()) co_return absl::OkStatus();
  const absl::Status status = co_await WithTimeout(complete_.Wait(), std::chrono::seconds(kPatienceSeconds));
  if (!absl::IsDeadlineExceeded(status)) co_return status;
  co_return absl::DeadlineExceededError(absl::StrCat("--address: ", Missing(), " in ", kPatienceSeconds, " s"));
}

void AddressSetup::AddressAdded() {
  if (Missing().empty()) complete_.Set();
}

void AddressSetup::AddressDuplicate(const netstack::Interface& interface, const IpAddress& ip) {
  if (!duplicate_lines_.Take(scheduler_.now_ns())) return;
  std::fprintf(stderr, "weir: %s: another host has %s, which is not used\n", interface.device.name().c_str(),
               ip.ToString().c_str());
}

void AddressSetup::Release() {
  for (const auto& dhcp : dhcp_) dhcp->Release(scheduler_.now_ns());
}

bool AddressSetup::Releasing() const {
  return std::ranges::any_of(dhcp_, [](const auto& dhcp) {
    return std::ranges::any_of(dhcp->interface().neighbours.entries(),
                               [](const netstack::Neighbour& neighbour) { return neighbour.pending_count > 0; });
  });
}

void AddressSetup::OnDatagram(netstack::ReadySock& sock, uint8_t) {
  auto& self = *static_cast<AddressSetup*>(sock.owner);
  while (!self.dhcp_sock_.receive_queue.empty()) {
    const netstack::Datagram datagram = self.dhcp_sock_.receive_queue.Pop();
    const std::span<const iovec> pieces = datagram.data.buffers();
    if (pieces.size() != 1) continue;  // came in fragments: longer than we said that we take
    const std::span<const std::byte> payload(static_cast<const std::byte*>(pieces[0].iov_base), pieces[0].iov_len);
    for (const auto& dhcp : self.dhcp_) {
      if (dhcp->interface().index == datagram.interface) dhcp->OnMessage(payload, self.scheduler_.now_ns());
    }
  }
}

runtime::SipKey AddressSecret(const std::string& interface) {
  char digits[33] = {};
  std::FILE* file = std::fopen("/etc/machine-id", "re");
  const size_t read = file != nullptr ? std::fread(digits, 1, 32, file) : 0;
  if (file != nullptr) std::fclose(file);
  runtime::SipKey machine;
  const absl::string_view text(digits, read);
  if (read != 32 || !absl::SimpleHexAtoi(text.substr(0, 16), &machine.k0) ||
      !absl::SimpleHexAtoi(text.substr(16), &machine.k1)) {
    return runtime::SipKey::Random();
  }
  // The identity is confidential (machine-id(5)): only a hash of it goes on.
  std::vector<uint64_t> input((interface.size() + 7) / 8 + 1);
  std::memcpy(input.data(), interface.data(), interface.size());
  runtime::SipKey secret;
  secret.k0 = runtime::SipHash(machine, input);
  input.back() = 1;
  secret.k1 = runtime::SipHash(machine, input);
  return secret;
}

}  // namespace weir
