// HandOver: one shard's side of what the shards of a host hand to one another. A device gives it each burst that came in; it
// gives frames of others' flows to them and takes in the rest, and what others have for this shard. Where this shard has
// no queue of an interface, another one sends for it.
//
//   shard A: device -> Spread -> ShardsOfFrame -> ring A→B, and B is woken
//   shard B: Receive: a copy into a frame of its own -> ReceiveHere, as any frame;  shard A: Reclaim
//
// Frames of a flow stay in order: they all go one way.
#ifndef NETSTACK_LINK_HAND_OVER_H_
#define NETSTACK_LINK_HAND_OVER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "netstack/ip/inet.h"
#include "netstack/ip/peer_shards.h"
#include "netstack/link/frame_exchange.h"

namespace weir::netstack {

class HandOver final : public PeerShards {
 public:
  struct Counters {
    uint64_t given = 0;      // frames handed to others, copies for several among them
    uint64_t taken = 0;      // from others, and taken in
    uint64_t sent_for = 0;   // from others, and sent for them
    uint64_t wakes = 0;      // bursts of which another shard was told
  };
  // Wakes shard `to`, on which frames wait; from this shard's thread.
  using WakeFn = void (*)(void* context, int from, int to);

  // All outlive this, and `inet` is this shard's.
  HandOver(FlowShards& flows, FrameExchange& exchange, int self, WakeFn wake, void* wake_context)
      : PeerShards(flows, self), exchange_(exchange), wake_(wake), wake_context_(wake_context) {}
  // When no other shard looks for frames any more.
  ~HandOver();

  void Connect(Inet& inet) { inet_ = &inet; }

  void Spread(Interface& in, std::span<runtime::Frame* const> burst, Nanos now_ns) override;
  // A burst of what each of the others has for this shard; and takes back what they have copied. Returns frames.
  size_t Receive(Nanos now_ns);
  // There is something for Receive.
  bool RxReady() const;
  // Everything in `out`'s queue goes through shard `through`, until there is no room there; it stays queued then.
  void Transmit(Interface& out, int through);
  // Tells those who were given something. To be called before the shard does anything else for long.
  void Wake() {
    if (to_wake_ != 0) WakeAll();
  }

  const Counters& counters() const { return counters_; }

 private:
  // Frames that a copy leaves in the pool: as the Fill ring does (XdpLink::kTxReserve).
  static constexpr uint32_t kReserve = 128;

  DropReason GiveArrival(runtime::Frame& frame, int to) override;
  void WakeAll();
  uint16_t PlaceOf(const Interface& interface) const;
  void TakeBack(const HandedFrame& handed);
  // A packet in `frames`, at most kMaxPacketFrames + 1, with the caller's references; false: no room.
  bool Push(int to, std::span<runtime::Frame* const> frames, uint16_t interface, HandedFrame::Kind kind, ShardSet tried);
  void Give(int to, runtime::Frame* first, uint16_t interface);
  void Share(ShardSet others, runtime::Frame* first, uint16_t interface);
  // A copy of a packet that is linked by `next`, in frames of ours; nullptr: there are none.
  runtime::Frame* Copy(const runtime::Frame* first);
  runtime::Frame* CopyOne(const runtime::Frame& from);
  size_t TakeFrom(int from, Nanos now_ns);
  void TakeIn(size_t interface, std::span<runtime::Frame* const> burst, ShardSet tried, bool shared, Nanos now_ns);
  void SendFor(size_t interface, runtime::Frame* first);

  FrameExchange& exchange_;
  const WakeFn wake_;
  void* const wake_context_;
  Inet* inet_ = nullptr;
  uint16_t arrival_interface_ = 0;  // of what is taken in now
  ShardSet to_wake_ = 0;
  Counters counters_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_LINK_HAND_OVER_H_
