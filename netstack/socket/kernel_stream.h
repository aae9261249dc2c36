// KernelStream: a connection of the kernel, over TCP or a Unix socket. One multishot receive fills frames of the
// shard's buffer ring; one sendmsg at a time sends, straight from the frames or the caller's memory.
//
// Back-pressure: kPauseFrames received and unread frames stop the multishot receive, so that the kernel's own socket
// buffer fills and its window closes; it is prepared again when the reader has taken half of them. So do fewer, with
// those that the program keeps, when there are not more left for all others (KernelStack::HasTooMuch).
//
// Long chains of frames are sent by reference (ZeroCopySend): the operation ends when the socket has taken them, as
// ever, so that further sends follow at once, and the frames stay with the ZeroCopySend until the kernel's
// notification.
//
// Lifetime: Close cancels what is in flight; the last final completion closes the descriptor and frees the object. A
// frame that is being sent stays with the SendOp until the send's result, and then, if sent by reference, with its
// ZeroCopySend, which outlives the stream, and the KernelStack: nobody waits for a peer that does not acknowledge.
#ifndef NETSTACK_SOCKET_KERNEL_STREAM_H_
#define NETSTACK_SOCKET_KERNEL_STREAM_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "netstack/socket/backend.h"
#include "netstack/socket/kernel_stack.h"
#include "netstack/socket/sockaddr.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/recycler.h"
#include "runtime/buffer/frame_queue.h"
#include "runtime/io/reactor.h"

namespace weir::netstack {

class KernelStream final : public StreamBackend, KernelReceiver {
 public:
  // What one Recvmsg hands out at most: a reader that takes all there is never waits for the receive to be prepared
  // again. With 2 KiB frames 128 KiB, the kernel's own default receive buffer (tcp_rmem[1]).
  static constexpr size_t kPauseFrames = RecvBuffer::kMaxSlices;
  static constexpr size_t kResumeFrames = kPauseFrames / 2;
  // The least that is sent by reference. Where the kernel really does not copy this costs half of a copy or less from
  // here on; how it is below was not measured (bench/README.md).
  static constexpr size_t kLeastZeroCopy = 64 * 1024;
  // Long sends that are copied after one by reference that the kernel copied all the same (the peer is on this machine,
  // the card cannot gather, tcpdump runs), until the next is tried. One in vain costs up to 2.6 times a copy
  // (bench/README.md), so these tries cost a connection that never can less than 3 %.
  static constexpr uint32_t kCopiesBetweenTries = 64;

  // An established connection. Takes over `fd`.
  KernelStream(KernelStack& stack, int fd);
  // One that StartConnect will connect to `peer`.
  KernelStream(KernelStack& stack, int fd, const Endpoint& peer);

  bool StartConnect(ConnectOp& op) override;
  void CancelConnect(ConnectOp& op) override;
  bool StartRecv(RecvOp& op) override;
  void CancelRecv(RecvOp& op) override;
  bool StartSend(SendOp& op) override;
  void CancelSend(SendOp& op) override;
  absl::Status ShutdownWrite() override;
  void Reset() override;
  bool StartClose(CloseOp& op) override;
  void CancelClose(CloseOp& op) override;
  void Close() override;
  Endpoint local() const override;
  Endpoint peer() const override;
  SendBuffer NewSendBuffer(size_t bytes) override;
  absl::Status SetTcpOption(TcpSockOption option, uint64_t value) override;
  absl::StatusOr<uint64_t> GetTcpOption(TcpSockOption option) const override;
  absl::Status SetKeepAlive(const std::optional<TcpKeepAlive>& times) override;
  absl::StatusOr<std::optional<TcpKeepAlive>> GetKeepAlive() const override;
  absl::Status SetCongestionControl(std::string_view name) override;
  absl::StatusOr<std::string> GetCongestionControl() const override;
  absl::StatusOr<TcpInfo> Info() const override;
  absl::StatusOr<TcpMemInfo> MemInfo() const override;
  absl::Status TakeError() override;
  int kernel_fd() const override { return fd_; }

  static void* operator new(size_t size) { return runtime::Recycler::ThisThread().Alloc(size); }
  static void operator delete(void* memory, size_t size) { runtime::Recycler::ThisThread().Free(memory, size); }

 private:
  ~KernelStream();

  void OnConnect(int32_t result, uint32_t flags);
  void OnRecv(int32_t result, uint32_t flags);
  void OnSend(int32_t result, uint32_t flags);
  void GoOnSending(int32_t result);
  void BuffersBack() override { ResumeRecv(); }
  uint32_t unread() const override { return queue_.count(); }
  void Free() override { delete this; }

  void ResumeRecv();
  void Queue(runtime::Frame* frame);
  bool TakeReceived(RecvOp& op);
  bool TakeIntoMemory(RecvOp& op);
  size_t CopyReceived(std::span<const iovec> into, size_t skip);
  size_t PeekReceived(std::span<const iovec> into) const;
  void SubmitSend();
  std::span<const iovec> CallersSlices();
  void FinishSend(absl::Status status);
  bool ZeroCopyPays();
  runtime::UringOp& NewZeroCopySend();
  bool ZeroCopyRefused(int32_t result);
  void LeaveZeroCopySends();
  void ResetOnClose();
  bool TryClose(CloseOp& op);
  static void OnLinger(runtime::Timer& timer, Nanos now_ns);
  void MaybeFree();
  absl::Status ResetStatus() const;

  // Slices of the caller's memory that one sendmsg takes; a longer list takes several.
  static constexpr size_t kSendSlices = 16;
  class ZeroCopySend;
  struct Lingering;

  // What each receive and send touches comes first and fills three cache lines; the rest is for how things begin and
  // end.
  int fd_;
  bool send_cancelled_ = false;
  bool shutdown_wanted_ = false;  // when the send under way is done
  bool write_shut_ = false;

  // Receiving.
  bool recv_started_ = false;
  bool eof_ = false;
  bool reset_ = false;
  bool closing_ = false;
  runtime::MemberOp<KernelStream, &KernelStream::OnRecv> recv_{*this};
  RecvOp* recv_op_ = nullptr;
  runtime::FrameQueue queue_;

  // Sending.
  SendOp* send_op_ = nullptr;
  runtime::MemberOp<KernelStream, &KernelStream::OnSend> send_{*this};
  runtime::FixedFile send_file_;
  runtime::UringOp* sending_ = nullptr;  // of send_op_: send_ or a ZeroCopySend
  uint32_t copies_left_ = 0;             // long sends to be copied before the next by reference

  int recv_error_ = 0;         // errno that ended it
  msghdr message_;             // of a send of several slices
  iovec slices_[kSendSlices];  // the same, from the caller's memory
  runtime::List<ZeroCopySend, ZeroCopySend> zero_copy_;  // what they send is, or may be, read by the kernel

  // Connecting.
  ConnectOp* connect_op_ = nullptr;
  SocketAddress connect_address_;
  runtime::MemberOp<KernelStream, &KernelStream::OnConnect> connect_{*this};
  std::unique_ptr<Lingering> lingering_;  // while StartClose is under way
  mutable Endpoint peer_;  // port 0: not asked for yet
  mutable Endpoint local_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_KERNEL_STREAM_H_
