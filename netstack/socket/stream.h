// Stream: the two directions of a connection, whatever it runs over: the common part of TcpStream and UnixStream, and
// what a server takes that serves both. Move-only; belongs to one shard. One receive and one send may be under way at
// a time, from the same task or from two. Destroying it closes in order: what Sendmsg accepted is still delivered. It
// must not be destroyed while a call on it is awaited.
//
//   absl::StatusOr<weir::RecvBuffer> msg = co_await stream.Recvmsg();
//   if (!msg.ok() || msg->empty()) co_return;             // error, or the peer's end of sending
//   absl::Status sent = co_await stream.Sendmsg(*std::move(msg));
//
// Errors: kCancelled when the scope was stopped, kAborted for a reset ("ECONNRESET" in the message) or a peer that
// takes nothing any more (EPIPE), kDeadlineExceeded when retransmission gave up.
//
// As with recvmsg(2) and sendmsg(2): what is queued is received before an error or the end is told; what a receive has
// copied when it is stopped, or the connection ends, is received, and the call gives it. Differs from them:
// - Sendmsg ends when all is taken, as if MSG_WAITALL were its flag, too. Where sendmsg(2) would give a short count it
//   gives the error, and the count in `taken`.
// - An error is told at every call that follows; Linux tells it once, and then the end.
// - SIGPIPE is never raised. Sending nothing is OK at once, or the error that the connection is known to have ended with.
// - There is no MSG_DONTWAIT (use WithTimeout) and no MSG_OOB, and no MSG_TRUNC that discards (tcp(7)): drop the buffer.
#ifndef NETSTACK_SOCKET_STREAM_H_
#define NETSTACK_SOCKET_STREAM_H_

#include <utility>

#include "netstack/socket/backend.h"
#include "netstack/socket/operation.h"

namespace weir {
namespace netstack {

struct StreamRecvTraits {
  using Backend = StreamBackend;
  using Op = RecvOp;
  void Fill(Op&) {}
  static bool Start(Backend& backend, Op& op) { return backend.StartRecv(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelRecv(op); }
  // Not inline, and without a buffer on its way: each coroutine that receives would have room for it in its frame.
  [[gnu::noinline]] static absl::StatusOr<RecvBuffer> Take(Op& op) {
    if (!op.status.ok()) return std::move(op.status);
    absl::StatusOr<RecvBuffer> got(absl::in_place);
    if (op.has_buffer) *got = std::move(op.buffer);
    return got;
  }
};

struct StreamRecvIntoTraits : StreamRecvTraits {
  std::span<const iovec> into;
  RecvFlags flags;
  void Fill(Op& op) {
    op.reader.into = into;
    op.flags = flags;
  }
  // recvmsg(2) into no memory gives 0 at once; to the backend an empty span means: give the frames.
  static bool Start(Backend& backend, Op& op) { return op.full() || backend.StartRecv(op); }
  static absl::StatusOr<size_t> Take(Op& op) {
    if (!op.status.ok()) return std::move(op.status);
    return op.reader.copied;
  }
};

struct StreamSendTraits {
  using Backend = StreamBackend;
  using Op = SendOp;
  static void Fill(Op& op, runtime::FrameChain&& frames) { op.SetFrames(std::move(frames)); }
  static void Fill(Op& op, const std::span<const iovec>& from) { op.memory.from = from; }
  static bool Start(Backend& backend, Op& op) { return backend.StartSend(op); }
  static void Cancel(Backend& backend, Op& op) { backend.CancelSend(op); }
  static absl::Status Take(Op& op) { return std::move(op.status); }
};

struct ScatterSendTraits : StreamSendTraits {
  using Op = ScatterSendOp;
  static void Fill(Op& op, runtime::FrameChain&& frames, const std::span<const iovec>& then, size_t* taken) {
    op.Fill(std::move(frames), then, taken);
  }
  static absl::Status Take(Op& op) {
    op.TellTaken();
    return std::move(op.status);
  }
};

}  // namespace netstack

using netstack::RecvFlags;

class Stream {
 public:
  Stream() = default;
  explicit Stream(netstack::StreamBackendPtr backend) : backend_(std::move(backend)) {}

  // Waits for data and gives all that is in order, up to RecvBuffer::kMaxSlices slices, as it lies in the frames.
  // Empty: the peer sends no more (FIN), now and at every later call.
  auto Recvmsg() { return netstack::Operation<netstack::StreamRecvTraits>(*backend_, {}); }

  // Fills the caller's memory, which must stay until the call returns: at least one byte, at most what fits; 0 is the
  // peer's FIN, or the answer to memory of no bytes. Bytes of a segment that arrives while the call waits go from the
  // frame straight there. With `wait_all` it is filled, unless the call is stopped or the connection ends before; with
  // `peek` the bytes are the next call's, too. Both together look at no more than the connection holds unread: memory
  // for more never fills.
  auto Recvmsg(std::span<const iovec> into, RecvFlags flags = {}) {
    return netstack::Operation<netstack::StreamRecvIntoTraits>(*backend_, {{}, into, flags});
  }

  // Sends all of `buffer` without copying it; resumes when the stack has taken it, which the send buffer's bound
  // delays (back-pressure). An error or cancellation may leave a part sent. Over kernel sockets that means: without a
  // copy of weir's; from 64 KiB on the kernel does not copy either, where it can (Linux 6.2), and the frames come back
  // only when the peer has acknowledged them.
  auto Sendmsg(SendBuffer&& buffer) { return SendFrames(std::move(buffer)); }
  auto Sendmsg(RecvBuffer&& received) { return SendFrames(std::move(received)); }

  // The same for the caller's memory: copied once, whatever its size, and free again when the call returns.
  auto Sendmsg(std::span<const iovec> from) {
    return netstack::Operation<netstack::StreamSendTraits>(*backend_, from);
  }

  // Both, in one stream of bytes: frames, of the program's and received ones in any order (SendBuffer::Append), and
  // then the caller's memory, a part of a mapped file for example. `taken` (nullptr: nobody asks) is how many bytes the
  // stack took when the call has ended, however it did; those will be delivered unless the connection fails.
  auto Sendmsg(SendBuffer&& buffer, std::span<const iovec> then, size_t* taken = nullptr) {
    return netstack::Operation<netstack::ScatterSendTraits>(*backend_, std::move(buffer), then, taken);
  }
  auto Sendmsg(std::span<const iovec> from, size_t* taken) { return Sendmsg(SendBuffer(), from, taken); }

  // Writable frames with room for headers, one segment each; see SendBuffer. May be shorter than `bytes`, and is
  // empty when the shard has no frame to spare: then send by copy, which waits.
  SendBuffer NewSendBuffer(size_t bytes) { return backend_->NewSendBuffer(bytes); }

  // FIN after what was sent, the send that is under way too; the peer's data still arrives (half-close).
  absl::Status ShutdownWrite() { return backend_->ShutdownWrite(); }
  // Ends both directions at once; queued data is dropped. The peer sees a reset (RST), over a Unix socket the end.
  void Reset() { backend_->Reset(); }
  // The same as destroying the stream.
  void Close() { backend_.reset(); }

 protected:
  netstack::StreamBackend& backend() const { return *backend_; }
  netstack::StreamBackendPtr TakeBackend() { return std::move(backend_); }

 private:
  netstack::Operation<netstack::StreamSendTraits> SendFrames(runtime::FrameChain&& frames) {
    return netstack::Operation<netstack::StreamSendTraits>(*backend_, std::move(frames));
  }

  netstack::StreamBackendPtr backend_;
};

}  // namespace weir

#endif  // NETSTACK_SOCKET_STREAM_H_
