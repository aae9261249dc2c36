#include "netstack/socket/kernel_unix_datagram.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {

namespace {

// A sockaddr_un, rounded up.
constexpr size_t kNameSpace = 112;
static_assert(sizeof(sockaddr_un) <= kNameSpace && (sizeof(io_uring_recvmsg_out) + kNameSpace) % 8 == 0);

}  // namespace

KernelUnixDatagram::KernelUnixDatagram(KernelStack& stack, int fd)
    : KernelDatagram(stack, fd, kNameSpace, /*control_space=*/0, Sizes::kAny) {}

bool KernelUnixDatagram::StartRecv(UnixRecvOp& op) {
  WEIR_CHECK(recv_op_ == nullptr && !closing());
  const bool taken = Take(op);
  ResumeRecv();
  if (!taken) recv_op_ = &op;
  return taken;
}

void KernelUnixDatagram::CancelRecv(UnixRecvOp& op) {
  WEIR_CHECK(recv_op_ == &op);
  recv_op_ = nullptr;
  op.status = absl::CancelledError("Recvmsg cancelled");
  op.Wake();
}

void KernelUnixDatagram::Arrived() {
  if (recv_op_ != nullptr && Take(*recv_op_)) std::exchange(recv_op_, nullptr)->Wake();
}

bool KernelUnixDatagram::Take(UnixRecvOp& op) {
  const auto parse = [&](io_uring_recvmsg_out* header, msghdr&) {
    sockaddr_un address{};
    const size_t length = std::min<size_t>(header->namelen, sizeof address);
    std::memcpy(&address, io_uring_recvmsg_name(header), length);
    op.datagram.peer = UnixAddress::FromSockaddr(address, length);
  };
  if (TakeReceived(op.datagram.data, parse)) return true;
  const int error = TakeError();
  if (error != 0) op.status = runtime::ErrnoStatus(error, "Recvmsg");
  return error != 0;
}

bool KernelUnixDatagram::StartSend(UnixSendOp& op) {
  send_address_ = op.peer.ToSockaddr();
  KernelDatagram::StartSend(op, &send_address_.address, send_address_.length);
  return false;
}

std::string KernelUnixDatagram::SendTarget() const {
  return UnixAddress::FromSockaddr(send_address_.address, send_address_.length).ToString();
}

void KernelUnixDatagram::Close() {
  WEIR_CHECK(recv_op_ == nullptr);
  CloseSocket();
}

SendBuffer KernelUnixDatagram::NewSendBuffer(size_t bytes) {
  return SendBuffer::Allocate(stack().pool(), bytes, stack().pool().frame_size());
}

}  // namespace weir::netstack
