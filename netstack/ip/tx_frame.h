// TxFrame: a frame on its way out, and whether its packet goes on in the next one (XDP_PKT_CONTD). A packet that is larger
// than a frame leaves as several of them in a row.
#ifndef NETSTACK_IP_TX_FRAME_H_
#define NETSTACK_IP_TX_FRAME_H_

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/buffer/frame_pool.h"

namespace weir::netstack {

// The largest IP packet on a link: what Ethernet devices agree on as jumbo frames, 9 KiB.
inline constexpr uint32_t kLargestMtu = 9216;

// Frames of one packet on the link. The kernel puts 1792 bytes into a frame of 2048, behind its headroom of 256, so that
// the largest packet with Ethernet header and two tags, 9238 bytes, comes in six. Going out it takes no more.
inline constexpr size_t kMaxPacketFrames = 6;

class TxFrame {
 public:
  TxFrame() = default;
  TxFrame(runtime::Frame* frame, bool continued)
      : bits_(reinterpret_cast<uintptr_t>(frame) | static_cast<uintptr_t>(continued)) {}

  runtime::Frame* frame() const { return reinterpret_cast<runtime::Frame*>(bits_ & ~kContinued); }
  bool continued() const { return (bits_ & kContinued) != 0; }

 private:
  static constexpr uintptr_t kContinued = 1;  // 0 in a Frame*
  uintptr_t bits_ = 0;
};

inline uint32_t BytesIn(std::span<runtime::Frame* const> frames) {
  uint32_t bytes = 0;
  for (const runtime::Frame* frame : frames) [[unlikely]] bytes += frame->len;
  return bytes;
}

// The bytes of a packet in several frames, in order.
class PacketPieces {
 public:
  // From byte `skip` of the first frame on.
  PacketPieces(const runtime::Frame& first, std::span<runtime::Frame* const> more, uint32_t skip = 0) {
    pieces_[count_++] = {first.data + skip, first.len - skip};
    for (const runtime::Frame* piece : more) pieces_[count_++] = {piece->data, piece->len};
  }
  operator std::span<const iovec>() const { return {pieces_.data(), count_}; }  // NOLINT: implicit on purpose

 private:
  std::array<iovec, kMaxPacketFrames> pieces_;
  size_t count_ = 0;
};

// Gives back one reference on each frame of a packet.
inline void UnrefPacket(runtime::Frame* frame, std::span<runtime::Frame* const> more) {
  runtime::Unref(frame);
  for (runtime::Frame* piece : more) runtime::Unref(piece);
}

}  // namespace weir::netstack

#endif  // NETSTACK_IP_TX_FRAME_H_
