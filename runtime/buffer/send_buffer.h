// SendBuffer: what Sendmsg takes without copying. Either frames that the program writes into, with room for all
// headers in front of each, or a forwarded RecvBuffer.
//
//   weir::SendBuffer page = stream.NewSendBuffer(n);   // fewer bytes than asked when frames are short
//   size_t got = Fill(page.writable());                // iovecs to write into
//   page.Trim(got);
//   co_await stream.Sendmsg(std::move(page));
//
// Or both, one behind the other, and in a stream's Sendmsg memory of the program's behind them:
//   weir::SendBuffer out = stream.NewSendBuffer(header.size());
//   ...                                                // write the header
//   out.Append(*std::move(received));                  // leaves in `received` what a chain has no room for
//   co_await stream.Sendmsg(std::move(out), {&part_of_a_mapped_file, 1});
#ifndef RUNTIME_BUFFER_SEND_BUFFER_H_
#define RUNTIME_BUFFER_SEND_BUFFER_H_

#include <algorithm>
#include <utility>

#include "runtime/buffer/frame_chain.h"
#include "runtime/buffer/recv_buffer.h"

namespace weir {

class SendBuffer : public runtime::FrameChain {
 public:
  SendBuffer() = default;
  // Forwarding what was received, as it lies.
  SendBuffer(RecvBuffer&& received) : FrameChain(std::move(received)) {}  // NOLINT: implicit on purpose

  // Up to `bytes` of writable memory, cut into frames of at most `per_frame` bytes (one segment each). At most
  // kMaxSlices frames; shorter, or empty, when the pool is.
  static SendBuffer Allocate(runtime::FramePool& pool, size_t bytes, size_t per_frame) {
    SendBuffer out;
    while (bytes > 0 && !out.full()) {
      runtime::Frame* frame = pool.Alloc();
      if (frame == nullptr) break;
      const size_t n = std::min({bytes, per_frame, size_t{frame->tailroom()}});
      out.Append(frame, {frame->data, n});
      bytes -= n;
    }
    return out;
  }

  // The same slices as buffers(); memory may be written only before the buffer is sent.
  std::span<const iovec> writable() const { return buffers(); }

  // Keeps the first `n` bytes.
  void Trim(size_t n) {
    if (n < size()) static_cast<FrameChain&>(*this) = Split(n);
  }
};

}  // namespace weir

#endif  // RUNTIME_BUFFER_SEND_BUFFER_H_
