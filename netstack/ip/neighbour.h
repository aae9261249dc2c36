// The neighbour cache: link-layer addresses of the hosts on our link, with the reachability states of RFC 4861 §7.3.2,
// which Linux uses for ARP too (net/core/neighbour.c). Bounded in entries and in packets that wait for an answer.
//
//   none -> INCOMPLETE: ask, up to three times, one second apart; packets wait
//   answer -> REACHABLE for 30 s -> on use STALE -> DELAY (5 s) -> PROBE: ask by unicast, three times -> gone
//
// An entry is made only when we have something to send, or when a host asks for our address (it will be answered).
#ifndef NETSTACK_IP_NEIGHBOUR_H_
#define NETSTACK_IP_NEIGHBOUR_H_

#include <array>
#include <cstdint>
#include <vector>

#include "netstack/drop_reason.h"
#include "netstack/ip/path_mtu.h"
#include "netstack/ip/tx_frame.h"
#include "netstack/wire/ethernet.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/buffer/frame.h"

namespace weir::netstack {

class Interface;

enum class NeighbourState : uint8_t { kFree, kIncomplete, kReachable, kStale, kDelay, kProbe };

struct NeighbourUse;  // list tag: least recently used first

struct Neighbour : runtime::Timer, runtime::ListNode<NeighbourUse> {
  // The fragments of any one datagram: one that loses some while its neighbour is asked for never arrives, however often
  // it is sent. Linux keeps 101 packets of the usual size (unres_qlen_bytes).
  static constexpr size_t kMaxPending = PathMtuCache::kMaxFragments;

  Neighbour() : Timer(&OnTimer) {}

  static void OnTimer(runtime::Timer& timer, Nanos now_ns);

  Interface* interface = nullptr;
  Neighbour* hash_next = nullptr;
  IpAddress ip;
  MacAddress mac;
  bool proven = false;     // it has answered us; an unproven entry goes first when the table is full
  bool contested = false;  // another claimed its address; only the known one is believed
  bool is_router = false;  // RFC 4861 §5.1: it said so
  bool used = false;       // by a socket that keeps it (IpDst), since the table looked for an entry to give up
  NeighbourState state = NeighbourState::kFree;
  uint8_t probes = 0;
  uint8_t pending_count = 0;
  Nanos confirmed_ns = 0;
  std::array<TxFrame, kMaxPending> pending{};  // packets at their IP header; one reference each
};

class NeighbourTable {
 public:
  static constexpr Nanos kReachableTime = 30 * kSecond;  // RFC 4861 §10, as are the following
  static constexpr Nanos kDelayFirstProbe = 5 * kSecond;
  static constexpr Nanos kRetransTimer = 1 * kSecond;
  static constexpr uint8_t kMaxProbes = 3;
  // As gc_thresh3 of Linux: a /22 full of hosts.
  static constexpr size_t kEntries = 1024;

  NeighbourTable();

  // The entry for `ip`, or nullptr.
  Neighbour* Find(const IpAddress& ip);
  // The same, made when it is not there: in the place of the least recently used entry when the table is full, of those
  // that never answered us as long as there are such. So a flood of claims or of scans drives out no neighbour in use.
  Neighbour& FindOrCreate(Interface& interface, const IpAddress& ip);
  void Remove(Interface& interface, Neighbour& neighbour);
  // Drops every entry and the packets that wait; before the table is destroyed.
  void Clear(Interface& interface);
  // `neighbour` has answered us.
  void Prove(Neighbour& neighbour);
  // The entries, used and free ones, for what looks at all of them.
  std::vector<Neighbour>& entries() { return entries_; }

 private:
  size_t Bucket(const IpAddress& ip) const;
  Neighbour& LeastRecentlyUsed();

  std::vector<Neighbour> entries_;
  std::vector<Neighbour*> buckets_;
  runtime::List<Neighbour, NeighbourUse> unproven_;
  runtime::List<Neighbour, NeighbourUse> proven_;
  runtime::List<Neighbour, NeighbourUse> free_;
};

// Sends `frame`, which begins at its IP header, and `more`, in which the packet goes on (fewer than kMaxPacketFrames), to
// the neighbour `next_hop` on the interface's link: at once, or when its address is known (neigh_resolve_output). Takes
// over one reference on each.
DropReason NeighbourOutput(Interface& out, runtime::Frame* frame, const IpAddress& next_hop, Nanos now_ns,
                           std::span<runtime::Frame* const> more = {});

// The same for an entry that is not INCOMPLETE.
DropReason NeighbourSend(Interface& out, Neighbour& neighbour, runtime::Frame* frame, Nanos now_ns,
                         std::span<runtime::Frame* const> more = {});

// `mac` was learnt for the entry; `confirmed` when it answers our own question. Sends what waited (neigh_update).
void NeighbourUpdate(Interface& interface, Neighbour& neighbour, const MacAddress& mac, bool confirmed, Nanos now_ns);

// A higher layer has seen that what is sent to the neighbour arrives (RFC 4861 §7.3.1): it is REACHABLE, and is not asked
// (neigh_confirm).
void NeighbourConfirm(Neighbour& neighbour, Nanos now_ns);

// Somebody claims the entry's address for another MAC, unasked. The one we know is asked whether it is still there, and
// until it has answered nobody else is believed; when it does not answer the entry goes, and the link is asked anew. An
// entry that is being asked about is left alone, so that claims cannot make us ask more often than the timer does.
void NeighbourContest(Neighbour& neighbour, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_NEIGHBOUR_H_
