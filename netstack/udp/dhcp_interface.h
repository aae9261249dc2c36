// DhcpInterface: an interface whose IPv4 address comes from a DHCP server: what DhcpClient asks of its owner. Sends
// its messages, looks whether an offered address is free (RFC 5227 §2.1), gives the interface the address, routes and
// MTU of the lease, and takes them away with it. Linux has this in user space (systemd-networkd, dhclient).
#ifndef NETSTACK_UDP_DHCP_INTERFACE_H_
#define NETSTACK_UDP_DHCP_INTERFACE_H_

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "netstack/ip/ip_context.h"
#include "netstack/udp/dhcp_client.h"

namespace weir::netstack {

class DhcpInterface final : DhcpPort, runtime::Timer {
 public:
  // RFC 5227 §1.1.
  static constexpr int kProbeNum = 3;
  static constexpr Nanos kProbeWait = 1 * kSecond;
  static constexpr Nanos kProbeMin = 1 * kSecond, kProbeMax = 2 * kSecond;
  static constexpr Nanos kAnnounceWait = 2 * kSecond;
  static constexpr int kAnnounceNum = 2;
  static constexpr Nanos kAnnounceInterval = 2 * kSecond;

  // `interface` outlives this. `hostname`: told to the server unless empty.
  DhcpInterface(Interface& interface, const std::string& hostname);
  ~DhcpInterface();
  DhcpInterface(const DhcpInterface&) = delete;

  void Start(Nanos now_ns) { client_.Start(now_ns); }
  // A datagram that came to port 68 of the interface.
  void OnMessage(std::span<const std::byte> payload, Nanos now_ns) { client_.OnMessage(payload, now_ns); }
  // Gives the lease back (RFC 2131 §4.4.6). The address stays, for the message to leave from: this is the end of all.
  void Release(Nanos now_ns);

  const DhcpClient& client() const { return client_; }
  Interface& interface() { return interface_; }

 private:
  static void OnTimer(runtime::Timer& timer, Nanos now_ns);

  void Send(std::span<const std::byte> payload, const IpAddress& source, const IpAddress& destination,
            Nanos now_ns) override;
  void Probe(const IpAddress& address, Nanos now_ns) override;
  void Configure(const DhcpLease& lease, Nanos now_ns) override;
  void Deconfigure(Nanos now_ns) override;

  void NextProbe(Nanos now_ns);
  void EndProbe(bool conflict, Nanos now_ns);
  void NextAnnouncement(Nanos now_ns);
  void SetRoutes(std::span<const DhcpLease::Route> routes);

  Interface& interface_;
  DhcpClient client_;
  bool releasing_ = false;
  int probes_ = 0;         // still to be sent, while Interface::arp_probe has an address
  int announcements_ = 0;  // still to be sent
  std::optional<IpPrefix> address_;   // what the interface has from us, as are the following
  std::array<DhcpLease::Route, DhcpReply::kMaxRoutes> routes_;
  size_t route_count_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_DHCP_INTERFACE_H_
