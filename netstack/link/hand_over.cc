#include "netstack/link/hand_over.h"

#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "netstack/link/ethernet_rcv.h"
#include "netstack/link/shards_of_frame.h"

namespace weir::netstack {
namespace {

using runtime::Frame;
using Kind = HandedFrame::Kind;

void UnrefChain(Frame* first) {
  while (first != nullptr) {
    Frame* next = std::exchange(first->next, nullptr);
    runtime::Unref(first);
    first = next;
  }
}

// The frames of a packet, none linked to another.
class Pieces {
 public:
  // Takes apart what is linked by `next`, with its references.
  explicit Pieces(Frame* first) {
    while (first != nullptr) {
      Frame* next = std::exchange(first->next, nullptr);
      if (count_ < frames_.size()) {
        frames_[count_++] = first;
      } else {
        runtime::Unref(first);
      }
      first = next;
    }
  }
  std::span<Frame* const> frames() const { return {frames_.data(), count_}; }
  void Ref() const {
    for (Frame* frame : frames()) runtime::Ref(frame);
  }
  void Unref() const {
    for (Frame* frame : frames()) runtime::Unref(frame);
  }

 private:
  std::array<Frame*, kMaxPacketFrames + 1> frames_;  // one more than is allowed: the other shard refuses it
  size_t count_ = 0;
};

}  // namespace

HandOver::~HandOver() {
  for (int to = 0; to < flows_.shards(); ++to) {
    exchange_.ring(self_, to).ReclaimAll([this](const HandedFrame& handed) { TakeBack(handed); });
  }
}

void HandOver::TakeBack(const HandedFrame& handed) {
  if (handed.kind == Kind::kTransmit) --handed.frame->tx_pending;
  runtime::Unref(handed.frame);
}

void HandOver::WakeAll() {
  for (ShardSet left = std::exchange(to_wake_, 0); left != 0; left &= left - 1) {
    ++counters_.wakes;
    wake_(wake_context_, self_, std::countr_zero(left));
  }
}

uint16_t HandOver::PlaceOf(const Interface& interface) const {
  const auto& all = inet_->ip.interfaces;
  uint16_t place = 0;
  while (all[place].get() != &interface) ++place;
  return place;
}

bool HandOver::Push(int to, std::span<Frame* const> frames, uint16_t interface, Kind kind, ShardSet tried) {
  std::array<HandedFrame, kMaxPacketFrames + 1> handed;
  for (size_t i = 0; i < frames.size(); ++i) {
    handed[i] = {.frame = frames[i], .tried = tried, .interface = interface, .kind = kind,
                 .continued = i + 1 < frames.size()};
  }
  const std::span<const HandedFrame> packet(handed.data(), frames.size());
  HandOverRing& ring = exchange_.ring(self_, to);
  if (!ring.Push(packet)) {
    ring.Reclaim([this](const HandedFrame& back) { TakeBack(back); });
    if (!ring.Push(packet)) return false;
  }
  to_wake_ |= ShardSet{1} << to;
  counters_.given += packet.size();
  return true;
}

void HandOver::Give(int to, Frame* first, uint16_t interface) {
  const Pieces packet(first);
  const bool given = Push(to, packet.frames(), interface, Kind::kReceived, 0);
  inet_->ip.outcomes.Count(given ? DropReason::kHandedOver : DropReason::kHandOverFull);
  if (!given) packet.Unref();
}

DropReason HandOver::GiveArrival(Frame& frame, int to) {
  runtime::Ref(&frame);
  Frame* const one = &frame;
  if (Push(to, {&one, 1}, arrival_interface_, Kind::kReceived, tried_ | here())) return DropReason::kHandedOver;
  runtime::Unref(&frame);
  return DropReason::kHandOverFull;
}

// Others read the bytes while they are worked on here, so they get a copy; all of them the same one.
void HandOver::Share(ShardSet others, Frame* first, uint16_t interface) {
  Frame* copy = Copy(first);
  if (copy == nullptr) return inet_->ip.outcomes.Count(DropReason::kHandOverNoFrame);
  const Pieces packet(copy);
  for (; others != 0; others &= others - 1) {
    packet.Ref();
    if (Push(std::countr_zero(others), packet.frames(), interface, Kind::kShared, 0)) continue;
    inet_->ip.outcomes.Count(DropReason::kHandOverFull);
    packet.Unref();
  }
  packet.Unref();
}

Frame* HandOver::Copy(const Frame* first) {
  Frame* head = nullptr;
  Frame** link = &head;
  for (const Frame* from = first; from != nullptr; from = from->next) {
    *link = CopyOne(*from);
    if (*link == nullptr) {
      UnrefChain(head);
      return nullptr;
    }
    link = &(*link)->next;
  }
  return head;
}

Frame* HandOver::CopyOne(const Frame& from) {
  runtime::FramePool& pool = inet_->ip.pool;
  Frame* to = pool.free_count() > kReserve ? pool.Alloc(from.headroom()) : nullptr;
  if (to == nullptr) return nullptr;
  std::memcpy(to->data, from.data, from.len);
  to->len = from.len;
  return to;
}

void HandOver::Spread(Interface& in, std::span<Frame* const> burst, Nanos now_ns) {
  std::array<Frame*, FrameExchange::kBurst> ours;
  size_t count = 0;
  const uint16_t interface = PlaceOf(in);
  const auto take_in = [&](bool shared) {
    TakeIn(interface, {ours.data(), count}, 0, shared, now_ns);
    count = 0;
  };
  for (Frame* frame : burst) {
    const ShardSet shards = ShardsOfFrame(flows_, inet_->ip, frame->bytes(), here());
    if (shards != here() && std::has_single_bit(shards)) {
      Give(std::countr_zero(shards), frame, interface);
      continue;
    }
    const bool shared = shards != here();
    if (shared) {
      Share(shards & ~here(), frame, interface);
      if ((shards & here()) == 0) {
        inet_->ip.outcomes.Count(DropReason::kHandedOver);
        UnrefChain(frame);
        continue;
      }
      take_in(/*shared=*/false);  // in the order in which they came
    }
    ours[count++] = frame;
    if (shared || count == ours.size()) take_in(shared);
  }
  Wake();  // they work while we do
  take_in(/*shared=*/false);
}

void HandOver::TakeIn(size_t interface, std::span<Frame* const> burst, ShardSet tried, bool shared, Nanos now_ns) {
  if (burst.empty()) return;
  arrival_interface_ = static_cast<uint16_t>(interface);
  tried_ = tried;
  shared_ = shared;
  ReceiveHere(*inet_, *inet_->ip.interfaces[interface], burst, shared ? nullptr : this, now_ns);
  tried_ = 0;
  shared_ = false;
}

bool HandOver::RxReady() const {
  for (int from = 0; from < flows_.shards(); ++from) {
    if (exchange_.ring(from, self_).available() > 0) return true;
  }
  return false;
}

size_t HandOver::Receive(Nanos now_ns) {
  size_t frames = 0;
  for (int peer = 0; peer < flows_.shards(); ++peer) {
    HandOverRing& back = exchange_.ring(self_, peer);
    if (back.outstanding()) back.Reclaim([this](const HandedFrame& handed) { TakeBack(handed); });
    frames += TakeFrom(peer, now_ns);
  }
  Wake();
  return frames;
}

size_t HandOver::TakeFrom(int from, Nanos now_ns) {
  HandOverRing& ring = exchange_.ring(from, self_);
  const uint32_t available = ring.available();
  if (available == 0) return 0;
  std::array<Frame*, FrameExchange::kBurst> burst;
  size_t count = 0;
  HandedFrame last;  // what those in `burst` have in common
  const auto take_in = [&] {
    TakeIn(last.interface, {burst.data(), count}, last.tried, last.kind == Kind::kShared, now_ns);
    count = 0;
  };
  uint32_t i = 0;
  while (i < available && i < FrameExchange::kBurst) {
    const HandedFrame handed = ring.At(i);
    Frame* first = nullptr;
    Frame** link = &first;
    bool whole = true;
    for (bool more = true; more; ++i) {
      const HandedFrame& piece = ring.At(i);
      more = piece.continued;
      *link = whole ? CopyOne(*piece.frame) : nullptr;
      whole = *link != nullptr;
      if (whole) link = &(*link)->next;
    }
    if (!whole) {
      UnrefChain(first);
      inet_->ip.outcomes.Count(DropReason::kHandOverNoFrame);
      continue;
    }
    if (handed.kind == Kind::kTransmit) {
      SendFor(handed.interface, first);
      continue;
    }
    const bool alike = handed.interface == last.interface && handed.tried == last.tried && handed.kind == last.kind;
    if (count > 0 && !alike) take_in();
    last = handed;
    burst[count++] = first;
    ++counters_.taken;
  }
  ring.Release(i);
  take_in();
  return i;
}

void HandOver::SendFor(size_t interface, Frame* first) {
  const Pieces packet(first);
  NetDevice& device = inet_->ip.interfaces[interface]->device;
  inet_->ip.CountFailure(device.Queue(first, packet.frames().subspan(1)));
  ++counters_.sent_for;
}

// Frames that wait for the program's, or the peer's, answer may be in the queue, and stay what they are: tx_pending holds
// until they were copied.
void HandOver::Transmit(Interface& out, int through) {
  NetDevice& device = out.device;
  HandOverRing& ring = exchange_.ring(self_, through);
  ring.Reclaim([this](const HandedFrame& handed) { TakeBack(handed); });
  const uint16_t interface = PlaceOf(out);
  while (!device.tx_empty()) {
    std::array<HandedFrame, kMaxPacketFrames> packet;
    size_t count = 0;
    bool continued = true;
    while (continued && count < packet.size()) {
      const TxFrame frame = device.TxAt(count);
      continued = frame.continued();
      packet[count++] = {.frame = frame.frame(), .interface = interface, .kind = Kind::kTransmit, .continued = continued};
    }
    if (!ring.Push({packet.data(), count})) break;
    for (size_t i = 0; i < count; ++i) ++device.TxPop()->tx_pending;
    to_wake_ |= ShardSet{1} << through;
    counters_.given += count;
  }
  Wake();
}

}  // namespace weir::netstack
