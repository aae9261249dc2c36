// UDP sockets on weir's own stack.
#ifndef NETSTACK_SOCKET_INET_UDP_H_
#define NETSTACK_SOCKET_INET_UDP_H_

#include "netstack/socket/backend.h"
#include "netstack/udp/udp_table.h"
#include "runtime/core/scheduler.h"

namespace weir::netstack {

class InetUdp final : public UdpBackend {
 public:
  InetUdp(UdpTable& udp, runtime::Scheduler& scheduler) : udp_(udp), scheduler_(scheduler) {}

  // Returns 0 or an errno; called once, first.
  int Bind(const Endpoint& local);

  bool StartRecv(UdpRecvOp& op) override;
  void CancelRecv(UdpRecvOp& op) override;
  bool StartSend(UdpSendOp& op) override;
  void CancelSend(UdpSendOp&) override {}  // StartSend always completes
  void Close() override;
  Endpoint local() const override { return sock_.local; }
  SendBuffer NewSendBuffer(size_t bytes) override;

 private:
  static void OnReady(ReadySock& sock, uint8_t events);
  // Sends, in one packet where that is possible.
  DropReason Send(UdpSendOp& op, size_t length);
  // The payload in one frame with headroom: the buffer's own where that can be, else a copy. nullptr: no frame.
  runtime::Frame* OneFrame(UdpSendOp& op, size_t length);

  UdpTable& udp_;
  runtime::Scheduler& scheduler_;
  UdpSock sock_;
  bool bound_ = false;
  UdpRecvOp* recv_ = nullptr;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_INET_UDP_H_
