#include "netstack/ip/interface.h"

#include <algorithm>
#include <bit>

#include "netstack/ip/ip_context.h"

namespace weir::netstack {
namespace {

// RFC 6724 §3.1: how far an address reaches; larger is farther.
int Scope(const IpAddress& ip) {
  constexpr int kLinkLocal = 0x2, kGlobal = 0xe;
  if (ip.is_multicast()) return ip.bytes()[1] & 0xf;
  return ip.is_link_local() || ip.is_loopback() ? kLinkLocal : kGlobal;
}

int CommonPrefix(const IpAddress& a, const IpAddress& b) {
  int bits = 0;
  for (size_t i = 0; i < 16; ++i, bits += 8) {
    const auto difference = static_cast<uint8_t>(a.bytes()[i] ^ b.bytes()[i]);
    if (difference != 0) return bits + std::countl_zero(difference);
  }
  return bits;
}

// Whether `a` fits better than `b`: rules 1, 2, 3 and 8 of RFC 6724 §5; the others are about several interfaces,
// mobility and policy tables.
bool BetterSource(const InterfaceAddress& a, const InterfaceAddress& b, const IpAddress& destination) {
  if ((a.prefix.ip == destination) != (b.prefix.ip == destination)) return a.prefix.ip == destination;
  const int scope_a = Scope(a.prefix.ip), scope_b = Scope(b.prefix.ip), wanted = Scope(destination);
  if (scope_a != scope_b) return scope_a < scope_b ? scope_a >= wanted : scope_b < wanted;
  // RFC 4429 §3.1: an optimistic address is chosen like a deprecated one.
  const bool preferred_a = a.state == AddressState::kPreferred, preferred_b = b.state == AddressState::kPreferred;
  if (preferred_a != preferred_b) return preferred_a;
  return CommonPrefix(a.prefix.ip, destination) > CommonPrefix(b.prefix.ip, destination);
}

}  // namespace

Interface::Interface(IpContext& context, uint32_t index, const NetDeviceOptions& options)
    : context(context), index(index), device(options), routers(*this), addrconf(*this) {}

InterfaceAddress* Interface::FindAddress(const IpAddress& ip) {
  for (size_t i = 0; i < address_count_; ++i) {
    if (addresses_[i].prefix.ip == ip) return &addresses_[i];
  }
  return nullptr;
}

const InterfaceAddress* Interface::FirstAddress(bool v4) const {
  for (const InterfaceAddress& address : addresses()) {
    if (address.prefix.ip.is_v4() == v4) return &address;
  }
  return nullptr;
}

const InterfaceAddress* Interface::LinkLocal() const {
  for (const InterfaceAddress& address : addresses()) {
    if (!address.prefix.ip.is_v4() && address.prefix.ip.is_link_local()) return &address;
  }
  return nullptr;
}

bool Interface::OnLink(const IpAddress& ip) const {
  return std::ranges::any_of(addresses(),
                             [&](const InterfaceAddress& a) { return a.on_link && a.prefix.Contains(ip); });
}

bool Interface::IsBroadcast(const IpAddress& ip) const {
  if (ip == IpAddress::V4(0xffffffff)) return true;
  return ip.is_v4() &&
         std::ranges::any_of(addresses(), [&](const InterfaceAddress& a) { return a.prefix.IsBroadcast(ip); });
}

const InterfaceAddress* Interface::SelectSource(const IpAddress& destination) const {
  const bool v4 = destination.is_v4();
  const InterfaceAddress* best = nullptr;
  for (const InterfaceAddress& address : addresses()) {
    if (address.prefix.ip.is_v4() != v4) continue;
    if (best == nullptr || (v4 ? address.prefix.Contains(destination) && !best->prefix.Contains(destination)
                               : BetterSource(address, *best, destination))) {
      best = &address;
    }
  }
  return best;
}

}  // namespace weir::netstack
