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

bool HandOver::Push(int to, Frame* first, uint16_t interface, Kind kind, ShardSet tried) {
  std::array<HandedFrame, kMaxPacketFrames + 1> packet;  // one more than is allowed: the other shard refuses it
  size_t count = 0;
  for (Frame* frame = first; frame != nullptr && count < packet.size(); frame = frame->next) {
    packet[count++] = {.frame = frame, .tried = tried, .interface = interface, .kind = kind,
                       .continued = frame->next != nullptr && count < packet.size()};
  }
  HandOverRing& ring = exchange_.ring(self_, to);
  if (!ring.Push({packet.data(), count})) {
    ring.Reclaim([this](const HandedFrame& handed) { TakeBack(handed); });
    if (!ring.Push({packet.data(), count})) return false;
  }
  // Each frame goes by itself from here on, and comes back so. The reader does not look at `next`.
  Frame* rest = packet[count - 1].frame->next;
  for (size_t i = 0; i < count; ++i) packet[i].frame->next = nullptr;
  UnrefChain(rest);
  to_wake_ |= ShardSet{1} << to;
  counters_.given += count;
  return true;
}

void HandOver::Give(int to, Frame* first, uint16_t interface) {
  const bool given = Push(to, first, interface, Kind::kReceived, 0);
  inet_->ip.outcomes.Count(given ? DropReason::kHandedOver : DropReason::kHandOverFull);
  if (!given) UnrefChain(first);
}

DropReason HandOver::GiveArrival(Frame& frame, int to) {
  runtime::Ref(&frame);
  if (Push(to, &frame, arrival_interface_, Kind::kReceived, tried_ | here())) return DropReason::kHandedOver;
  runtime::Unref(&frame);
  return DropReason::kHandOverFull;
}

// Others read the bytes while they are worked on here, so they get a copy; all of them the same one.
void HandOver::Share(ShardSet others, Frame* first, uint16_t interface) {
  Frame* copy = Copy(first);
  if (copy == nullptr) return inet_->ip.outcomes.Count(DropReason::kHandOverNoFrame);
  std::array<Frame*, kMaxPacketFrames + 1> frames;
  size_t count = 0;
  for (Frame* frame = copy; frame != nullptr; frame = frame->next) frames[count++] = frame;
  for (; others != 0; others &= others - 1) {
    for (size_t i = 0; i < count; ++i) {
      runtime::Ref(frames[i]);
      frames[i]->next = i + 1 < count ? frames[i + 1] : nullptr;
    }
    if (Push(std::countr_zero(others), copy, interface, Kind::kShared, 0)) continue;
    inet_->ip.outcomes.Count(DropReason::kHandOverFull);
    for (size_t i = 0; i < count; ++i) runtime::Unref(frames[i]);
  }
  for (size_t i = 0; i < count; ++i) {
    frames[i]->next = nullptr;
    runtime::Unref(frames[i]);
  }
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
  std::array<Frame*, kMaxPacketFrames + 1> more;
  size_t count = 0;
  for (Frame* frame = std::exchange(first->next, nullptr); frame != nullptr; frame = std::exchange(frame->next, nullptr)) {
    more[count++] = frame;
  }
  NetDevice& device = inet_->ip.interfaces[interface]->device;
  inet_->ip.CountFailure(count == 0 ? device.Queue(first) : device.Queue(first, {more.data(), count}));
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
