// KernelStream's sends by reference (IORING_OP_SENDMSG_ZC): only of frames, which can stay behind when the operation
// ends. What the caller owns is copied, since the call would otherwise return only with the peer's ACK.
#include <algorithm>
#include <cerrno>
#include <span>

#include "netstack/socket/kernel_stream.h"

namespace weir::netstack {

// One such send. It completes twice: with the result, by which the socket has taken the bytes, and with the
// notification that the kernel reads them no more, for TCP when they are acknowledged or the connection is gone. In
// between it holds the frames; then it frees itself.
class KernelStream::ZeroCopySend : public runtime::ListNode<ZeroCopySend>, public runtime::NotifiedOp {
 public:
  explicit ZeroCopySend(KernelStream& stream) : NotifiedOp(&OnCqe), stream_(&stream) {
    stream.zero_copy_.PushBack(*this);
  }

  // The notification concerns the stream no more.
  void Leave() {
    runtime::ListNode<ZeroCopySend>::Unlink();
    stream_ = nullptr;
  }

  static void* operator new(size_t size) { return runtime::Recycler::ThisThread().Alloc(size); }
  static void operator delete(void* memory, size_t size) { runtime::Recycler::ThisThread().Free(memory, size); }

 private:
  static void OnCqe(runtime::UringOp& op, int32_t result, uint32_t flags) {
    auto& self = static_cast<ZeroCopySend&>(op);
    if ((flags & IORING_CQE_F_NOTIF) != 0) return self.OnNotification(result);
    KernelStream& stream = *self.stream_;
    self.frames_ = stream.send_op_->frames.Split(static_cast<size_t>(std::max(result, 0)));
    // A send that failed is notified as copied.
    if (result <= 0) self.Leave();
    if ((flags & IORING_CQE_F_MORE) != 0) {
      stream.stack_.reactor().AwaitNotification(self);
    } else {
      self.OnNotification(0);
    }
    if (result > 0) ++stream.stack_.stats().zero_copy_sends;
    stream.GoOnSending(result);
  }

  void OnNotification(int32_t usage) {
    if (usage == -ECANCELED) RetireFrames();
    if (stream_ != nullptr) {
      if (static_cast<uint32_t>(usage) == IORING_NOTIF_USAGE_ZC_COPIED) {
        ++stream_->stack_.stats().zero_copy_copied;
        stream_->copies_left_ = kCopiesBetweenTries;
      }
      Leave();
    }
    delete this;
  }

  // The ring ended before the kernel had done with them.
  void RetireFrames() {
    while (!frames_.empty()) {
      std::span<std::byte> bytes;
      runtime::Frame* frame = frames_.PopFront(&bytes);
      ++frame->tx_pending;
      runtime::Unref(frame);
    }
  }

  KernelStream* stream_;  // nullptr when it is gone, or the send failed
  runtime::FrameChain frames_;
};

// Whether what is left is to be sent by reference. Half of the pool stays for everything else: frames that wait for
// acknowledgement are bounded by what peers leave in the send buffers, which may be megabytes a connection.
bool KernelStream::ZeroCopyPays() {
  if (!send_op_->has_frames) return false;
  const SendBuffer& buffer = send_op_->frames;
  if (buffer.size() < kLeastZeroCopy || !stack_.reactor().features().send_zc_report) return false;
  if (copies_left_ > 0) {
    --copies_left_;
    return false;
  }
  const runtime::FramePool& pool = *buffer.front_frame()->pool;
  return pool.free_count() >= pool.size() / 2;
}

runtime::UringOp& KernelStream::NewZeroCopySend() { return *new ZeroCopySend(*this); }

// Whether `result` is that of a send by reference that can be repeated by copy: EOPNOTSUPP, the kind of socket has no
// such sends (Unix); ENOMEM and ENOBUFS, RLIMIT_MEMLOCK or the kernel's own memory is used up.
bool KernelStream::ZeroCopyRefused(int32_t result) {
  if (sending_ == &send_ || (result != -EOPNOTSUPP && result != -ENOMEM && result != -ENOBUFS)) return false;
  ++stack_.stats().zero_copy_refused;
  copies_left_ = kCopiesBetweenTries;
  return true;
}

void KernelStream::LeaveZeroCopySends() {
  zero_copy_.ForEach([](ZeroCopySend& send) { send.Leave(); });
}

}  // namespace weir::netstack
