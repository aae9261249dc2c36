// FrameExchange: the frames that shards hand to one another: a ring for each ordered pair of them, with one writer and one
// reader and no locks.
//
// A frame stays its maker's: the reader copies it into a frame of its own, and the maker takes it back when it next looks
// (Reclaim). So no reference count is touched by two threads, no frame changes its pool, and nobody is woken to take
// frames back. Whoever hands over wakes the reader through its mailbox, once a burst (hand_over.h).
#ifndef NETSTACK_LINK_FRAME_EXCHANGE_H_
#define NETSTACK_LINK_FRAME_EXCHANGE_H_

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "netstack/ip/flow_shards.h"
#include "runtime/buffer/frame.h"

namespace weir::netstack {

struct HandedFrame {
  enum class Kind : uint8_t {
    kReceived,  // to be taken in, as if it had come to the reader's own device
    kShared,    // the same, of a packet that came to several shards
    kTransmit,  // to be sent: the maker has no queue of the interface
  };

  runtime::Frame* frame = nullptr;  // the maker's, with one reference; its bytes do not change until it is taken back
  ShardSet tried = 0;               // shards that had it, and no socket for it
  uint16_t interface = 0;           // its place among the stack's
  Kind kind = Kind::kReceived;
  bool continued = false;           // the packet goes on in the next one
};

class HandOverRing {
 public:
  // `size`: a power of two.
  explicit HandOverRing(uint32_t size) : mask_(size - 1), slots_(size) {}

  // The writer's. All of `frames`, which are one packet, or (false) none of them.
  bool Push(std::span<const HandedFrame> frames) {
    if (written_ - reclaimed_ + frames.size() > slots_.size()) return false;
    for (const HandedFrame& frame : frames) slots_[written_++ & mask_] = frame;
    pushed_.store(written_, std::memory_order_release);
    return true;
  }
  // The writer's: calls fn(const HandedFrame&) on each that the reader has copied.
  template <typename Fn>
  void Reclaim(Fn&& fn) {
    const uint32_t taken = taken_.load(std::memory_order_acquire);
    for (; reclaimed_ != taken; ++reclaimed_) fn(slots_[reclaimed_ & mask_]);
  }
  // The writer's, when the reader looks no more: on each that is left.
  template <typename Fn>
  void ReclaimAll(Fn&& fn) {
    for (; reclaimed_ != written_; ++reclaimed_) fn(slots_[reclaimed_ & mask_]);
  }
  bool outstanding() const { return reclaimed_ != written_; }

  // The reader's: how many are there, whole packets; the one `i` places behind the oldest; and that `n` were copied.
  uint32_t available() const { return pushed_.load(std::memory_order_acquire) - read_; }
  const HandedFrame& At(uint32_t i) const { return slots_[(read_ + i) & mask_]; }
  void Release(uint32_t n) {
    read_ += n;
    taken_.store(read_, std::memory_order_release);
  }

 private:
  const uint32_t mask_;
  std::vector<HandedFrame> slots_;
  alignas(64) uint32_t written_ = 0;  // the writer's
  uint32_t reclaimed_ = 0;
  std::atomic<uint32_t> pushed_{0};
  alignas(64) uint32_t read_ = 0;  // the reader's
  std::atomic<uint32_t> taken_{0};
};

class FrameExchange {
 public:
  // Frames of one shard that may be on their way to others: what a Rx ring holds, which is what a core takes in in a turn
  // (XdpLink::kRxSize); with many shards a burst for each of the others.
  static constexpr uint32_t kUnderWay = 2048;
  static constexpr uint32_t kBurst = 64;

  explicit FrameExchange(int shards) : shards_(static_cast<size_t>(shards)) {
    const uint32_t size = RingSize(shards);
    for (size_t i = 0; i < shards_ * shards_; ++i) rings_.push_back(std::make_unique<HandOverRing>(size));
  }

  static uint32_t RingSize(int shards) {
    const auto peers = static_cast<uint32_t>(std::max(shards - 1, 1));
    return std::max(kBurst, std::bit_floor(kUnderWay / peers));
  }

  HandOverRing& ring(int from, int to) { return *rings_[static_cast<size_t>(from) * shards_ + static_cast<size_t>(to)]; }

 private:
  const size_t shards_;
  std::vector<std::unique_ptr<HandOverRing>> rings_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_LINK_FRAME_EXCHANGE_H_
