#include "netstack/ip/addrconf.h"

#include <algorithm>
#include <bit>

#include "netstack/ip/ip_context.h"
#include "netstack/ip/ndisc_output.h"

namespace weir::netstack {
namespace {

constexpr int kIdentifierBits = 64;  // RFC 2464 §4
constexpr IpPrefix kLinkLocal{IpAddress::V6({0xfe, 0x80}), 128 - kIdentifierBits};  // RFC 4291 §2.5.6

// RFC 5453: the subnet-router anycast address, the block of IANA's Ethernet identifiers, the subnet anycast addresses.
bool IsReserved(uint64_t identifier) {
  return identifier == 0 || identifier >> 24 == 0x02005efffe || identifier >= 0xfdffffffffffff80;
}

// RFC 7217 §5: RID = F(Prefix, Net_Iface, Network_ID, DAD_Counter, secret_key). The interface is part of the secret; no
// network tells its name.
IpAddress StableAddress(const runtime::SipKey& secret, const IpAddress& network, uint8_t dad_counter) {
  for (uint64_t attempt = 0;; ++attempt) {
    const uint64_t input[] = {network.words()[0], dad_counter, attempt};
    const uint64_t identifier = runtime::SipHash(secret, input);
    std::array<uint8_t, 16> bytes = network.bytes();
    for (size_t i = 0; i < 8; ++i) bytes[8 + i] = static_cast<uint8_t>(identifier >> (56 - 8 * i));
    const IpAddress address = IpAddress::V6(bytes);
    if (!IsReserved(identifier) && !address.is_v4()) return address;
  }
}

Nanos Until(uint32_t lifetime_s, Nanos now_ns) {
  return lifetime_s == PrefixInformation::kInfinite ? kNever : now_ns + lifetime_s * kSecond;
}

AddressState StateAt(const InterfaceAddress& address, Nanos now_ns) {
  if (address.dad_until_ns > now_ns) return AddressState::kOptimistic;
  return address.preferred_until_ns > now_ns ? AddressState::kPreferred : AddressState::kDeprecated;
}

// RFC 4862 §5.5.3 (e): what is left of a lifetime cannot be cut below two hours by one forged advertisement.
Nanos ValidUntil(const InterfaceAddress& address, uint32_t advertised_s, Nanos now_ns) {
  const Nanos advertised = Until(advertised_s, now_ns), two_hours = now_ns + Addrconf::kTwoHours;
  if (advertised > two_hours || advertised > address.valid_until_ns) return advertised;
  return std::min(address.valid_until_ns, two_hours);
}

}  // namespace

Addrconf::~Addrconf() { interface_.context.timers.Cancel(*this); }

void Addrconf::Start(const runtime::SipKey& secret, Nanos now_ns) {
  secret_ = secret;
  if (interface_.LinkLocal() == nullptr) Generate({.prefix = kLinkLocal, .generated = true}, now_ns);
}

bool Addrconf::Add(const IpPrefix& address, Nanos now_ns) { return Try({.prefix = address}, now_ns); }

// RFC 4429 §3.3: in use immediately, and the solicitation, of which there is one (DupAddrDetectTransmits of RFC 4862
// §5.1), is sent without the random delay of RFC 4862 §5.4.2. Linux: addrconf_dad_begin, with IFA_F_OPTIMISTIC.
bool Addrconf::Try(InterfaceAddress address, Nanos now_ns) {
  address.dad_until_ns = now_ns + interface_.retrans_timer6_ns;
  address.state = AddressState::kOptimistic;
  address.dad_nonce = interface_.context.Draw() >> 16;  // 48 bits of it
  if (!interface_.context.AddAddress(interface_, address)) return false;
  interface_.context.CountFailure(NdpProbe(interface_, address, now_ns));
  Arm();
  return true;
}

void Addrconf::Generate(InterfaceAddress wanted, Nanos now_ns) {
  wanted.prefix.ip = StableAddress(secret_, wanted.prefix.network(), wanted.dad_counter);
  const auto generated = std::ranges::count(interface_.addresses(), true, &InterfaceAddress::generated);
  if (generated == kMaxGenerated || !Try(wanted, now_ns)) {
    interface_.context.outcomes.Count(DropReason::kAutoconfTableFull);
  }
}

void Addrconf::PrefixRcv(const PrefixInformation& advertised, Nanos now_ns) {
  // RFC 4862 §5.5.3 (a) to (c); (d): the prefix and the identifier together have 128 bits.
  const IpAddress& network = advertised.prefix.ip;
  if (!advertised.autonomous || network.is_link_local() || network.is_multicast() ||
      advertised.preferred_lifetime_s > advertised.valid_lifetime_s ||
      advertised.prefix.length != 128 - kIdentifierBits) {
    return;
  }
  bool known = false;
  for (InterfaceAddress& address : interface_.mutable_addresses()) {
    if (!address.generated || !advertised.prefix.Contains(address.prefix.ip)) continue;
    known = true;
    address.valid_until_ns = ValidUntil(address, advertised.valid_lifetime_s, now_ns);
    address.preferred_until_ns = Until(advertised.preferred_lifetime_s, now_ns);
    address.state = StateAt(address, now_ns);
    ++interface_.context.config_changes;
  }
  if (known) return Arm();
  if (advertised.valid_lifetime_s == 0) return;
  Generate({.prefix = advertised.prefix,
            .on_link = false,
            .generated = true,
            .preferred_until_ns = Until(advertised.preferred_lifetime_s, now_ns),
            .valid_until_ns = Until(advertised.valid_lifetime_s, now_ns)},
           now_ns);
}

void Addrconf::Duplicate(const IpAddress& ip, Nanos now_ns) {
  const InterfaceAddress* found = interface_.FindAddress(ip);
  if (found == nullptr) return;
  InterfaceAddress address = *found;
  IpContext& context = interface_.context;
  context.RemoveAddress(interface_, ip);
  if (context.address_listener != nullptr) context.address_listener->AddressDuplicate(interface_, ip);
  // RFC 7217 §6; without its random delay, which keeps hosts from going on in step that share a secret.
  if (address.generated && address.dad_counter++ < kIdGenRetries) Generate(address, now_ns);
}

void Addrconf::OnTimer(runtime::Timer& timer, Nanos now_ns) {
  auto& self = static_cast<Addrconf&>(timer);
  Interface& interface = self.interface_;
  for (size_t i = interface.addresses().size(); i-- > 0;) {
    InterfaceAddress& address = interface.mutable_addresses()[i];
    if (address.valid_until_ns <= now_ns) {  // RFC 4862 §5.5.4
      interface.context.RemoveAddress(interface, address.prefix.ip);
      continue;
    }
    address.state = StateAt(address, now_ns);
    ++interface.context.config_changes;
  }
  self.Arm();
}

// For the next thing that happens to any of the addresses.
void Addrconf::Arm() {
  Nanos next = kNever;
  for (const InterfaceAddress& address : interface_.addresses()) {
    next = std::min(next, address.valid_until_ns);
    if (address.state == AddressState::kOptimistic) next = std::min(next, address.dad_until_ns);
    if (address.state == AddressState::kPreferred) next = std::min(next, address.preferred_until_ns);
  }
  if (next == kNever) return interface_.context.timers.Cancel(*this);
  interface_.context.timers.Arm(*this, next);
}

}  // namespace weir::netstack
