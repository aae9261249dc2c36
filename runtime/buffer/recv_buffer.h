// RecvBuffer: what Recvmsg() gives. A move-only chain of slices that point into the frames themselves: UMEM frames
// on --stack=xdp, io_uring provided buffers on --stack=kernel. Destroying it gives the frames back; while it
// lives, its bytes count against the socket it came from.
//
//   weir::RecvBuffer msg = ...;
//   for (const iovec& slice : msg.buffers()) Use(slice.iov_base, slice.iov_len);
//   msg.Consume(4);                        // the first four bytes are done with
//   weir::RecvBuffer line = msg.Split(*msg.Find(std::byte{'\n'}) + 1);
#ifndef RUNTIME_BUFFER_RECV_BUFFER_H_
#define RUNTIME_BUFFER_RECV_BUFFER_H_

#include <utility>

#include "runtime/buffer/frame_chain.h"

namespace weir {

class RecvBuffer : public runtime::FrameChain {
 public:
  RecvBuffer() = default;
  explicit RecvBuffer(runtime::FrameChain&& chain) : FrameChain(std::move(chain)) {}
  // Of `bytes`, which lie in `frame`; takes over one reference.
  RecvBuffer(runtime::Frame* frame, std::span<const std::byte> bytes) : FrameChain(frame, bytes) {}

  RecvBuffer Split(size_t n) { return RecvBuffer(FrameChain::Split(n)); }
};

}  // namespace weir

#endif  // RUNTIME_BUFFER_RECV_BUFFER_H_
