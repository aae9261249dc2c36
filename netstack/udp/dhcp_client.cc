#include "netstack/udp/dhcp_client.h"

#include <algorithm>
#include <bit>

namespace weir::netstack {
namespace {

constexpr IpAddress kAny = IpAddress::V4(0);
constexpr IpAddress kBroadcast = IpAddress::V4(0xffffffff);

// Neither of "this network", loopback, multicast or reserved (RFC 1122 §3.2.1.3).
bool IsHost(uint32_t ip) { return ip >> 24 != 0 && ip >> 24 != 127 && ip < 0xe0000000; }

// The prefix of an offered address; nothing when no host can have it: a mask is there and has its ones in front, and
// the address is not the network's or its broadcast address (RFC 1122 §3.2.1.3; RFC 3021 §2.1 for a /31).
std::optional<IpPrefix> PrefixOf(const DhcpReply& reply) {
  const uint32_t mask = reply.subnet_mask.value_or(0), host_bits = ~mask;
  if (mask == 0 || (host_bits & (host_bits + 1)) != 0 || !IsHost(reply.yiaddr)) return std::nullopt;
  const uint32_t host = reply.yiaddr & host_bits;
  if (host_bits > 1 && (host == 0 || host == host_bits)) return std::nullopt;
  return IpPrefix{IpAddress::V4(reply.yiaddr), std::popcount(mask)};
}

// RFC 3442: with classless routes the router option is ignored.
void AddRoutes(const DhcpReply& reply, DhcpLease* lease) {
  for (const DhcpRoute& route : std::span(reply.routes).first(reply.route_count)) {
    if (route.router != 0 && !IsHost(route.router)) continue;
    lease->routes[lease->route_count++] = {{IpAddress::V4(route.destination), route.length},
                                           IpAddress::V4(route.router)};
  }
  lease->routes_left_out = reply.routes_left_out;
  if (reply.route_count == 0 && reply.router && IsHost(*reply.router)) {
    lease->routes[lease->route_count++] = {{IpAddress::V4(0), 0}, IpAddress::V4(*reply.router)};
  }
}

uint16_t Seconds(Nanos ns) { return static_cast<uint16_t>(std::min<Nanos>(ns / kSecond, 0xffff)); }

}  // namespace

DhcpClient::DhcpClient(const DhcpClientOptions& options, DhcpPort& port, runtime::TimerWheel& timers)
    : Timer(&OnTimer), options_(options), port_(port), timers_(timers) {}

void DhcpClient::Start(Nanos now_ns) {
  // RFC 2131 §4.4.1 has a client wait one to ten seconds, lest all hosts of a site ask at once after a power cut. A
  // program that starts is not that; the wait is kept for beginning anew after a NAK, where servers set the pace.
  if (state_ == DhcpState::kStopped) BeginSelecting(now_ns);
}

void DhcpClient::Stop(Nanos now_ns) {
  const bool was_configured = configured();
  timers_.Cancel(*this);
  state_ = DhcpState::kStopped;
  if (!was_configured) return;
  xid_ = static_cast<uint32_t>(Draw());
  Send({.type = DhcpType::kRelease, .ciaddr = lease_.address.ip.v4(), .server_id = lease_.server.v4()},
       lease_.address.ip, lease_.server, now_ns);  // RFC 2131 §4.4.6
  port_.Deconfigure(now_ns);
}

void DhcpClient::OnTimer(runtime::Timer& timer, Nanos now_ns) {
  auto& self = static_cast<DhcpClient&>(timer);
  switch (self.state_) {
    case DhcpState::kStopped:
    case DhcpState::kProbing: break;  // no timer runs
    case DhcpState::kInit: self.BeginSelecting(now_ns); break;
    case DhcpState::kSelecting: self.SendDiscover(now_ns); break;
    case DhcpState::kRequesting:
      if (self.attempts_ < kMaxRequests) {
        self.SendRequest(now_ns);
      } else {  // RFC 2131 §3.1.5: the server is gone; begin anew
        ++self.counters_.gave_up;
        self.BeginSelecting(now_ns);
      }
      break;
    case DhcpState::kBound: self.began_ns_ = now_ns; [[fallthrough]];
    case DhcpState::kRenewing:
    case DhcpState::kRebinding: self.RenewOrRebind(now_ns); break;
  }
}

void DhcpClient::BeginSelecting(Nanos now_ns) {
  state_ = DhcpState::kSelecting;
  xid_ = static_cast<uint32_t>(Draw());
  began_ns_ = now_ns;
  attempts_ = 0;
  SendDiscover(now_ns);
}

void DhcpClient::WaitInInit(Nanos until_ns) {
  state_ = DhcpState::kInit;
  timers_.Arm(*this, until_ns);
}

// RFC 2131 §4.4.1.
void DhcpClient::SendDiscover(Nanos now_ns) {
  secs_ = Seconds(now_ns - began_ns_);
  timers_.Arm(*this, now_ns + NextTimeout());
  Send({.type = DhcpType::kDiscover, .secs = secs_, .broadcast = options_.broadcast}, kAny, kBroadcast, now_ns);
}

// RFC 2131 §4.3.2, SELECTING: the transaction, `secs` and the destination are those of the DISCOVER (RFC 2131 §3.1.3).
void DhcpClient::SendRequest(Nanos now_ns) {
  timers_.Arm(*this, now_ns + NextTimeout());
  Send({.type = DhcpType::kRequest,
        .secs = secs_,
        .broadcast = options_.broadcast,
        .requested_ip = lease_.address.ip.v4(),
        .server_id = lease_.server.v4()},
       kAny, kBroadcast, now_ns);
}

// What is due to the lease at `now_ns`: its end, or a REQUEST of RENEWING or REBINDING (RFC 2131 §4.3.2, §4.4.5), each
// in a transaction of its own, so that an answer tells when its REQUEST was sent.
void DhcpClient::RenewOrRebind(Nanos now_ns) {
  if (now_ns >= lease_.expiry_ns) {
    ++counters_.expired;
    port_.Deconfigure(now_ns);
    BeginSelecting(now_ns);
    return;
  }
  const bool rebinding = now_ns >= lease_.rebind_ns;
  state_ = rebinding ? DhcpState::kRebinding : DhcpState::kRenewing;
  const Nanos end = rebinding ? lease_.expiry_ns : lease_.rebind_ns;
  timers_.Arm(*this, std::min(end, now_ns + std::max((end - now_ns) / 2, kMinRenewInterval)));
  xid_ = static_cast<uint32_t>(Draw());
  sent_ns_ = now_ns;
  Send({.type = DhcpType::kRequest, .secs = Seconds(now_ns - began_ns_), .ciaddr = lease_.address.ip.v4()},
       lease_.address.ip, rebinding ? kBroadcast : lease_.server, now_ns);
}

void DhcpClient::OnMessage(std::span<const std::byte> payload, Nanos now_ns) {
  DhcpReply reply;
  if (!reply.Parse(payload)) {
    ++counters_.malformed;
    return;
  }
  const bool asked = state_ == DhcpState::kSelecting || state_ == DhcpState::kRequesting ||
                     state_ == DhcpState::kRenewing || state_ == DhcpState::kRebinding;
  const bool ours = asked && reply.xid == xid_ && reply.chaddr == options_.mac;
  // Any server may make an offer or answer in REBINDING; else only the one that was asked.
  const bool any_server = state_ == DhcpState::kSelecting || state_ == DhcpState::kRebinding;
  const bool from_server = any_server || (reply.server_id && IpAddress::V4(*reply.server_id) == lease_.server);
  if (ours && from_server && state_ == DhcpState::kSelecting && reply.type == DhcpType::kOffer) {
    OnOffer(reply, now_ns);
  } else if (ours && from_server && state_ != DhcpState::kSelecting && reply.type == DhcpType::kAck) {
    OnAck(reply, now_ns);
  } else if (ours && from_server && state_ != DhcpState::kSelecting && reply.type == DhcpType::kNak) {
    OnNak(now_ns);
  } else {
    ++counters_.unexpected;
  }
}

// The first good offer is taken (RFC 2131 §4.4.1 leaves the choice to us).
void DhcpClient::OnOffer(const DhcpReply& reply, Nanos now_ns) {
  const std::optional<DhcpLease> offered = LeaseOf(reply, now_ns);
  if (!offered) {
    ++counters_.refused;
    return;
  }
  lease_ = *offered;
  state_ = DhcpState::kRequesting;
  attempts_ = 0;
  sent_ns_ = now_ns;
  SendRequest(now_ns);
}

// RFC 2131 §4.4.1, §4.4.5: the lease is what the ACK says, and runs from when its REQUEST was sent.
void DhcpClient::OnAck(const DhcpReply& reply, Nanos now_ns) {
  const std::optional<DhcpLease> acknowledged = LeaseOf(reply, sent_ns_);
  if (!acknowledged || acknowledged->address.ip != lease_.address.ip || acknowledged->expiry_ns <= now_ns) {
    ++counters_.refused;
    return;
  }
  const bool renewed = configured();
  lease_ = *acknowledged;
  if (renewed) {
    Bind(now_ns);
  } else {
    state_ = DhcpState::kProbing;
    timers_.Cancel(*this);
    port_.Probe(lease_.address.ip, now_ns);
  }
}

// RFC 2131 §3.1.4, §4.4.5: the address is not ours; begin anew, after the delay of RFC 2131 §4.4.1, which bounds what a
// server can have us send.
void DhcpClient::OnNak(Nanos now_ns) {
  const bool was_configured = configured();
  ++counters_.naks;
  WaitInInit(now_ns + kSecond + static_cast<Nanos>(Draw() % (9 * kSecond)));
  if (was_configured) port_.Deconfigure(now_ns);
}

void DhcpClient::OnProbeResult(const IpAddress& address, bool conflict, Nanos now_ns) {
  if (state_ != DhcpState::kProbing || address != lease_.address.ip) return;
  if (conflict) {
    Decline(now_ns);
  } else if (now_ns >= lease_.expiry_ns) {  // a short lease and a slow server
    ++counters_.expired;
    BeginSelecting(now_ns);
  } else {
    Bind(now_ns);
  }
}

// RFC 2131 §3.1.5, §4.4.4.
void DhcpClient::Decline(Nanos now_ns) {
  ++counters_.conflicts;
  WaitInInit(now_ns + kDeclineWait);
  xid_ = static_cast<uint32_t>(Draw());
  Send({.type = DhcpType::kDecline, .requested_ip = lease_.address.ip.v4(), .server_id = lease_.server.v4()}, kAny,
       kBroadcast, now_ns);
}

void DhcpClient::Bind(Nanos now_ns) {
  state_ = DhcpState::kBound;
  if (lease_.renew_ns == kNever) {
    timers_.Cancel(*this);
  } else {
    timers_.Arm(*this, lease_.renew_ns);
  }
  port_.Configure(lease_, now_ns);
}

void DhcpClient::Send(DhcpRequest request, const IpAddress& source, const IpAddress& destination, Nanos now_ns) {
  request.xid = xid_;
  request.chaddr = options_.mac;
  request.max_message_size = options_.max_message_size;
  request.hostname = options_.hostname;
  std::array<std::byte, DhcpRequest::kMaxSize> payload;
  const size_t size = request.Emit(payload.data());
  ++counters_.sent;
  port_.Send({payload.data(), size}, source, destination, now_ns);
}

std::optional<DhcpLease> DhcpClient::LeaseOf(const DhcpReply& reply, Nanos sent_ns) {
  const std::optional<IpPrefix> prefix = PrefixOf(reply);
  const uint32_t seconds = reply.lease_time_s.value_or(0);
  if (!prefix || seconds < kMinLeaseSeconds || !IsHost(reply.server_id.value_or(0))) return std::nullopt;
  DhcpLease lease{.address = *prefix, .server = IpAddress::V4(*reply.server_id)};
  // What is wrong among the rest is left out.
  AddRoutes(reply, &lease);
  if (reply.broadcast && prefix->Contains(IpAddress::V4(*reply.broadcast))) {
    lease.broadcast = IpAddress::V4(*reply.broadcast);
  }
  if (reply.mtu && *reply.mtu >= kMinMtu) lease.mtu = reply.mtu;
  for (size_t i = 0; i < reply.dns_server_count; ++i) {
    if (IsHost(reply.dns_servers[i])) lease.dns_servers[lease.dns_server_count++] = IpAddress::V4(reply.dns_servers[i]);
  }
  if (seconds == kDhcpInfiniteLease) return lease;  // RFC 2131 §3.3: nothing to renew
  lease.expiry_ns = sent_ns + seconds * kSecond;
  // RFC 2131 §4.4.5: T1 before T2 before the end, else the defaults; all with some fuzz.
  Nanos renew = seconds * kSecond / 2, rebind = seconds * kSecond / 8 * 7;
  const uint32_t t1 = reply.renewal_time_s.value_or(0), t2 = reply.rebinding_time_s.value_or(0);
  if (kMinRenewalSeconds <= t1 && t1 < t2 && t2 < seconds) {
    renew = t1 * kSecond;
    rebind = t2 * kSecond;
  }
  lease.renew_ns = sent_ns + renew + Jitter();
  lease.rebind_ns = sent_ns + rebind + Jitter();
  return lease;
}

// A number that nobody foresees without the secret.
uint64_t DhcpClient::Draw() {
  const uint64_t draw[] = {++draws_};
  return runtime::SipHash(options_.secret, draw);
}

Nanos DhcpClient::Jitter() { return static_cast<Nanos>(Draw() % (2 * kJitter + 1)) - kJitter; }

// RFC 2131 §4.1: 4, 8, 16, 32, 64 seconds, each with a second more or less.
Nanos DhcpClient::NextTimeout() {
  Nanos timeout = kFirstTimeout;
  for (int i = 0; i < attempts_ && timeout < kMaxTimeout; ++i) timeout *= 2;
  ++attempts_;
  return timeout + Jitter();
}

}  // namespace weir::netstack
