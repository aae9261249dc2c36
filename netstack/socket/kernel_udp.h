// KernelUdp: a UDP socket of the kernel (see kernel_datagram.h). Each datagram's control messages hold its own destination.
#ifndef NETSTACK_SOCKET_KERNEL_UDP_H_
#define NETSTACK_SOCKET_KERNEL_UDP_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <string>

#include "netstack/socket/backend.h"
#include "netstack/socket/kernel_datagram.h"
#include "netstack/socket/sockaddr.h"

namespace weir::netstack {

class KernelUdp final : public UdpBackend, KernelDatagram {
 public:
  // Takes over `fd`, a bound socket of `family` that reports destination addresses.
  KernelUdp(KernelStack& stack, int fd, int family);

  bool StartRecv(UdpRecvOp& op) override;
  void CancelRecv(UdpRecvOp& op) override;
  bool StartSend(UdpSendOp& op) override;
  void CancelSend(UdpSendOp& op) override { KernelDatagram::CancelSend(op); }
  void Close() override;
  Endpoint local() const override { return local_; }
  SendBuffer NewSendBuffer(size_t bytes) override;

 private:
  ~KernelUdp() override = default;

  void Arrived() override;
  std::string SendTarget() const override { return send_address_.ToEndpoint().ToString(); }
  bool Take(UdpRecvOp& op);

  const int family_;
  const Endpoint local_;
  UdpRecvOp* recv_op_ = nullptr;
  SocketAddress send_address_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_KERNEL_UDP_H_
