#include "tests/interop/tcp_posix.h"

#include <poll.h>

#include <algorithm>

#include "netstack/ip/ip_output.h"
#include "netstack/tcp/tcp_keepalive.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_user_calls.h"

namespace weir::interop {

using netstack::TcpSock;
using netstack::TcpSockOption;
using netstack::TcpState;

namespace {

constexpr int kSomaxconn = 4096;  // net.core.somaxconn

// Of those that close(2) leaves nothing to say to (inet_csk_get_port looks at sockets in TIME-WAIT too).
bool PortInUse(netstack::TcpContext& tcp, const Endpoint& local) {
  bool found = false;
  tcp.demux.ForEach([&](TcpSock& sock) {
    const bool same = local.ip.is_any() || sock.local.ip == local.ip;
    found = found || (sock.owner == nullptr && sock.listener == nullptr && sock.local.port == local.port && same);
  });
  return found;
}

}  // namespace

TcpPosix::TcpPosix(AgentStack& stack, int domain) : PosixSocket(stack, domain, SOCK_STREAM, IPPROTO_TCP) {
  stack_.tcp_bound.push_back(this);
  if (domain == AF_INET) local_.ip = IpAddress::V4(0);
}

TcpPosix::~TcpPosix() {
  std::erase(stack_.tcp_bound, this);
  StopListening();
  if (conn_ != nullptr) netstack::TcpClose(*std::exchange(conn_, nullptr), now_ns());
}

void TcpPosix::OnReady(netstack::ReadySock& sock, uint8_t) {
  auto& self = *static_cast<TcpPosix*>(sock.owner);
  if (self.conn_ != nullptr && self.conn_->rcv.fin) self.ended_ = true;
  self.pollers().Wake();
}

void TcpPosix::Adopt(TcpSock& conn) {
  conn_ = &conn;
  conn.owner = this;
  conn.on_ready = &OnReady;
}

bool TcpPosix::InHandshake() const {
  return state() == TcpState::kSynSent || (state() == TcpState::kSynReceived && !conn_->fast_open.accepted);
}

uint8_t TcpPosix::shut() const {
  if (conn_ == nullptr) return shut_;
  if (conn_->state == TcpState::kClosed) return kRecvShut | kSendShut;  // tcp_done
  return static_cast<uint8_t>(shut_ | (conn_->rcv.fin ? kRecvShut : 0));
}

int TcpPosix::HardError() {
  if (conn_ == nullptr) return std::exchange(error_, 0);
  return std::exchange(conn_->error, uint8_t{0});
}

int TcpPosix::TakeError() {
  const int error = HardError();
  if (error != 0 || conn_ == nullptr) return error;
  return std::exchange(conn_->soft_error, uint8_t{0});
}

bool TcpPosix::Overlaps(const Endpoint& local, bool v6only) const {
  if (local_.port != local.port) return false;
  return netstack::BoundTo(local_.ip, ip_.v6only, local.ip) || netstack::BoundTo(local.ip, v6only, local_.ip);
}

// inet_bind_conflict.
bool TcpPosix::PortTaken(const Endpoint& local) const {
  return std::ranges::any_of(stack_.tcp_bound, [&](const TcpPosix* other) {
    if (other == this || !other->Overlaps(local, ip_.v6only)) return false;
    if (!other->port_bound_ && other->state() == TcpState::kClosed) return false;
    const bool reuse = options_.reuse_address && other->options_.reuse_address && other->listener_ == nullptr;
    return !reuse && !(options_.reuse_port && other->options_.reuse_port);
  });
}

bool TcpPosix::PortLingers(const Endpoint& local) const {
  return !options_.reuse_address && PortInUse(stack_.inet.tcp, local);
}

int TcpPosix::TakePort(Endpoint local) {
  if (local.port == 0) {
    const netstack::TcpPortRange& ports = stack_.inet.tcp.settings.local_ports;
    for (uint32_t tries = 0; tries < ports.count() && local.port == 0; ++tries) {
      const uint16_t port = ports.At(context().Draw());
      if (!PortTaken({local.ip, port}) && !PortInUse(stack_.inet.tcp, {local.ip, port})) local.port = port;
    }
    if (local.port == 0) return -EADDRINUSE;
  } else if (PortTaken(local) || PortLingers(local)) {
    return -EADDRINUSE;
  }
  local_ = local;
  port_bound_ = true;
  return 0;
}

// __inet_bind, __inet6_bind.
int TcpPosix::Bind(std::span<const std::byte> address) {
  Endpoint local;
  const bool compatible = domain_ == AF_INET && address.size() >= sizeof(sockaddr_in) && FamilyOf(address) == AF_UNSPEC;
  if (compatible) {
    sockaddr_in v4;
    std::memcpy(&v4, address.data(), sizeof v4);
    if (v4.sin_addr.s_addr != 0) return -EAFNOSUPPORT;
    local = {IpAddress::V4(0), ntohs(v4.sin_port)};
  } else if (const int error = FromPosix(address, domain_, ip_.v6only, EINVAL, &local); error != 0) {
    return -error;
  }
  if (domain_ == AF_INET6 && local.ip.is_multicast() && !local.ip.is_v4()) return -EINVAL;
  if (port_bound_ || conn_ != nullptr || listener_ != nullptr) return -EINVAL;
  if (local.ip.is_link_local() && !local.ip.is_v4() && local.scope_id == 0) return -EINVAL;
  if (!local.ip.is_any() && !local.ip.is_multicast() && !context().IsLocal(local.ip)) return -EADDRNOTAVAIL;
  const int error = TakePort(local);
  if (error == 0) address_bound_ = !local.ip.is_any();
  return error;
}

// inet_listen. An accept queue of Linux takes one more than the backlog (sk_acceptq_is_full).
int TcpPosix::Listen(int backlog) {
  if (phase_ != Phase::kUnconnected || conn_ != nullptr) return -EINVAL;
  const int most = std::min(static_cast<uint32_t>(backlog), static_cast<uint32_t>(kSomaxconn)) + 1;
  if (listener_ != nullptr) {
    listener_->backlog = static_cast<uint32_t>(most);
    return 0;
  }
  const bool bound = port_bound_;
  if (!bound) {
    if (const int error = TakePort(local_); error != 0) return error;
  } else if (PortTaken(local_)) {
    return -EADDRINUSE;
  }
  auto listener = std::make_unique<netstack::TcpListenSock>();
  listener->owner = this;
  listener->on_ready = &OnReady;
  listener->v6only = ip_.v6only;
  listener->inherited = set_;
  auto& defer = listener->inherited.options[static_cast<size_t>(TcpSockOption::kDeferAccept)];
  listener->defer_accept = static_cast<uint8_t>(std::exchange(defer, std::nullopt).value_or(0));
  listener->fast_open_max = static_cast<uint32_t>(fast_open_queue_);
  const int error = netstack::TcpListen(stack_.inet.tcp, *listener, local_, most);
  if (error != 0) {
    port_bound_ = bound;
    return -error;
  }
  listener_ = std::move(listener);
  shut_ = 0;
  pollers().Wake();
  return 0;
}

void TcpPosix::StopListening() {
  if (listener_ == nullptr) return;
  netstack::TcpUnlisten(stack_.inet.tcp, *listener_, now_ns());
  listener_.reset();
}

int TcpPosix::Accept(std::shared_ptr<PosixSocket>* connection, PosixAddress* peer) {
  if (listener_ == nullptr) return -EINVAL;
  TcpSock* conn = netstack::TcpAccept(*listener_);
  if (conn == nullptr) return -EAGAIN;
  auto child = std::make_shared<TcpPosix>(stack_, domain_);
  child->options_ = options_;
  child->ip_ = ip_;
  child->set_ = set_;
  child->keepalive_ = keepalive_;
  child->corked_ = corked_;
  child->linger2_ = linger2_;
  child->Adopt(*conn);
  child->phase_ = Phase::kConnected;
  child->ended_ = conn->rcv.fin;
  child->local_ = conn->local;
  child->peer_ = conn->remote;
  child->port_bound_ = true;
  child->IpOptionsSet();  // of its own version
  *peer = ToPosix(conn->remote, domain_);
  *connection = std::move(child);
  return 0;
}

// __inet_stream_connect.
int TcpPosix::Connect(std::span<const std::byte> address) {
  if (address.size() < sizeof(sa_family_t)) return -EINVAL;
  if (FamilyOf(address) == AF_UNSPEC) {
    const TcpState was = state();
    if (conn_ != nullptr && was != TcpState::kClosed) netstack::TcpAbort(*conn_, now_ns());
    const bool told = was != TcpState::kClosed && was != TcpState::kLastAck && was != TcpState::kClosing;
    StopListening();
    Disconnect();
    if (told) error_ = ECONNRESET;
    return 0;
  }
  if (phase_ == Phase::kConnected) return -EISCONN;
  if (phase_ == Phase::kConnecting) {
    if (conn_ != nullptr && conn_->fast_open.early && state() == TcpState::kSynSent) return -EISCONN;
    const int done = FinishConnect();
    return done == -EAGAIN ? -EALREADY : done;
  }
  if (listener_ != nullptr) return -EISCONN;
  Endpoint peer;
  if (const int error = FromPosix(address, domain_, ip_.v6only, ENETUNREACH, &peer); error != 0) return -error;
  if (peer.ip.is_link_local() && !peer.ip.is_v4() && peer.scope_id == 0) return -EINVAL;
  if (const int error = StartConnect(peer, fast_open_connect_); error != 0) return error;
  if (conn_->fast_open.early) return 0;
  return -EINPROGRESS;
}

int TcpPosix::StartConnect(const Endpoint& peer, bool fast_open) {
  netstack::TcpContext& tcp = stack_.inet.tcp;
  TcpSock* conn = tcp.Alloc();
  if (conn == nullptr) return -ENOBUFS;
  netstack::TcpConnectOptions options;
  options.fast_open = fast_open;
  if (port_bound_) options.local = {.ip = local_.ip, .port = local_.port};
  if (domain_ == AF_INET6 && !peer.ip.is_v4() && local_.ip.is_any()) options.local.ip = IpAddress();
  if (domain_ == AF_INET6 && peer.ip.is_v4() && local_.ip.is_any()) options.local.ip = IpAddress();
  peer_ = peer;
  const auto take = [&](TcpSockOption option, auto* to) {
    const std::optional<uint64_t>& value = set_.options[static_cast<size_t>(option)];
    if (value.has_value()) *to = static_cast<typename std::remove_pointer_t<decltype(to)>::value_type>(*value);
  };
  take(TcpSockOption::kMaxSegment, &options.max_segment);
  take(TcpSockOption::kSynCount, &options.syn_count);
  for (size_t i = 0; i < netstack::kTcpSockOptions; ++i) {
    const auto option = static_cast<TcpSockOption>(i);
    const bool apart = option == TcpSockOption::kMaxSegment || option == TcpSockOption::kDeferAccept;
    if (set_.options[i].has_value() && !apart) (void)netstack::TcpSetOption(*conn, option, *set_.options[i]);
  }
  if (set_.congestion.has_value()) conn->congestion.Use(*set_.congestion);
  conn->cork = corked_;
  conn_ = conn;
  conn->remote = peer;
  IpOptionsSet();
  Adopt(*conn);
  int error = 0;
  if (netstack::TcpConnect(tcp, peer, now_ns(), &error, options, conn) == nullptr) {
    conn_ = nullptr;
    conn->owner = nullptr;
    tcp.Free(*conn);
    return error == EADDRINUSE ? -EADDRNOTAVAIL : -error;
  }
  if (options_.keepalive) SetKeepAlive();
  local_ = conn->local;
  shut_ = 0;
  ended_ = false;
  opened_ = true;
  phase_ = Phase::kConnecting;
  pollers().Wake();
  return 0;
}

int TcpPosix::FinishConnect() {
  if (phase_ != Phase::kConnecting) return phase_ == Phase::kConnected ? 0 : -ECONNABORTED;
  if (InHandshake()) return -EAGAIN;
  if (state() == TcpState::kClosed) {
    const int error = HardError();
    Disconnect();
    return error != 0 ? -error : -ECONNABORTED;
  }
  phase_ = Phase::kConnected;
  return 0;
}

// The port that the stack chose is given back, but still shown (tcp_set_state, inet_put_port).
void TcpPosix::Disconnect() {
  if (conn_ != nullptr) netstack::TcpClose(*std::exchange(conn_, nullptr), now_ns());
  phase_ = Phase::kUnconnected;
  shut_ = 0;
  error_ = 0;
  ended_ = msg_more_ = false;
  peer_ = {};
  if (!address_bound_) local_.ip = domain_ == AF_INET ? IpAddress::V4(0) : IpAddress();
  pollers().Wake();
}

// inet_shutdown.
int TcpPosix::Shutdown(int how) {
  if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
  const auto mask = static_cast<uint8_t>(how + 1);
  if (phase_ == Phase::kConnecting && !InHandshake() && state() != TcpState::kClosed) phase_ = Phase::kConnected;
  if (listener_ != nullptr) {
    if ((mask & kRecvShut) != 0) StopListening();
    pollers().Wake();
    return 0;
  }
  if (state() == TcpState::kSynSent) {
    Disconnect();
    error_ = ECONNRESET;
    return 0;
  }
  const bool connected = state() != TcpState::kClosed;
  shut_ |= mask;
  if (connected) {
    if ((mask & kRecvShut) != 0) conn_->recv_shut = true;
    if ((mask & kSendShut) != 0) netstack::TcpShutdown(*conn_);
  }
  pollers().Wake();
  return connected ? 0 : -ENOTCONN;
}

// __tcp_close. What close(2) waits for with SO_LINGER and a time is that the peer has acknowledged everything.
int TcpPosix::Close() {
  StopListening();
  if (conn_ == nullptr) return 0;
  if (lingers() && linger_s() == 0) conn_->reset_on_close = true;
  if (lingers() && linger_s() > 0) {
    if (!conn_->orphan) netstack::TcpLinger(*conn_, now_ns());
    if (netstack::TcpLingers(*conn_)) return -EAGAIN;
  }
  netstack::TcpClose(*std::exchange(conn_, nullptr), now_ns());
  pollers().Wake();
  return 0;
}

void TcpPosix::Abort() {
  StopListening();
  if (conn_ != nullptr) {
    netstack::TcpAbort(*conn_, now_ns());
    netstack::TcpClose(*std::exchange(conn_, nullptr), now_ns());
  }
  phase_ = Phase::kUnconnected;
  shut_ = kRecvShut | kSendShut;
  pollers().Wake();
}

PosixAddress TcpPosix::SockName() const { return ToPosix(local_, domain_); }

}  // namespace weir::interop
