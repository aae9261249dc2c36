// KernelUnixDatagram: a Unix datagram socket (see kernel_datagram.h). Its datagrams may be of any size from the start, since none
// is ever lost: the kernel makes the sender wait.
#ifndef NETSTACK_SOCKET_KERNEL_UNIX_DATAGRAM_H_
#define NETSTACK_SOCKET_KERNEL_UNIX_DATAGRAM_H_

#include <cstddef>
#include <string>

#include "netstack/socket/backend.h"
#include "netstack/socket/kernel_datagram.h"
#include "runtime/base/unix_address.h"

namespace weir::netstack {

class KernelUnixDatagram final : public UnixDatagramBackend, KernelDatagram {
 public:
  // Takes over `fd`.
  KernelUnixDatagram(KernelStack& stack, int fd);

  bool StartRecv(UnixRecvOp& op) override;
  void CancelRecv(UnixRecvOp& op) override;
  bool StartSend(UnixSendOp& op) override;
  void CancelSend(UnixSendOp& op) override { KernelDatagram::CancelSend(op); }
  void Close() override;
  SendBuffer NewSendBuffer(size_t bytes) override;

 private:
  ~KernelUnixDatagram() override = default;

  void Arrived() override;
  std::string SendTarget() const override;
  bool Take(UnixRecvOp& op);

  UnixRecvOp* recv_op_ = nullptr;
  UnixAddress::Sockaddr send_address_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_KERNEL_UNIX_DATAGRAM_H_
