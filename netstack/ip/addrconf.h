// Addrconf: the IPv6 addresses of one interface: how each is tried before it is kept (duplicate address detection,
// RFC 4862 §5.4, in the optimistic form of RFC 4429, with the nonce of RFC 7527), the link-local one, those that router
// advertisements bring (RFC 4862 §5.5), and how they age (RFC 4862 §5.5.4). Linux: net/ipv6/addrconf.c.
//
// Interface identifiers are opaque (RFC 7217): the same after each start on the same network, others on another. The
// one made of the MAC address (RFC 4291 Appendix A) is the kernel's, which is on the same interface.
#ifndef NETSTACK_IP_ADDRCONF_H_
#define NETSTACK_IP_ADDRCONF_H_

#include "netstack/wire/ndp.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/siphash.h"
#include "runtime/base/time.h"
#include "runtime/base/timer_wheel.h"

namespace weir::netstack {

class Interface;
struct InterfaceAddress;

class Addrconf : private runtime::Timer {
 public:
  static constexpr uint8_t kIdGenRetries = 3;         // RFC 7217 §7
  static constexpr Nanos kTwoHours = 7200 * kSecond;  // RFC 4862 §5.5.3 (e)
  // Made here: the link-local address, and one for each prefix that an advertisement may have. The others of
  // Interface::kMaxAddresses are left to the user, whatever routers say. Linux: max_addresses.
  static constexpr int kMaxGenerated = 1 + RouterAdvertisement::kMaxPrefixes;

  explicit Addrconf(Interface& interface) : Timer(&OnTimer), interface_(interface) {}
  ~Addrconf();
  Addrconf(const Addrconf&) = delete;

  // `secret`: what interface identifiers are made of. Gives the interface its link-local address, unless it has one.
  void Start(const runtime::SipKey& secret, Nanos now_ns);

  // An address that the user wants: in use at once, and tried. False: as IpContext::AddAddress.
  bool Add(const IpPrefix& address, Nanos now_ns);

  // A prefix that a router advertised (RFC 4862 §5.5.3). Linux: addrconf_prefix_rcv.
  void PrefixRcv(const PrefixInformation& advertised, Nanos now_ns);

  // Another host has, or tries, the address `ip` of ours: it is taken away, and one that was made here is replaced, a
  // few times (RFC 4862 §5.4.5, RFC 7217 §6). Linux: addrconf_dad_failure.
  void Duplicate(const IpAddress& ip, Nanos now_ns);

 private:
  static void OnTimer(runtime::Timer& timer, Nanos now_ns);

  bool Try(InterfaceAddress address, Nanos now_ns);
  // Makes an address of `wanted`'s prefix and tries it.
  void Generate(InterfaceAddress wanted, Nanos now_ns);
  void Arm();

  Interface& interface_;
  runtime::SipKey secret_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_ADDRCONF_H_
