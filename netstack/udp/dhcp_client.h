// A DHCPv4 client: how an interface gets its address, keeps it, and gives it back (RFC 2131 §4.4, figure 5).
//
//   INIT -> SELECTING -> REQUESTING -> (conflict check) -> BOUND -> RENEWING -> REBINDING -> INIT
//
// Protocol code: a function of (message, now) and of its timer. Sockets, ARP and the interface are the owner's, behind
// DhcpPort. The client keeps one lease and sends one message at a time, so it is bounded whatever servers send: an
// answer makes it send at most one message, and what it sends again it sends by its own timer.
#ifndef NETSTACK_UDP_DHCP_CLIENT_H_
#define NETSTACK_UDP_DHCP_CLIENT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "netstack/wire/dhcp.h"
#include "netstack/wire/ethernet.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/siphash.h"
#include "runtime/base/time.h"
#include "runtime/base/timer_wheel.h"

namespace weir::netstack {

struct DhcpLease {
  struct Route {
    IpPrefix network;
    IpAddress gateway;  // any: on the link
    friend bool operator==(const Route&, const Route&) = default;
  };

  IpPrefix address;
  IpAddress server;  // its identifier
  // Classless routes, or, without such, the one to everywhere through the router (RFC 3442).
  std::array<Route, DhcpReply::kMaxRoutes> routes;
  size_t route_count = 0;
  bool routes_left_out = false;  // the server said more
  std::optional<IpAddress> broadcast;  // within the prefix
  std::optional<uint16_t> mtu;
  std::array<IpAddress, DhcpReply::kMaxDnsServers> dns_servers;
  size_t dns_server_count = 0;
  Nanos renew_ns = kNever;   // T1, in the time that is injected, as are the following
  Nanos rebind_ns = kNever;  // T2
  Nanos expiry_ns = kNever;
};

// What the client asks of the interface's owner, who calls the client back from none of these but Probe.
class DhcpPort {
 public:
  // Sends a datagram from `source`:68 to `destination`:67. `source` is 0.0.0.0 until there is an address;
  // `destination` is a server, or 255.255.255.255. A datagram that is lost is sent again in time.
  virtual void Send(std::span<const std::byte> payload, const IpAddress& source, const IpAddress& destination,
                    Nanos now_ns) = 0;
  // Looks for another host that has `address` (RFC 5227 §2.1), and tells DhcpClient::OnProbeResult in any case.
  virtual void Probe(const IpAddress& address, Nanos now_ns) = 0;
  // The interface has this lease from now on; called again, with the same address, when it is renewed.
  virtual void Configure(const DhcpLease& lease, Nanos now_ns) = 0;
  // The lease is over: the address must not be used any more.
  virtual void Deconfigure(Nanos now_ns) = 0;

 protected:
  ~DhcpPort() = default;
};

enum class DhcpState : uint8_t {
  kStopped,
  kInit,        // waits before it begins anew
  kSelecting,   // DISCOVER is out
  kRequesting,  // REQUEST is out, for what was offered
  kProbing,     // acknowledged; is the address free?
  kBound,
  kRenewing,   // REQUEST is out, to the server of the lease
  kRebinding,  // REQUEST is out, to any server
};

struct DhcpCounters {
  uint64_t sent = 0;
  uint64_t malformed = 0;   // answers that are not DHCP
  uint64_t unexpected = 0;  // of another transaction, host, server or state
  uint64_t refused = 0;     // offers and acknowledgments with values that cannot be
  uint64_t naks = 0;
  uint64_t conflicts = 0;  // addresses declined
  uint64_t gave_up = 0;    // offers whose request was never answered
  uint64_t expired = 0;
};

struct DhcpClientOptions {
  MacAddress mac;
  runtime::SipKey secret;  // for transaction ids and random delays
  std::string hostname;    // told to the server unless empty
  // Ask for answers by broadcast: a stack that takes only packets to its own addresses gets no others (RFC 2131 §4.1).
  bool broadcast = true;
  // The longest message we take: what one Ethernet packet carries.
  uint16_t max_message_size = 1500 - 20 - 8;
};

class DhcpClient : private runtime::Timer {
 public:
  static constexpr Nanos kFirstTimeout = 4 * kSecond;  // RFC 2131 §4.1, doubled each time, as are the following
  static constexpr Nanos kMaxTimeout = 64 * kSecond;
  static constexpr Nanos kJitter = 1 * kSecond;             // added or taken away
  static constexpr int kMaxRequests = 4;                    // RFC 2131 §3.1.5: one minute in all
  static constexpr Nanos kDeclineWait = 10 * kSecond;       // RFC 2131 §3.1.5
  static constexpr Nanos kMinRenewInterval = 60 * kSecond;  // RFC 2131 §4.4.5
  // A shorter lease would end before the second attempt to renew it.
  static constexpr uint32_t kMinLeaseSeconds = 60;
  // T1 of the shortest lease; a server that wants to be asked more often does not mean it.
  static constexpr uint32_t kMinRenewalSeconds = kMinLeaseSeconds / 2;
  // Every host takes packets of this size (RFC 1122 §3.3.2); an interface of less is not worth having.
  static constexpr uint16_t kMinMtu = 576;

  // `port` and `timers` outlive the client.
  DhcpClient(const DhcpClientOptions& options, DhcpPort& port, runtime::TimerWheel& timers);
  ~DhcpClient() { timers_.Cancel(*this); }
  DhcpClient(const DhcpClient&) = delete;

  // Begins to look for an address; nothing when it already does.
  void Start(Nanos now_ns);
  // Gives the address back (RFC 2131 §4.4.6) and is as before Start.
  void Stop(Nanos now_ns);
  // A datagram to port 68 of this interface.
  void OnMessage(std::span<const std::byte> payload, Nanos now_ns);
  // The answer to DhcpPort::Probe; one that comes late, or for another address, is ignored.
  void OnProbeResult(const IpAddress& address, bool conflict, Nanos now_ns);

  DhcpState state() const { return state_; }
  // What is in force, in kBound, kRenewing and kRebinding.
  const DhcpLease& lease() const { return lease_; }
  bool configured() const { return state_ >= DhcpState::kBound; }
  const DhcpCounters& counters() const { return counters_; }

 private:
  static void OnTimer(runtime::Timer& timer, Nanos now_ns);

  void BeginSelecting(Nanos now_ns);
  void WaitInInit(Nanos until_ns);
  void SendDiscover(Nanos now_ns);
  void SendRequest(Nanos now_ns);
  void RenewOrRebind(Nanos now_ns);
  void Decline(Nanos now_ns);
  void OnOffer(const DhcpReply& reply, Nanos now_ns);
  void OnAck(const DhcpReply& reply, Nanos now_ns);
  void OnNak(Nanos now_ns);
  void Bind(Nanos now_ns);

  void Send(DhcpRequest request, const IpAddress& source, const IpAddress& destination, Nanos now_ns);
  // The lease that `reply` gives when its REQUEST was sent at `sent_ns`; nothing when it is one that cannot be.
  std::optional<DhcpLease> LeaseOf(const DhcpReply& reply, Nanos sent_ns);
  uint64_t Draw();
  Nanos Jitter();
  Nanos NextTimeout();

  const DhcpClientOptions options_;
  DhcpPort& port_;
  runtime::TimerWheel& timers_;
  DhcpState state_ = DhcpState::kStopped;
  DhcpLease lease_;     // offered, acknowledged or in force
  uint32_t xid_ = 0;    // of the answers that count
  uint16_t secs_ = 0;   // since began_ns_, as last sent
  int attempts_ = 0;    // messages of this state sent
  Nanos began_ns_ = 0;  // looking for an address, or renewing
  Nanos sent_ns_ = 0;   // the REQUEST; its lease counts from here
  uint64_t draws_ = 0;
  DhcpCounters counters_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_DHCP_CLIENT_H_
