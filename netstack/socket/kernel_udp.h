// KernelUdp: a UDP socket of the kernel (see kernel_datagram.h). Each datagram's control messages hold its own
// destination, interface, TTL, type of service and time.
//
// An IPv6 socket carries IPv4 too, as mapped addresses, and then takes the options of IPv4 (IPPROTO_IP) beside its own:
// what is set is set for both, and groups of either family are joined.
#ifndef NETSTACK_SOCKET_KERNEL_UDP_H_
#define NETSTACK_SOCKET_KERNEL_UDP_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <span>
#include <string>

#include "netstack/socket/backend.h"
#include "netstack/socket/kernel_datagram.h"
#include "netstack/socket/sockaddr.h"

namespace weir::netstack {

class KernelUdp final : public UdpBackend, KernelDatagram, runtime::DispatchEnd {
 public:
  // Asks the kernel for the control messages and what else `options` say of a bound socket. False, with errno set, when
  // it does not know them.
  static bool Prepare(int fd, const UdpBindOptions& options);
  // Takes over `fd`, a prepared socket.
  KernelUdp(KernelStack& stack, int fd);

  bool StartRecv(UdpRecvOp& op) override;
  void CancelRecv(UdpRecvOp& op) override;
  bool StartSend(UdpSendOp& op) override;
  void CancelSend(UdpSendOp& op) override { KernelDatagram::CancelSend(op); }
  void Close() override;
  absl::Status Connect(const Endpoint& peer) override;
  absl::Status Disconnect() override;
  absl::Status SetOption(UdpOption option, uint32_t value) override;
  absl::Status CallGroup(GroupCall call, const IpAddress& group, const IpAddress& source, uint32_t interface) override;
  Endpoint local() const override { return local_; }
  Endpoint peer() const override { return peer_; }
  uint64_t dropped() const override;
  SendBuffer NewSendBuffer(size_t bytes) override;
  void CountCopied(size_t bytes) override { stack().stats().copied_bytes += bytes; }

 private:
  // The address, TTL and type of service of IPv6, which are the larger ones.
  static constexpr size_t kSendControl = CMSG_SPACE(sizeof(in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int));
  // Where a datagram goes, and what is said of it, as sendmsg wants it.
  struct Header {
    SocketAddress address;
    alignas(cmsghdr) std::array<std::byte, kSendControl> control;
    size_t control_length = 0;
  };

  ~KernelUdp() override = default;

  // A batch is given what all of a Poll's completions brought, a single receive the first.
  void Arrived() override;
  void Dispatched() override;
  std::string SendTarget() const override { return target_.ToString(); }
  bool Take(UdpRecvOp& op);
  // Returns 0 or an errno.
  int FillHeader(Header& header, const Endpoint& peer, const UdpSendOptions& options) const;
  // True: done. Else the first message could not be sent at once and is under way.
  bool StartBatch(UdpSendOp& op);
  void StartOne(UdpSendOp& op);

  const int family_;
  Endpoint local_;
  Endpoint peer_;
  UdpRecvOp* recv_op_ = nullptr;
  Header send_header_;
  Endpoint target_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_KERNEL_UDP_H_
