// Reassembly of datagrams that came in fragments: IPv4 (RFC 791 §3.2) and IPv6 (RFC 8200 §4.5, RFC 5722).
//
// Fragments stay in the frames they came in, sorted by their offset (RFC 815 has the idea: nothing but what is there
// and where it ends). Nothing may overlap: a fragment that contradicts another ends its datagram, with what still comes
// of it (RFC 5722 §4, here for IPv4 too). Peers send fragments and never the rest, so all of it is bounded (RFC 8900
// §3.6); the bounds are below. Linux: inet_fragment.c, ip_fragment.c, ipv6/reassembly.c.
//
// Differs from Linux: there what still comes after a contradiction begins another datagram; and one is given up when 64
// others of its source overtook it (ipfrag_max_dist), for which the table is small enough here.
#ifndef NETSTACK_IP_REASSEMBLY_H_
#define NETSTACK_IP_REASSEMBLY_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_packet.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/buffer/frame_chain.h"
#include "runtime/buffer/frame_queue.h"

namespace weir::netstack {

struct IpContext;

// What the header says of a fragment.
struct IpFragment {
  uint32_t id = 0;
  uint32_t offset = 0;  // bytes
  bool more = false;
};

// A complete datagram. `packet` is the first fragment's, with the other frames as `more`; the references on all of them
// go with this object. Lives on the stack of IpRcv.
struct ReassembledPacket {
  // What a RecvBuffer holds. A datagram of 65,535 bytes fits, however it was cut, unless it comes with more holes: each
  // frame is filled up with what follows (Fill), and holds 1024 bytes or more.
  static constexpr size_t kMaxFrames = runtime::FrameChain::kMaxSlices;

  ReassembledPacket() = default;
  ReassembledPacket(const ReassembledPacket&) = delete;
  ~ReassembledPacket() {
    for (size_t i = 0; i < count; ++i) runtime::Unref(frames[i]);
  }

  std::optional<IpPacket> packet;  // nothing: not complete
  std::array<runtime::Frame*, kMaxFrames> frames;
  size_t count = 0;
};

class Reassembly {
 public:
  // Datagrams that are incomplete at one time, refused ones included. Fragments of one mostly come in a row, so this is
  // the number of senders whose packets mix, or of datagrams that lost a fragment within the timeout.
  static constexpr size_t kMaxDatagrams = 256;
  // Differs from RFC 1122 §3.3.2, which says 60 s to 120 s, as Linux does (net.ipv4.ipfrag_time): at 1 Gbit/s the
  // 16 bits of IPv4's identification come round within 30 s for datagrams of 64 KiB (RFC 6864 §1, RFC 4963).
  static constexpr Nanos kTimeout4 = 30 * kSecond;
  static constexpr Nanos kTimeout6 = 60 * kSecond;  // RFC 8200 §4.5

  explicit Reassembly(IpContext& context);
  Reassembly(const Reassembly&) = delete;
  // Gives back what is there.
  ~Reassembly();

  // Takes in a fragment that `packet` is at the payload of; `packet.header` is all of its header, up to the payload. One
  // in several frames is taken as so many fragments.
  // Of IPv6, what RFC 8200 §4.5 wants told to the source is the caller's: lengths that are no multiples of eight, or are
  // too much in all. kConsumed: kept, or, when `whole.packet` says so, the last one that was missing
  // (inet_frag_queue_insert).
  DropReason Add(const IpPacket& packet, const IpFragment& fragment, ReassembledPacket& whole, Nanos now_ns);

  size_t datagrams() const { return datagrams_in_use_; }
  size_t frames_held() const { return frames_held_; }

 private:
  struct AgeTag;
  struct Key {
    IpAddress source;
    IpAddress destination;
    uint32_t id = 0;
    uint32_t scope = 0;    // of link-local sources: each link has its own
    uint8_t protocol = 0;  // of IPv4 only
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Datagram : runtime::Timer, runtime::ListNode<AgeTag> {
    Datagram() : Timer(&OnTimer) {}

    Reassembly* owner = nullptr;
    Datagram* hash_next = nullptr;
    Key key;
    runtime::FrameQueue pieces;  // sorted, without overlaps
    uint32_t bytes = 0;          // in `pieces`
    uint32_t length = 0;         // of the whole; 0: the last fragment is not there
    uint8_t ecn_seen = 0;        // bit n: a fragment had the ECN field n (RFC 3168 §5)
    bool refused = false;        // remembered, so that no more of it is taken
    std::optional<IpPacket> first;
  };

  static void OnTimer(runtime::Timer& timer, Nanos now_ns);
  size_t Bucket(const Key& key) const;
  Datagram* Find(const Key& key) const;
  Datagram& Create(const Key& key, Nanos now_ns);
  void Remove(Datagram& datagram);
  void Evict(Datagram& datagram);
  void Refuse(Datagram& datagram);
  void DropPieces(Datagram& datagram);
  DropReason AddOne(const IpPacket& packet, const IpFragment& fragment, ReassembledPacket& whole, Nanos now_ns);
  DropReason Insert(Datagram& datagram, const IpPacket& packet, const IpFragment& fragment);
  DropReason Place(Datagram& datagram, runtime::Frame* previous, runtime::Frame& frame, uint32_t offset);
  bool Append(runtime::Frame* piece, const runtime::Frame& frame, uint32_t offset);
  bool MakeRoom(const Datagram& wanting);
  DropReason Finish(Datagram& datagram, ReassembledPacket& whole);
  void Fill(Datagram& datagram, runtime::Frame* piece, uint32_t wanted);

  IpContext& context_;
  std::vector<Datagram> datagrams_;
  std::array<Datagram*, kMaxDatagrams> buckets_{};
  runtime::List<Datagram, AgeTag> by_age_;  // oldest first
  runtime::List<Datagram, AgeTag> free_;
  size_t datagrams_in_use_ = 0;
  size_t frames_held_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_REASSEMBLY_H_
