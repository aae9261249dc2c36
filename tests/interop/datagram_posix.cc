#include "tests/interop/datagram_posix.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "netstack/udp/ping.h"
#include "netstack/udp/udp_multicast.h"
#include "netstack/udp/udp_output.h"
#include "netstack/wire/icmp.h"

namespace weir::interop {
namespace {

constexpr size_t kMaxDatagram = 65535;

}  // namespace

DatagramPosix::DatagramPosix(AgentStack& stack, int domain, int protocol)
    : PosixSocket(stack, domain, SOCK_DGRAM, protocol), sock_(std::make_unique<netstack::UdpSock>()) {
  sock_->owner = this;
  sock_->on_ready = &OnReady;
  sock_->local.ip = Any();
  options_.reuse_address = is_ping();  // INET_PROTOSW_REUSE
  IpOptionsSet();
}

DatagramPosix::~DatagramPosix() {
  if (bound_) {
    table().Unbind(*sock_);
  } else {
    netstack::UdpLeaveAllGroups(table(), *sock_);
  }
}

netstack::UdpTable& DatagramPosix::table() const { return is_ping() ? stack_.inet.ping : stack_.inet.udp; }

void DatagramPosix::OnReady(netstack::ReadySock& sock, uint8_t) {
  static_cast<DatagramPosix*>(sock.owner)->pollers().Wake();
}

int DatagramPosix::TakeError() { return std::exchange(sock_->receive_queue.error, 0); }

int DatagramPosix::TakePort(const Endpoint& local) {
  sock_->reuse_address = options_.reuse_address;
  sock_->reuse_port = options_.reuse_port;
  sock_->v6only = ip_.v6only || (is_ping() && domain_ == AF_INET6);
  const int error = table().Bind(*sock_, {local.ip, local.port});
  bound_ = error == 0;
  return -error;
}

int DatagramPosix::Bind(std::span<const std::byte> address) {
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
  if (bound_) return -EINVAL;
  if (local.ip.is_link_local() && !local.ip.is_v4() && local.scope_id == 0) return -EINVAL;
  const int error = TakePort(local);
  if (error != 0) return error;
  address_bound_ = !local.ip.is_any();
  port_bound_ = local.port != 0;
  return 0;
}

void DatagramPosix::Disconnect() {
  if (!is_ping() && bound_) table().Disconnect(*sock_);
  peer_ = {};
  if (address_bound_ || port_bound_ || !bound_) return;
  // What the stack chose goes (__udp_disconnect); memberships stay.
  auto memberships = std::move(sock_->memberships);
  sock_->memberships.clear();
  table().Unbind(*sock_);
  sock_->memberships = std::move(memberships);
  sock_->local = {.ip = Any()};
  bound_ = false;
}

// __ip4_datagram_connect, __ip6_datagram_connect.
int DatagramPosix::Connect(std::span<const std::byte> address) {
  if (address.size() < sizeof(sa_family_t)) return -EINVAL;
  if (FamilyOf(address) == AF_UNSPEC) {
    Disconnect();
    return 0;
  }
  Endpoint peer;
  if (const int error = FromPosix(address, domain_, ip_.v6only, ENETUNREACH, &peer); error != 0) return -error;
  if (peer.ip.is_link_local() && !peer.ip.is_v4() && peer.scope_id == 0) return -EINVAL;
  if (!bound_ && TakePort({.ip = Any()}) != 0) return -EAGAIN;
  if (is_ping()) {
    netstack::UdpRoute route;
    const int error = netstack::UdpFindRoute(table(), *sock_, {peer.ip, 1, peer.scope_id}, {}, &route);
    if (error != 0) return -error;
    if (sock_->bound.is_any()) sock_->local.ip = route.flow.source;
    sock_->connected_ping = true;
  } else if (const int error = table().Connect(*sock_, peer); error != 0) {
    return -error;
  }
  peer_ = peer;
  return 0;
}

int64_t DatagramPosix::Recv(std::span<std::byte> into, int flags, size_t* done, size_t* given, PosixAddress* from) {
  *done = *given = 0;
  from->length = 0;
  if ((flags & MSG_ERRQUEUE) != 0) return -EAGAIN;
  if (is_ping() && (flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  netstack::UdpReceiveQueue& queue = sock_->receive_queue;
  if (queue.error != 0) return -TakeError();
  if (queue.empty()) return (shut_ & kRecvShut) != 0 ? 0 : -EAGAIN;
  const netstack::Datagram datagram = (flags & MSG_PEEK) != 0 ? queue.Peek() : queue.Pop();
  *given = datagram.data.CopyTo(into);
  *from = ToPosix(datagram.peer, domain_);
  return static_cast<int64_t>((flags & MSG_TRUNC) != 0 ? datagram.length() : *given);
}

// udp_sendmsg, ping_v4_sendmsg.
int DatagramPosix::Destination(std::span<const std::byte> to, Endpoint* peer) const {
  if (to.empty()) {
    if (!connected()) return -EDESTADDRREQ;
    *peer = peer_;
    return 0;
  }
  const bool unspecified = FamilyOf(to) == AF_UNSPEC;
  if (domain_ == AF_INET6 && unspecified && connected()) {
    *peer = peer_;
    return 0;
  }
  std::vector<std::byte> as_ours(to.begin(), to.end());
  const auto family = static_cast<sa_family_t>(domain_);
  const bool v4_to_v6 = domain_ == AF_INET6 && FamilyOf(to) == AF_INET && !is_ping() && !ip_.v6only;
  if (unspecified && domain_ == AF_INET && to.size() >= sizeof(sockaddr_in) && !is_ping()) {
    std::memcpy(as_ours.data(), &family, sizeof family);
  }
  const int error = FromPosix(as_ours, v4_to_v6 ? AF_INET : domain_, ip_.v6only, ENETUNREACH, peer);
  if (error != 0) return -error;
  if (!is_ping() && peer->port == 0) return -EINVAL;
  return 0;
}

int64_t DatagramPosix::Send(std::span<const std::byte> data, int flags, size_t* done, std::span<const std::byte> to) {
  if ((flags & MSG_OOB) != 0 && (domain_ == AF_INET || is_ping())) return -EOPNOTSUPP;  // but udpv6_sendmsg takes it
  if (pending_.size() + data.size() > kMaxDatagram) return -EMSGSIZE;
  if (is_ping() && data.size() < netstack::kIcmpHeader) return -EINVAL;
  Endpoint peer;
  if (const int error = Destination(to, &peer); error != 0) return error;
  if (!bound_ && TakePort({.ip = Any()}) != 0) return -EAGAIN;
  if (sock_->receive_queue.error != 0) return -TakeError();
  if ((shut_ & kSendShut) != 0) return -EPIPE;
  *done = data.size();
  if (!is_ping() && (cork_ || (flags & MSG_MORE) != 0 || !pending_.empty())) {
    pending_.insert(pending_.end(), data.begin(), data.end());
    if (cork_ || (flags & MSG_MORE) != 0) return static_cast<int64_t>(data.size());
    const std::vector<std::byte> whole = std::exchange(pending_, {});
    const int error = SendDatagram(whole, peer);
    return error != 0 ? error : static_cast<int64_t>(data.size());
  }
  const int error = SendDatagram(data, peer);
  return error != 0 ? error : static_cast<int64_t>(data.size());
}

int DatagramPosix::SendDatagram(std::span<const std::byte> data, const Endpoint& peer) {
  if (is_ping()) return -netstack::PingSend(table(), *sock_, data, peer, now_ns());
  netstack::UdpRoute route;
  if (const int error = netstack::UdpFindRoute(table(), *sock_, peer, {}, &route); error != 0) return -error;
  if (data.size() > netstack::UdpMaxDatagram(peer.ip)) return -EMSGSIZE;
  const uint32_t out = route.flow.out != nullptr ? route.flow.out->index : 0;
  const size_t most = netstack::UdpMaxPayload(table(), {peer.ip, peer.port, out});
  if (sock_->pmtu_discovery == netstack::PmtuDiscovery::kDo && data.size() > most) return -EMSGSIZE;
  const iovec piece{const_cast<std::byte*>(data.data()), data.size()};
  runtime::FramePool& pool = context().pool;
  netstack::DropReason reason;
  if (data.size() > std::min<size_t>(most, pool.frame_size() - runtime::kTxHeadroom)) {
    reason = netstack::UdpTransmit(table(), *sock_, {&piece, 1}, route, now_ns());
  } else {
    runtime::Frame* frame = pool.Alloc();
    if (frame == nullptr) return -ENOBUFS;
    frame->len = static_cast<uint32_t>(data.size());
    std::copy(data.begin(), data.end(), frame->data);
    reason = netstack::UdpTransmit(table(), *sock_, frame, route, now_ns());
  }
  context().CountFailure(reason);
  return reason == netstack::DropReason::kTxNoFrame ? -ENOBUFS : 0;
}

// inet_shutdown: a socket that is not connected is shut, and told that it is not connected.
int DatagramPosix::Shutdown(int how) {
  if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
  shut_ |= static_cast<uint8_t>(how + 1);
  pollers().Wake();
  return connected() ? 0 : -ENOTCONN;
}

void DatagramPosix::Abort() {
  shut_ = kRecvShut | kSendShut;
  if (bound_) table().Unbind(*sock_);
  bound_ = false;
  pollers().Wake();
}

int DatagramPosix::Ioctl(unsigned request, int* value) {
  if (is_ping() || (request != SIOCINQ && request != SIOCOUTQ)) return -ENOTTY;
  netstack::UdpReceiveQueue& queue = sock_->receive_queue;
  *value = request == SIOCOUTQ || queue.empty() ? 0 : static_cast<int>(queue.Peek().length());
  return 0;
}

// datagram_poll.
short DatagramPosix::Poll() const {
  int mask = POLLOUT | POLLWRNORM | POLLWRBAND;
  if (sock_->receive_queue.error != 0) mask |= POLLERR;
  if ((shut_ & kRecvShut) != 0) mask |= POLLRDHUP | POLLIN | POLLRDNORM;
  if (shut_ == (kRecvShut | kSendShut)) mask |= POLLHUP;
  if (!sock_->receive_queue.empty()) mask |= POLLIN | POLLRDNORM;
  return static_cast<short>(mask);
}

PosixAddress DatagramPosix::SockName() const { return ToPosix({sock_->local.ip, sock_->local.port}, domain_); }

std::array<uint32_t, 9> DatagramPosix::MemInfo() const {
  std::array<uint32_t, 9> info{};
  info[0] = static_cast<uint32_t>(sock_->receive_queue.size()) * context().pool.frame_size();
  info[1] = static_cast<uint32_t>(options_.receive_buffer.value_or(DefaultReceiveBuffer()));
  info[3] = static_cast<uint32_t>(options_.send_buffer.value_or(DefaultSendBuffer()));
  info[8] = static_cast<uint32_t>(sock_->dropped);
  return info;
}

int DatagramPosix::PathMtu() const {
  if (!connected()) return -ENOTCONN;
  return static_cast<int>(netstack::PathMtu(context(), peer_.ip, context().FindInterface(peer_.scope_id)));
}

}  // namespace weir::interop
