// KernelUdp: a UDP socket of the kernel. One multishot recvmsg fills frames of the shard's buffer ring; each frame then
// holds an io_uring_recvmsg_out, the peer's address, the control messages (the datagram's own destination) and the
// payload, in that order.
//
// A datagram that does not fit into the rest of a frame is a counted drop (Stats::udp_truncated): nobody wants half of
// one. kPauseDatagrams received and unread ones stop the receive; the kernel then queues, and drops, as it does.
#ifndef NETSTACK_SOCKET_KERNEL_UDP_H_
#define NETSTACK_SOCKET_KERNEL_UDP_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "netstack/socket/backend.h"
#include "netstack/socket/kernel_stack.h"
#include "netstack/socket/sockaddr.h"
#include "runtime/buffer/frame_queue.h"
#include "runtime/io/reactor.h"

namespace weir::netstack {

class KernelUdp final : public UdpBackend, KernelReceiver {
 public:
  // Four bursts of 64: what comes in while the reader answers the last one.
  static constexpr size_t kPauseDatagrams = 256;
  static constexpr size_t kResumeDatagrams = kPauseDatagrams / 2;

  // Takes over `fd`, a bound socket of `family` that reports destination addresses.
  KernelUdp(KernelStack& stack, int fd, int family);

  bool StartRecv(UdpRecvOp& op) override;
  void CancelRecv(UdpRecvOp& op) override;
  bool StartSend(UdpSendOp& op) override;
  void CancelSend(UdpSendOp& op) override;
  void Close() override;
  Endpoint local() const override { return local_; }
  SendBuffer NewSendBuffer(size_t bytes) override;

 private:
  ~KernelUdp();

  void OnRecv(int32_t result, uint32_t flags);
  void OnSend(int32_t result, uint32_t flags);
  void BuffersBack() override { ResumeRecv(); }
  void ResumeRecv();
  bool TakeReceived(UdpRecvOp& op);
  bool Accept(runtime::Frame* frame, size_t length);
  void MaybeFree();

  // Room for the larger of the two source addresses, rounded up so that the control messages behind it are aligned, and
  // of the two destination addresses.
  static constexpr size_t kNameSpace = 32;
  static_assert(sizeof(sockaddr_in6) <= kNameSpace && (sizeof(io_uring_recvmsg_out) + kNameSpace) % 8 == 0);
  static constexpr size_t kControlSpace = CMSG_SPACE(sizeof(in6_pktinfo));

  KernelStack& stack_;
  int fd_;
  const int family_;
  const Endpoint local_;
  runtime::FrameQueue queue_;
  UdpRecvOp* recv_op_ = nullptr;
  UdpSendOp* send_op_ = nullptr;
  int recv_error_ = 0;  // errno for the next receive
  bool recv_started_ = false;
  bool send_cancelled_ = false;
  bool closing_ = false;
  msghdr recv_layout_{};  // how much of a frame is for the address and the control messages
  msghdr send_message_{};
  SocketAddress send_address_;
  runtime::MemberOp<KernelUdp, &KernelUdp::OnRecv> recv_{*this};
  runtime::MemberOp<KernelUdp, &KernelUdp::OnSend> send_{*this};
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_KERNEL_UDP_H_
