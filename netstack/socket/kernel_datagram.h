// KernelDatagram: what KernelUdp and KernelUnixDatagram have in common: receiving datagrams into frames, and sending
// one at a time.
//
// Small datagrams: one multishot recvmsg fills frames of the shard's buffer ring; each frame then holds an
// io_uring_recvmsg_out, the sender's address, the control messages and the payload, in that order. The kernel cuts off
// what does not fit into the frame.
//
// Large datagrams: a one-shot recvmsg over up to kMaxSlices frames, whose first one is laid out in the same way. A
// socket changes to it when the kernel cut a datagram off (Stats::datagrams_truncated), and back after kSmallAgain
// datagrams that would have fitted; one whose datagrams may not be cut off begins with it and stays, and drops what
// even that is too small for.
//
// A send to a Unix socket whose queue is full fails with EAGAIN and is tried again after a while, at ever longer
// intervals: the kernel does not tell when there is room, except to a connected socket. (Were io_uring left to retry by
// itself, it would send an empty datagram: unix_dgram_sendmsg has consumed the data when it finds the queue full. Seen
// on Linux 6.18.)
//
// kPauseFrames received and unread frames stop the receive, and so do fewer, with those that the program keeps, when
// there are not more left for all others (KernelStack::HasTooMuch); the kernel then queues, and drops, as it does.
#ifndef NETSTACK_SOCKET_KERNEL_DATAGRAM_H_
#define NETSTACK_SOCKET_KERNEL_DATAGRAM_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "netstack/socket/backend.h"
#include "netstack/socket/kernel_stack.h"
#include "runtime/base/check.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/buffer/frame_queue.h"
#include "runtime/io/reactor.h"

namespace weir::netstack {

class KernelDatagram : public KernelReceiver {
 public:
  // Four bursts of 64: what comes in while the reader answers the last one.
  static constexpr size_t kPauseFrames = 256;
  static constexpr size_t kResumeFrames = kPauseFrames / 2;
  static constexpr uint32_t kSmallAgain = 1024;

 protected:
  enum class Sizes { kMostlySmall, kAny };

  // Takes over `fd`. `name_space` and `control_space`: room in a frame for the sender's address and the control
  // messages, both multiples of 8.
  KernelDatagram(KernelStack& stack, int fd, size_t name_space, size_t control_space, Sizes sizes);
  virtual ~KernelDatagram();

  // Something came for TakeReceived, or HasEnded.
  virtual void Arrived() = 0;
  virtual std::string SendTarget() const = 0;

  // Prepares the receive when it is not in flight and there is room for what it brings.
  void ResumeRecv();
  // Moves the oldest datagram's payload to `data`, after parse(header, layout) has read its address and control
  // messages; false when there is none. In the header `payloadlen` is what was received and `flags` the number of bytes
  // at the end that were not. `peek`: it also stays where it is.
  template <typename Parse>
  bool TakeReceived(RecvBuffer& data, Parse parse, bool peek = false) {
    if (queue_.empty()) return false;
    auto* header = reinterpret_cast<io_uring_recvmsg_out*>(queue_.head()->base);
    parse(header, layout_);
    if (peek) {
      PeekPayload(data, header->payloadlen);
    } else {
      TakePayload(data, header->payloadlen);
    }
    return true;
  }
  // errno of a receive that failed, told once; 0 when none did.
  int TakeError() { return std::exchange(recv_error_, 0); }

  // `name` (nullptr: none) and `control` messages stay until the operation ends.
  void StartSend(DatagramSendOp& op, const void* name, socklen_t name_length, std::span<std::byte> control = {});
  void CancelSend(DatagramSendOp& op);
  // Frees the object when the kernel has let go of it. The name is free then, a turn later.
  void CloseSocket();

  int fd() const { return fd_; }
  bool closing() const { return closing_; }

 private:
  struct Large;
  struct RetryTimer : runtime::Timer {
    explicit RetryTimer(KernelDatagram& socket) : Timer(&KernelDatagram::OnSendRetry), socket(socket) {}
    KernelDatagram& socket;
  };

  void BuffersBack() override { ResumeRecv(); }
  uint32_t unread() const override { return queue_.count(); }
  void Free() override { delete this; }
  void OnRecv(int32_t result, uint32_t flags);
  void OnSend(int32_t result, uint32_t flags);
  void SubmitSend();
  void FinishSend(absl::Status status);
  static void OnSendRetry(runtime::Timer& timer, Nanos now_ns);
  void Accept(runtime::Frame* frame, size_t length);
  bool PrepareLarge();
  void AcceptLarge(size_t payload);
  void TakePayload(RecvBuffer& data, size_t payload);
  void PeekPayload(RecvBuffer& data, size_t payload);
  size_t header_space() const { return sizeof(io_uring_recvmsg_out) + layout_.msg_namelen + layout_.msg_controllen; }
  void MaybeFree();

  const int fd_;
  const Sizes sizes_;
  bool closing_ = false;
  bool send_cancelled_ = false;
  int recv_error_ = 0;  // for the next receive
  runtime::FrameQueue queue_;
  msghdr layout_{};  // how much of a frame is for the address and the control messages
  std::unique_ptr<Large> large_;  // while datagrams are received by one-shot recvmsg
  DatagramSendOp* send_op_ = nullptr;
  msghdr send_message_{};
  runtime::FixedFile send_file_;
  Nanos send_retry_ns_ = 0;  // the present interval
  RetryTimer send_retry_{*this};
  runtime::MemberOp<KernelDatagram, &KernelDatagram::OnRecv> recv_{*this};
  runtime::MemberOp<KernelDatagram, &KernelDatagram::OnSend> send_{*this};
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_KERNEL_DATAGRAM_H_
