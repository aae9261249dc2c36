// AddressSetup: gives the interfaces of --stack=xdp the addresses that --address asks for: those it names, a DHCP
// server's lease (RFC 2131), what routers advertise (RFC 4862), and with any IPv6 address a link-local one. A program
// begins when there is one of each kind that was asked for.
#ifndef NETSTACK_HOST_ADDRESS_SETUP_H_
#define NETSTACK_HOST_ADDRESS_SETUP_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "netstack/host/host_options.h"
#include "netstack/ip/inet.h"
#include "netstack/ip/rate_limit.h"
#include "netstack/udp/dhcp_interface.h"
#include "runtime/base/siphash.h"
#include "runtime/core/async_event.h"
#include "runtime/core/scheduler.h"
#include "runtime/core/task.h"

namespace weir {

class AddressSetup {
 public:
  // The first four DISCOVERs of RFC 2131 §4.1 take 28 s, three router solicitations 9 s (RFC 4861 §6.3.7); with a
  // server that answers, its own check and ours take about ten.
  static constexpr int kPatienceSeconds = 30;

  // Both outlive this.
  AddressSetup(netstack::Inet& inet, runtime::Scheduler& scheduler) : inet_(inet), scheduler_(scheduler) {}
  AddressSetup(const AddressSetup&) = delete;
  ~AddressSetup();

  absl::Status Add(netstack::Interface& interface, const HostOptions::Address& wanted);
  // When all were added.
  void Start();
  // Until every lease and every advertised address is there. One line says what is missing when that takes too long.
  Task<absl::Status> Wait();
  bool Complete() const { return Missing().empty(); }
  // To be called when an interface has a new address, and to tell the user of one that another host has.
  void AddressAdded();
  void AddressDuplicate(const netstack::Interface& interface, const IpAddress& ip);

  // Gives leases back.
  void Release();
  // The messages that do so still wait for the servers' link-layer addresses.
  bool Releasing() const;

 private:
  static void OnDatagram(netstack::ReadySock& sock, uint8_t events);

  absl::Status AddStatic(netstack::Interface& interface, const IpPrefix& address);
  absl::Status AddDhcp(netstack::Interface& interface);
  absl::Status AddSlaac(netstack::Interface& interface);
  // What Wait still waits for, in words; empty: nothing.
  std::string Missing() const;

  netstack::Inet& inet_;
  runtime::Scheduler& scheduler_;
  netstack::UdpSock dhcp_sock_;  // port 68 of all interfaces; bound when there is one of dhcp_
  std::vector<std::unique_ptr<netstack::DhcpInterface>> dhcp_;
  std::vector<netstack::Interface*> slaac_;
  AsyncEvent complete_;
  // Other hosts can make it happen as often as they like; a machine that is set up wrong says so a few times.
  netstack::RateLimit duplicate_lines_{.rate = 1, .burst = 10};
};

// The secret of an interface's opaque identifiers (RFC 7217 §5): of the machine's identity and the interface's name, so
// that the interface has the same addresses after each start; random where the machine has none (machine-id(5)).
runtime::SipKey AddressSecret(const std::string& interface);

}  // namespace weir

#endif  // NETSTACK_HOST_ADDRESS_SETUP_H_
