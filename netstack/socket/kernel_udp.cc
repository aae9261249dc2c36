#include "netstack/socket/kernel_udp.h"

#include <arpa/inet.h>
#include <linux/sock_diag.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/socket/group_call_text.h"
#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {

using runtime::ErrnoStatus;

namespace {

// The larger of the two source addresses, rounded up, and of the two destination addresses; TTL, type of service, time.
constexpr size_t kNameSpace = 32;
static_assert(sizeof(sockaddr_in6) <= kNameSpace && (sizeof(io_uring_recvmsg_out) + kNameSpace) % 8 == 0);
constexpr size_t kControlSpace =
    CMSG_SPACE(sizeof(in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(timespec));

// What a datagram of a full frame takes of a receive buffer, by the kernel's way of counting (skb->truesize).
constexpr size_t kTrueSize = 2304;

constexpr size_t kSendBatch = 64;  // messages in one system call, as many as a burst of frames

template <typename T>
T Read(const cmsghdr* c) {
  T value;
  std::memcpy(&value, CMSG_DATA(c), sizeof value);
  return value;
}

Endpoint SourceOf(io_uring_recvmsg_out* header) {
  SocketAddress address;
  std::memcpy(&address.v6, io_uring_recvmsg_name(header), std::min<size_t>(header->namelen, sizeof address.v6));
  return address.ToEndpoint();
}

IpAddress ToAddress(const in6_addr& address) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &address, bytes.size());
  return IpAddress::V6(bytes);
}

// From CLOCK_REALTIME, which SO_TIMESTAMPNS speaks of, to CLOCK_MONOTONIC: the datagram's age is the same on both.
Nanos ToMonotonic(const timespec& arrived) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const Nanos age_ns = (now.tv_sec - arrived.tv_sec) * kSecond + (now.tv_nsec - arrived.tv_nsec);
  return MonotonicNow() - std::max<Nanos>(age_ns, 0);
}

void ReadControl(const cmsghdr* c, Datagram& datagram) {
  if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
    datagram.received_ns = ToMonotonic(Read<timespec>(c));
  } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
    const auto info = Read<in_pktinfo>(c);
    datagram.local.ip = IpAddress::V4(ntohl(info.ipi_addr.s_addr));
    datagram.interface = static_cast<uint32_t>(info.ipi_ifindex);
  } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
    const auto info = Read<in6_pktinfo>(c);
    datagram.local.ip = ToAddress(info.ipi6_addr);
    datagram.interface = info.ipi6_ifindex;
  } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
             (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
    datagram.ttl = static_cast<uint8_t>(Read<int>(c));
  } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
    datagram.tos = static_cast<uint8_t>(Read<int>(c));
  } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
    datagram.tos = Read<uint8_t>(c);
  }
}

int DomainOf(int fd) {
  int family = 0;
  socklen_t length = sizeof family;
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
  return family;
}

// Appends control messages to the fixed room of a header.
class ControlWriter {
 public:
  ControlWriter(std::span<std::byte> out, size_t& length) : out_(out), length_(length) { length_ = 0; }
  template <typename T>
  void Add(int level, int type, const T& value) {
    const cmsghdr header{.cmsg_len = CMSG_LEN(sizeof value), .cmsg_level = level, .cmsg_type = type};
    std::memset(&out_[length_], 0, CMSG_SPACE(sizeof value));
    std::memcpy(&out_[length_], &header, sizeof header);
    std::memcpy(&out_[length_ + CMSG_LEN(0)], &value, sizeof value);
    length_ += CMSG_SPACE(sizeof value);
  }

 private:
  const std::span<std::byte> out_;
  size_t& length_;
};

sockaddr_storage Storage(const IpAddress& ip) {
  sockaddr_storage storage{};
  const SocketAddress address({ip, 0}, FamilyOf(ip));
  std::memcpy(&storage, &address.base, address.length);
  return storage;
}

}  // namespace

bool KernelUdp::Prepare(int fd, const UdpBindOptions& options) {
  const bool v6 = DomainOf(fd) == AF_INET6;
  const size_t datagrams = std::min(options.receive_queue, UdpBindOptions::kMaxReceiveQueue);
  // The kernel doubles the size (socket(7)). Without options, what the system's administrator thinks right.
  const bool sized = datagrams == UdpBindOptions::kReceiveQueue ||
                     SetSocketOption(fd, SOL_SOCKET, SO_RCVBUF, static_cast<int>(datagrams * kTrueSize / 2));
  // An IPv6 socket reports the destination for IPv4 too, as a mapped address.
  const bool told = v6 ? SetSocketOption(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
                             SetSocketOption(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) &&
                             SetSocketOption(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) &&
                             SetSocketOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
                       : SetSocketOption(fd, IPPROTO_IP, IP_PKTINFO, 1);
  return sized && told && SetSocketOption(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1) &&
         SetSocketOption(fd, IPPROTO_IP, IP_RECVTTL, 1) && SetSocketOption(fd, IPPROTO_IP, IP_RECVTOS, 1) &&
         SetSocketOption(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
}

KernelUdp::KernelUdp(KernelStack& stack, int fd)
    : KernelDatagram(stack, fd, kNameSpace, kControlSpace, Sizes::kMostlySmall),
      family_(DomainOf(fd)),
      local_(LocalEndpoint(fd)) {}

// ---- receive

bool KernelUdp::StartRecv(UdpRecvOp& op) {
  WEIR_CHECK(recv_op_ == nullptr && !closing());
  const bool taken = Take(op);
  ResumeRecv();
  if (!taken) recv_op_ = &op;
  return taken;
}

void KernelUdp::CancelRecv(UdpRecvOp& op) {
  WEIR_CHECK(recv_op_ == &op);
  recv_op_ = nullptr;
  op.status = absl::CancelledError("Recvmsg cancelled");
  op.Wake();
}

void KernelUdp::Arrived() {
  if (recv_op_ == nullptr) return;
  if (recv_op_->into.size() == 1) return Dispatched();
  stack().reactor().AtDispatchEnd(*this);
}

void KernelUdp::Dispatched() {
  if (recv_op_ != nullptr && Take(*recv_op_)) std::exchange(recv_op_, nullptr)->Wake();
}

bool KernelUdp::Take(UdpRecvOp& op) {
  while (op.count < op.into.size()) {
    Datagram& datagram = op.into[op.count];
    const auto parse = [&](io_uring_recvmsg_out* header, msghdr& layout) {
      datagram = {{.peer = SourceOf(header),
                   .local = {{}, local_.port},
                   .missing = static_cast<uint16_t>(header->flags)},
                  {}};
      for (cmsghdr* c = io_uring_recvmsg_cmsg_firsthdr(header, &layout); c != nullptr;
           c = io_uring_recvmsg_cmsg_nexthdr(header, &layout, c)) {
        ReadControl(c, datagram);
      }
    };
    if (!TakeReceived(datagram.data, parse, op.peek)) break;
    ++op.count;
  }
  if (op.count > 0) return true;
  const int error = TakeError();
  if (error != 0) op.status = ErrnoStatus(error, "Recvmsg");
  return error != 0;
}

uint64_t KernelUdp::dropped() const {
  uint32_t info[SK_MEMINFO_VARS] = {};
  socklen_t length = sizeof info;
  getsockopt(fd(), SOL_SOCKET, SO_MEMINFO, info, &length);
  return info[SK_MEMINFO_DROPS];
}

// ---- send

int KernelUdp::FillHeader(Header& header, const Endpoint& peer, const UdpSendOptions& options) const {
  const bool none = peer == Endpoint{};
  if (none && peer_ == Endpoint{}) return EDESTADDRREQ;
  const bool v4 = (none ? peer_ : peer).ip.is_v4();
  if (family_ == AF_INET && !v4) return EAFNOSUPPORT;
  if (none) {
    header.address.length = 0;
  } else {
    header.address = SocketAddress(peer, family_);
  }
  ControlWriter control(header.control, header.control_length);
  if (options.ttl == 0) return EINVAL;
  if (options.ttl.has_value()) {
    control.Add(v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT, int{*options.ttl});
  }
  if (options.tos.has_value()) {
    control.Add(v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, int{*options.tos});
  }
  if (options.source.is_any() && options.interface == 0) return 0;
  if (!options.source.is_any() && options.source.is_v4() != v4) return EINVAL;
  if (v4) {
    in_pktinfo info{};
    info.ipi_ifindex = static_cast<int>(options.interface);
    if (!options.source.is_any()) info.ipi_spec_dst.s_addr = htonl(options.source.v4());
    control.Add(IPPROTO_IP, IP_PKTINFO, info);
  } else {
    in6_pktinfo info{};
    info.ipi6_ifindex = options.interface;
    std::memcpy(&info.ipi6_addr, options.source.bytes().data(), sizeof info.ipi6_addr);
    control.Add(IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
  return 0;
}

bool KernelUdp::StartSend(UdpSendOp& op) {
  if (!op.batch.empty()) return StartBatch(op);
  target_ = op.peer == Endpoint{} ? peer_ : op.peer;
  if (const int error = FillHeader(send_header_, op.peer, op.options); error != 0) {
    op.status = ErrnoStatus(error, absl::StrCat("Sendmsg to ", target_.ToString()));
    return true;
  }
  StartOne(op);
  return false;
}

void KernelUdp::StartOne(UdpSendOp& op) {
  const socklen_t length = send_header_.address.length;
  KernelDatagram::StartSend(op, length == 0 ? nullptr : &send_header_.address.base, length,
                            std::span(send_header_.control).first(send_header_.control_length));
}

// io_uring has no sendmmsg; called directly, it sends a burst with one system call and does not wait. A full send
// buffer, which is rare, is waited for with the first message alone.
bool KernelUdp::StartBatch(UdpSendOp& op) {
  while (op.sent < op.batch.size()) {
    const std::span<UdpMessage> burst = op.batch.subspan(op.sent, std::min(kSendBatch, op.batch.size() - op.sent));
    Header headers[kSendBatch];
    mmsghdr messages[kSendBatch] = {};
    size_t count = 0;
    int error = 0;
    for (UdpMessage& message : burst) {
      Header& header = headers[count];
      error = FillHeader(header, message.peer, message.options);
      if (error != 0) break;
      msghdr& out = messages[count++].msg_hdr;
      if (header.address.length != 0) out.msg_name = &header.address.base;
      out.msg_namelen = header.address.length;
      out.msg_iov = const_cast<iovec*>(message.data.buffers().data());
      out.msg_iovlen = message.data.buffers().size();
      if (header.control_length != 0) out.msg_control = header.control.data();
      out.msg_controllen = header.control_length;
    }
    constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const int sent = count > 0 ? sendmmsg(fd(), messages, static_cast<unsigned>(count), kFlags) : 0;
    if (sent < 0) error = errno;
    for (int i = 0; i < sent; ++i) burst[static_cast<size_t>(i)].data.Clear();
    op.sent += static_cast<size_t>(std::max(sent, 0));
    if (sent == static_cast<int>(burst.size())) continue;
    if (op.sent > 0) return true;
    UdpMessage& first = burst.front();
    target_ = first.peer == Endpoint{} ? peer_ : first.peer;
    if (error != EAGAIN) {
      op.status = ErrnoStatus(error, absl::StrCat("Sendmsg to ", target_.ToString()));
      return true;
    }
    send_header_ = headers[0];
    op.buffer = std::move(first.data);
    op.sent = 1;
    StartOne(op);
    return false;
  }
  return true;
}

// ---- settings

absl::Status KernelUdp::Connect(const Endpoint& peer) {
  const SocketAddress address(peer, family_);
  const bool fits = !peer.ip.is_any() && peer.port != 0 && (family_ == AF_INET6 || peer.ip.is_v4());
  if (!fits || connect(fd(), &address.base, address.length) != 0) {
    return ErrnoStatus(fits ? errno : EINVAL, absl::StrCat("cannot connect UDP to ", peer.ToString()));
  }
  peer_ = peer;
  local_ = LocalEndpoint(fd());
  return absl::OkStatus();
}

// The kernel forgets a port that it chose itself; the socket takes it again.
absl::Status KernelUdp::Disconnect() {
  const sockaddr none{.sa_family = AF_UNSPEC, .sa_data = {}};
  if (connect(fd(), &none, sizeof none) != 0) return ErrnoStatus(errno, "cannot disconnect");
  peer_ = {};
  const uint16_t port = std::exchange(local_, LocalEndpoint(fd())).port;
  if (local_.port == port) return absl::OkStatus();
  const SocketAddress address({local_.ip, port}, family_);
  if (bind(fd(), &address.base, address.length) != 0) return ErrnoStatus(errno, "cannot keep the port");
  local_ = LocalEndpoint(fd());
  return absl::OkStatus();
}

absl::Status KernelUdp::SetOption(UdpOption option, uint32_t value) {
  struct {
    int v4, v6;
  } constexpr kNames[] = {{IP_TTL, IPV6_UNICAST_HOPS},
                          {IP_TOS, IPV6_TCLASS},
                          {IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS},
                          {IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP},
                          {IP_MULTICAST_IF, IPV6_MULTICAST_IF}};
  const int number = static_cast<int>(value);
  bool set;
  if (option == UdpOption::kBroadcast) {
    set = SetSocketOption(fd(), SOL_SOCKET, SO_BROADCAST, number);
  } else {
    const auto [v4, v6] = kNames[static_cast<size_t>(option)];
    const ip_mreqn interface{.imr_multiaddr = {}, .imr_address = {}, .imr_ifindex = number};
    set = option == UdpOption::kMulticastInterface
              ? setsockopt(fd(), IPPROTO_IP, v4, &interface, sizeof interface) == 0
              : SetSocketOption(fd(), IPPROTO_IP, v4, number);
    set = set && (family_ == AF_INET || SetSocketOption(fd(), IPPROTO_IPV6, v6, number));
  }
  if (set) return absl::OkStatus();
  // What our own stack says of an interface that is not there.
  const bool no_interface = option == UdpOption::kMulticastInterface && errno == EADDRNOTAVAIL;
  return ErrnoStatus(no_interface ? ENODEV : errno, absl::StrCat("cannot set a socket option to ", value));
}

absl::Status KernelUdp::CallGroup(GroupCall call, const IpAddress& group, const IpAddress& source, uint32_t interface) {
  // In the order of GroupCall.
  constexpr int kNames[] = {MCAST_JOIN_GROUP,     MCAST_LEAVE_GROUP,      MCAST_BLOCK_SOURCE,
                            MCAST_UNBLOCK_SOURCE, MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_SOURCE_GROUP};
  const int name = kNames[static_cast<size_t>(call)];
  const int level = group.is_v4() ? IPPROTO_IP : IPPROTO_IPV6;
  int result;
  if (call == GroupCall::kJoin || call == GroupCall::kLeave) {
    const group_req request{.gr_interface = interface, .gr_group = Storage(group)};
    result = setsockopt(fd(), level, name, &request, sizeof request);
  } else {
    const group_source_req request{
        .gsr_interface = interface, .gsr_group = Storage(group), .gsr_source = Storage(source)};
    result = setsockopt(fd(), level, name, &request, sizeof request);
  }
  if (result == 0) return absl::OkStatus();
  return ErrnoStatus(errno, GroupCallText(call, group, source, interface));
}

void KernelUdp::Close() {
  WEIR_CHECK(recv_op_ == nullptr);
  if (DispatchEnd::linked()) DispatchEnd::Unlink();
  CloseSocket();
}

SendBuffer KernelUdp::NewSendBuffer(size_t bytes) {
  return SendBuffer::Allocate(stack().pool(), bytes, stack().pool().frame_size());
}

}  // namespace weir::netstack
