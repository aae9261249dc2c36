// UDP sockets on weir's own stack.
#ifndef NETSTACK_SOCKET_INET_UDP_H_
#define NETSTACK_SOCKET_INET_UDP_H_

#include "netstack/socket/backend.h"
#include "netstack/udp/udp_output.h"
#include "netstack/udp/udp_table.h"
#include "runtime/core/scheduler.h"

namespace weir::netstack {

class InetUdp final : public UdpBackend {
 public:
  InetUdp(UdpTable& udp, runtime::Scheduler& scheduler, const UdpBindOptions& options)
      : udp_(udp), scheduler_(scheduler), sock_(options) {}

  // Returns 0 or an errno; called once, first.
  int Bind(const Endpoint& local);

  bool StartRecv(UdpRecvOp& op) override;
  void CancelRecv(UdpRecvOp& op) override;
  bool StartSend(UdpSendOp& op) override;
  void CancelSend(UdpSendOp&) override {}  // StartSend always completes
  void Close() override;
  absl::Status Connect(const Endpoint& peer) override;
  absl::Status Disconnect() override;
  absl::Status SetOption(UdpOption option, uint32_t value) override;
  absl::Status CallGroup(GroupCall call, const IpAddress& group, const IpAddress& source, uint32_t interface) override;
  Endpoint local() const override { return sock_.local; }
  Endpoint peer() const override { return sock_.remote; }
  uint64_t dropped() const override { return sock_.dropped; }
  SendBuffer NewSendBuffer(size_t bytes) override;
  void CountCopied(size_t bytes) override { udp_.ip().copied_bytes += bytes; }

 private:
  // What an ICMP error said of an earlier datagram, told once.
  absl::Status TakeError();
  static void OnReady(ReadySock& sock, uint8_t events);
  absl::Status SendOne(SendBuffer& buffer, std::span<const iovec> from, const Endpoint& peer,
                       const UdpSendOptions& options);
  DropReason Transmit(SendBuffer& buffer, std::span<const iovec> from, size_t length, const UdpRoute& route);
  // The payload in one frame with headroom: the buffer's own where that can be, else a copy. nullptr: no frame.
  runtime::Frame* OneFrame(SendBuffer& buffer, std::span<const iovec> from, size_t length);

  UdpTable& udp_;
  runtime::Scheduler& scheduler_;
  UdpSock sock_;
  bool bound_ = false;
  UdpRecvOp* recv_ = nullptr;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_INET_UDP_H_
