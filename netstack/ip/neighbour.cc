#include "netstack/ip/neighbour.h"

#include <utility>

#include "netstack/ip/arp.h"
#include "netstack/ip/ip_context.h"
#include "netstack/ip/link_output.h"

namespace weir::netstack {

NeighbourTable::NeighbourTable() : entries_(kEntries), buckets_(kEntries) {
  for (Neighbour& entry : entries_) free_.PushBack(entry);
}

size_t NeighbourTable::Bucket(const IpAddress& ip) const {
  // Only hosts of our own prefix get here, so the low bits spread well and need no key.
  const auto words = ip.words();
  return ((words[0] ^ words[1]) * 0x9e3779b97f4a7c15 >> 32) % kEntries;
}

Neighbour* NeighbourTable::Find(const IpAddress& ip) {
  for (Neighbour* entry = buckets_[Bucket(ip)]; entry != nullptr; entry = entry->hash_next) {
    if (entry->ip == ip) return entry;
  }
  return nullptr;
}

Neighbour& NeighbourTable::FindOrCreate(IpContext& context, const IpAddress& ip) {
  if (Neighbour* found = Find(ip)) {
    static_cast<runtime::ListNode<NeighbourUse>&>(*found).Unlink();
    used_.PushBack(*found);
    return *found;
  }
  if (free_.empty()) Remove(context, used_.front());
  Neighbour& entry = *free_.PopFront();
  entry.context = &context;
  entry.ip = ip;
  entry.state = NeighbourState::kIncomplete;
  entry.probes = 0;
  Neighbour*& head = buckets_[Bucket(ip)];
  entry.hash_next = std::exchange(head, &entry);
  used_.PushBack(entry);
  return entry;
}

void NeighbourTable::Remove(IpContext& context, Neighbour& neighbour) {
  context.timers.Cancel(neighbour);
  for (size_t i = 0; i < neighbour.pending_count; ++i) {
    context.outcomes.Count(DropReason::kNeighbourFailed);
    --neighbour.pending[i]->tx_pending;
    runtime::Unref(neighbour.pending[i]);
  }
  neighbour.pending_count = 0;
  Neighbour** link = &buckets_[Bucket(neighbour.ip)];
  while (*link != &neighbour) link = &(*link)->hash_next;
  *link = neighbour.hash_next;
  neighbour.state = NeighbourState::kFree;
  static_cast<runtime::ListNode<NeighbourUse>&>(neighbour).Unlink();
  free_.PushBack(neighbour);
}

void NeighbourTable::Clear(IpContext& context) {
  while (!used_.empty()) Remove(context, used_.front());
  while (free_.PopFront() != nullptr) {
  }
}

// Ends of INCOMPLETE, DELAY and PROBE; RFC 4861 §7.3.3.
void Neighbour::OnTimer(runtime::Timer& timer, Nanos now_ns) {
  auto& self = static_cast<Neighbour&>(timer);
  IpContext& context = *self.context;
  if (self.state == NeighbourState::kDelay) {
    self.state = NeighbourState::kProbe;
    self.probes = 0;
  }
  if (self.probes == NeighbourTable::kMaxProbes) {
    context.neighbours.Remove(context, self);
    return;
  }
  ++self.probes;
  context.CountFailure(ArpSolicit(context, self));
  context.timers.Arm(self, now_ns + NeighbourTable::kRetransTimer);
}

DropReason NeighbourOutput(IpContext& context, runtime::Frame* frame, const IpAddress& next_hop, Nanos now_ns) {
  Neighbour& neighbour = context.neighbours.FindOrCreate(context, next_hop);
  if (neighbour.state == NeighbourState::kIncomplete) {
    if (neighbour.pending_count == Neighbour::kMaxPending) {
      runtime::Unref(frame);
      return DropReason::kNeighbourQueueFull;
    }
    ++frame->tx_pending;
    neighbour.pending[neighbour.pending_count++] = frame;
    if (!neighbour.armed()) Neighbour::OnTimer(neighbour, now_ns);
    return DropReason::kConsumed;
  }
  if (neighbour.state == NeighbourState::kReachable &&
      now_ns - neighbour.confirmed_ns > NeighbourTable::kReachableTime) {
    neighbour.state = NeighbourState::kStale;
  }
  if (neighbour.state == NeighbourState::kStale) {
    neighbour.state = NeighbourState::kDelay;
    context.timers.Arm(neighbour, now_ns + NeighbourTable::kDelayFirstProbe);
  }
  return LinkOutput(context, frame, neighbour.mac, kEtherTypeIpv4);
}

void NeighbourUpdate(IpContext& context, Neighbour& neighbour, const MacAddress& mac, bool confirmed, Nanos now_ns) {
  neighbour.mac = mac;
  neighbour.state = confirmed ? NeighbourState::kReachable : NeighbourState::kStale;
  neighbour.confirmed_ns = now_ns;
  neighbour.probes = 0;
  context.timers.Cancel(neighbour);
  const size_t waiting = std::exchange(neighbour.pending_count, 0);
  for (size_t i = 0; i < waiting; ++i) {
    runtime::Frame* frame = neighbour.pending[i];
    --frame->tx_pending;
    context.CountFailure(NeighbourOutput(context, frame, neighbour.ip, now_ns));
  }
}

}  // namespace weir::netstack
