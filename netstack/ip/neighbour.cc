#include "netstack/ip/neighbour.h"

#include <utility>

#include "netstack/ip/arp.h"
#include "netstack/ip/ip_context.h"
#include "netstack/ip/link_output.h"
#include "netstack/ip/ndisc_output.h"

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

// Sockets that keep their neighbour do not look it up, and so do not move it to the end: what they have used since it
// was last considered is given another turn.
Neighbour& NeighbourTable::LeastRecentlyUsed() {
  auto& list = unproven_.empty() ? proven_ : unproven_;
  while (std::exchange(list.front().used, false)) list.PushBack(*list.PopFront());
  return list.front();
}

Neighbour& NeighbourTable::FindOrCreate(Interface& interface, const IpAddress& ip) {
  if (Neighbour* found = Find(ip)) {
    static_cast<runtime::ListNode<NeighbourUse>&>(*found).Unlink();
    (found->proven ? proven_ : unproven_).PushBack(*found);
    return *found;
  }
  if (free_.empty()) Remove(interface, LeastRecentlyUsed());
  Neighbour& entry = *free_.PopFront();
  entry.interface = &interface;
  entry.ip = ip;
  entry.state = NeighbourState::kIncomplete;
  entry.probes = 0;
  entry.proven = entry.contested = entry.is_router = entry.used = false;
  Neighbour*& head = buckets_[Bucket(ip)];
  entry.hash_next = std::exchange(head, &entry);
  unproven_.PushBack(entry);
  return entry;
}

void NeighbourTable::Prove(Neighbour& neighbour) {
  if (std::exchange(neighbour.proven, true)) return;
  static_cast<runtime::ListNode<NeighbourUse>&>(neighbour).Unlink();
  proven_.PushBack(neighbour);
}

void NeighbourTable::Remove(Interface& interface, Neighbour& neighbour) {
  IpContext& context = interface.context;
  ++context.dst_changes;
  context.timers.Cancel(neighbour);
  for (size_t i = 0; i < neighbour.pending_count; ++i) {
    runtime::Frame* frame = neighbour.pending[i].frame();
    if (!neighbour.pending[i].continued()) context.outcomes.Count(DropReason::kNeighbourFailed);
    --frame->tx_pending;
    runtime::Unref(frame);
  }
  neighbour.pending_count = 0;
  Neighbour** link = &buckets_[Bucket(neighbour.ip)];
  while (*link != &neighbour) link = &(*link)->hash_next;
  *link = neighbour.hash_next;
  neighbour.state = NeighbourState::kFree;
  static_cast<runtime::ListNode<NeighbourUse>&>(neighbour).Unlink();
  free_.PushBack(neighbour);
}

void NeighbourTable::Clear(Interface& interface) {
  for (auto* list : {&unproven_, &proven_}) {
    while (!list->empty()) Remove(interface, list->front());
  }
  while (free_.PopFront() != nullptr) {
  }
}

namespace {

DropReason Solicit(Interface& interface, const Neighbour& neighbour, Nanos now_ns) {
  return neighbour.ip.is_v4() ? ArpSolicit(interface, neighbour) : NdpSolicit(interface, neighbour, now_ns);
}

}  // namespace

// Ends of INCOMPLETE, DELAY and PROBE; RFC 4861 §7.3.3.
void Neighbour::OnTimer(runtime::Timer& timer, Nanos now_ns) {
  auto& self = static_cast<Neighbour&>(timer);
  Interface& interface = *self.interface;
  if (self.state == NeighbourState::kDelay) {
    self.state = NeighbourState::kProbe;
    self.probes = 0;
  }
  if (self.probes == NeighbourTable::kMaxProbes) {
    if (self.is_router) interface.routers.Unreachable(self.ip);
    interface.neighbours.Remove(interface, self);
    return;
  }
  ++self.probes;
  interface.context.CountFailure(Solicit(interface, self, now_ns));
  interface.context.timers.Arm(self, now_ns + interface.retrans_timer(self.ip.is_v4()));
}

DropReason NeighbourOutput(Interface& out, runtime::Frame* frame, const IpAddress& next_hop, Nanos now_ns,
                           std::span<runtime::Frame* const> more) {
  Neighbour& neighbour = out.neighbours.FindOrCreate(out, next_hop);
  if (neighbour.state == NeighbourState::kIncomplete) {
    if (neighbour.pending_count + 1 + more.size() > Neighbour::kMaxPending) {
      UnrefPacket(frame, more);
      return DropReason::kNeighbourQueueFull;
    }
    const auto wait = [&neighbour](runtime::Frame* piece, bool continued) {
      ++piece->tx_pending;
      neighbour.pending[neighbour.pending_count++] = {piece, continued};
    };
    wait(frame, !more.empty());
    for (size_t i = 0; i < more.size(); ++i) wait(more[i], i + 1 < more.size());
    if (!neighbour.armed()) Neighbour::OnTimer(neighbour, now_ns);
    return DropReason::kConsumed;
  }
  return NeighbourSend(out, neighbour, frame, now_ns, more);
}

DropReason NeighbourSend(Interface& out, Neighbour& neighbour, runtime::Frame* frame, Nanos now_ns,
                         std::span<runtime::Frame* const> more) {
  const bool v4 = neighbour.ip.is_v4();
  if (neighbour.state == NeighbourState::kReachable && now_ns - neighbour.confirmed_ns > out.reachable_time(v4)) {
    neighbour.state = NeighbourState::kStale;
  }
  if (neighbour.state == NeighbourState::kStale) {
    neighbour.state = NeighbourState::kDelay;
    out.context.timers.Arm(neighbour, now_ns + NeighbourTable::kDelayFirstProbe);
  }
  return LinkOutput(out, frame, neighbour.mac, v4 ? kEtherTypeIpv4 : kEtherTypeIpv6, more);
}

void NeighbourUpdate(Interface& interface, Neighbour& neighbour, const MacAddress& mac, bool confirmed, Nanos now_ns) {
  if (neighbour.contested && mac != neighbour.mac) return;
  neighbour.mac = mac;
  neighbour.state = confirmed ? NeighbourState::kReachable : NeighbourState::kStale;
  neighbour.confirmed_ns = now_ns;
  neighbour.probes = 0;
  neighbour.contested = false;
  if (confirmed) interface.neighbours.Prove(neighbour);
  interface.context.timers.Cancel(neighbour);
  const size_t waiting = std::exchange(neighbour.pending_count, 0);
  for (size_t i = 0; i < waiting;) {
    std::array<runtime::Frame*, kMaxPacketFrames> packet;
    size_t count = 0;
    do {
      packet[count] = neighbour.pending[i].frame();
      --packet[count++]->tx_pending;
    } while (neighbour.pending[i++].continued());
    const std::span<runtime::Frame* const> more(packet.data() + 1, count - 1);
    interface.context.CountFailure(NeighbourOutput(interface, packet[0], neighbour.ip, now_ns, more));
  }
}

void NeighbourConfirm(Neighbour& neighbour, Nanos now_ns) {
  if (neighbour.state < NeighbourState::kReachable) return;
  neighbour.confirmed_ns = now_ns;
  if (neighbour.state == NeighbourState::kReachable) [[likely]] return;
  Interface& interface = *neighbour.interface;
  neighbour.state = NeighbourState::kReachable;
  neighbour.probes = 0;
  neighbour.contested = false;
  interface.neighbours.Prove(neighbour);
  interface.context.timers.Cancel(neighbour);
}

void NeighbourContest(Neighbour& neighbour, Nanos now_ns) {
  if (neighbour.state < NeighbourState::kReachable || neighbour.state == NeighbourState::kProbe) return;
  neighbour.state = NeighbourState::kProbe;
  neighbour.contested = true;
  neighbour.probes = 0;
  Neighbour::OnTimer(neighbour, now_ns);
}

}  // namespace weir::netstack
