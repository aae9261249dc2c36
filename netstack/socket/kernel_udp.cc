#include "netstack/socket/kernel_udp.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {

using runtime::ErrnoStatus;

namespace {

// The larger of the two source addresses, rounded up, and of the two destination addresses.
constexpr size_t kNameSpace = 32;
static_assert(sizeof(sockaddr_in6) <= kNameSpace && (sizeof(io_uring_recvmsg_out) + kNameSpace) % 8 == 0);
constexpr size_t kControlSpace = CMSG_SPACE(sizeof(in6_pktinfo));

Endpoint SourceOf(io_uring_recvmsg_out* header) {
  SocketAddress address;
  std::memcpy(&address.v6, io_uring_recvmsg_name(header), std::min<size_t>(header->namelen, sizeof address.v6));
  return address.ToEndpoint();
}

IpAddress DestinationOf(io_uring_recvmsg_out* header, msghdr& layout) {
  for (cmsghdr* c = io_uring_recvmsg_cmsg_firsthdr(header, &layout); c != nullptr;
       c = io_uring_recvmsg_cmsg_nexthdr(header, &layout, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      return IpAddress::V4(ntohl(info.ipi_addr.s_addr));
    }
    if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      std::array<uint8_t, 16> bytes;
      std::memcpy(bytes.data(), &info.ipi6_addr, bytes.size());
      return IpAddress::V6(bytes);
    }
  }
  return {};
}

}  // namespace

KernelUdp::KernelUdp(KernelStack& stack, int fd, int family)
    : KernelDatagram(stack, fd, kNameSpace, kControlSpace, Sizes::kMostlySmall),
      family_(family),
      local_(LocalEndpoint(fd)) {}

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
  if (recv_op_ != nullptr && Take(*recv_op_)) std::exchange(recv_op_, nullptr)->Wake();
}

bool KernelUdp::Take(UdpRecvOp& op) {
  Datagram& datagram = op.datagram;
  const auto parse = [&](io_uring_recvmsg_out* header, msghdr& layout) {
    datagram.peer = SourceOf(header);
    datagram.local = {DestinationOf(header, layout), local_.port};
  };
  if (TakeReceived(datagram.data, parse)) return true;
  const int error = TakeError();
  if (error != 0) op.status = ErrnoStatus(error, "Recvmsg");
  return error != 0;
}

bool KernelUdp::StartSend(UdpSendOp& op) {
  if (family_ == AF_INET && !op.peer.ip.is_v4()) {
    op.status = ErrnoStatus(EAFNOSUPPORT, absl::StrCat("Sendmsg to ", op.peer.ToString(), " from an IPv4 socket"));
    return true;
  }
  send_address_ = SocketAddress(op.peer, family_);
  KernelDatagram::StartSend(op, &send_address_.base, send_address_.length);
  return false;
}

void KernelUdp::Close() {
  WEIR_CHECK(recv_op_ == nullptr);
  CloseSocket();
}

SendBuffer KernelUdp::NewSendBuffer(size_t bytes) {
  return SendBuffer::Allocate(stack().pool(), bytes, stack().pool().frame_size());
}

}  // namespace weir::netstack
