// A Frame is one fixed-size piece of a FramePool's memory together with the record kept about it, as sk_buff is
// to the kernel. Every packet lies in exactly one frame from the ring to the coroutine and back; layers pass
// `Frame*` along and move `data`/`len` over the headers.
//
//   base            data                 data+len             base+frame_size
//   |<- headroom ->|<------- len ------->|<----- tailroom ----->|
//
// Ownership is counted in `refs`: whoever holds a Frame* that it will use later holds one reference, and gives
// it back with Unref. A frame in the device (Fill or Tx ring) is referenced by the link. Frames belong to one
// shard; the count is not atomic.
#ifndef RUNTIME_BUFFER_FRAME_H_
#define RUNTIME_BUFFER_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "runtime/base/check.h"

namespace weir::runtime {

class FramePool;

// Room kept in front of the payload of a frame that will be sent: Ethernet 14 + two VLAN tags 8 + IPv6 40 +
// TCP with all options 60 = 122, rounded up to two cache lines.
inline constexpr uint32_t kTxHeadroom = 128;

// One cache line, so that a burst touches one line a frame besides the bytes themselves.
struct alignas(64) Frame {
  // Link of whichever single queue owns the frame; or whom it counts against: FramePool::Charge.
  Frame* next = nullptr;
  std::byte* data = nullptr;
  uint32_t len = 0;
  uint16_t refs = 0;
  // How often the frame is on a Tx ring and not yet completed (or was sent by reference by a ring that ended first).
  // While it is not 0 the device may be reading the frame, so its bytes must not change.
  uint16_t tx_pending = 0;
  FramePool* pool = nullptr;
  std::byte* base = nullptr;  // start of the frame's memory; constant

  // In `next`, which else has no such bit: it says whom the frame counts against.
  static constexpr uintptr_t kCharged = 1;

  // Scratch of the layer that owns the frame, as skb->cb is; read and written through Cb<T>.
  alignas(8) std::byte cb[24] = {};

  template <typename T>
  T& Cb() {
    static_assert(sizeof(T) <= sizeof cb && std::is_trivially_copyable_v<T>);
    return *reinterpret_cast<T*>(cb);
  }

  std::span<std::byte> bytes() const { return {data, len}; }
  uint32_t headroom() const { return static_cast<uint32_t>(data - base); }
  uint32_t tailroom() const;
  bool charged() const { return (reinterpret_cast<uintptr_t>(next) & kCharged) != 0; }
  // One holds it, and no device reads it. (One comparison, of both counts.)
  bool alone() const { return (refs | uint32_t{tx_pending} << 16) == 1; }

  // Takes `n` bytes off the front (skb_pull).
  void Pull(uint32_t n) {
    WEIR_DCHECK(n <= len);
    data += n;
    len -= n;
  }
  // Makes room for `n` bytes in front and returns it (skb_push).
  std::byte* Push(uint32_t n) {
    WEIR_DCHECK(n <= headroom());
    data -= n;
    len += n;
    return data;
  }
  // Cuts the frame to `n` bytes, if it is longer (skb_trim).
  void Trim(uint32_t n) {
    if (len > n) len = n;
  }
};

static_assert(sizeof(Frame) == 64);

}  // namespace weir::runtime

#endif  // RUNTIME_BUFFER_FRAME_H_
