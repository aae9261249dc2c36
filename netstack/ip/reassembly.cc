#include "netstack/ip/reassembly.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "netstack/ip/icmp_output.h"
#include "netstack/ip/ip_context.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/ipv6_extensions.h"

namespace weir::netstack {
namespace {

using runtime::Frame;

constexpr uint32_t kMaxPacket = 65535;  // what the length field of either header can say
// The longest transport header: TCP's with all options. It is looked at as one piece.
constexpr uint32_t kTransportHeader = 64;
constexpr uint8_t kEcnMask = 3, kNotEct = 0, kCe = 3;  // RFC 3168 §5

// What is kept with each piece; its bytes are frame->data and len.
struct PieceCb {
  uint32_t offset;
};

uint32_t Begin(Frame* piece) { return piece->Cb<PieceCb>().offset; }
uint32_t End(Frame* piece) { return Begin(piece) + piece->len; }

// Whether all of `frame` is in the pieces from `at` on already, with the same bytes. RFC 8200 §4.5: the network doubles
// fragments, and that is no overlap. As Linux (IPFRAG_DUP) without regard to how it was cut, but the bytes must agree.
bool IsDuplicate(Frame* at, const Frame& frame, uint32_t offset) {
  uint32_t done = 0;
  for (; done < frame.len && at != nullptr; at = at->next) {
    if (Begin(at) > offset + done || End(at) <= offset + done) return false;
    const uint32_t skip = offset + done - Begin(at);
    const uint32_t n = std::min(at->len - skip, frame.len - done);
    if (std::memcmp(at->data + skip, frame.data + done, n) != 0) return false;
    done += n;
  }
  return done == frame.len;
}

// For an ICMP error: an IPv6 packet goes to its upper layer, so that it is seen whether it is an ICMP error itself.
void SkipExtensions(IpPacket& packet) {
  if (packet.is_v4()) return;
  const size_t skipped = packet.header.size() - Ipv6Header::kSize;
  const Ipv6ExtensionResult found = WalkIpv6Extensions(packet.frame.bytes(), packet.protocol, skipped);
  packet.protocol = found.protocol;
  packet.frame.Pull(found.offset);
  packet.header = {packet.header.data(), packet.header.size() + found.offset};
}

}  // namespace

Reassembly::Reassembly(IpContext& context) : context_(context), datagrams_(kMaxDatagrams) {
  for (Datagram& datagram : datagrams_) {
    datagram.owner = this;
    free_.PushBack(datagram);
  }
}

Reassembly::~Reassembly() {
  while (!by_age_.empty()) Remove(by_age_.front());
  while (free_.PopFront() != nullptr) {
  }
}

// RFC 8200 §4.5, RFC 792: the source is told, when there is a first fragment to tell it by.
void Reassembly::OnTimer(runtime::Timer& timer, Nanos now_ns) {
  auto& datagram = static_cast<Datagram&>(timer);
  Reassembly& self = *datagram.owner;
  if (!datagram.refused) self.context_.outcomes.Count(DropReason::kIpReassemblyTimeout);
  if (datagram.first.has_value()) {
    SkipExtensions(*datagram.first);
    IcmpSend(self.context_, *datagram.first, IcmpError::kReassemblyTime, 0, now_ns);
  }
  self.Remove(datagram);
}

size_t Reassembly::Bucket(const Key& key) const {
  const auto a = key.source.words(), b = key.destination.words();
  const uint64_t words[] = {a[0], a[1], b[0], b[1], key.id, uint64_t{key.scope} << 8 | key.protocol};
  return runtime::SipHash(context_.secret, words) % kMaxDatagrams;
}

Reassembly::Datagram* Reassembly::Find(const Key& key) const {
  Datagram* at = buckets_[Bucket(key)];
  while (at != nullptr && at->key != key) at = at->hash_next;
  return at;
}

Reassembly::Datagram& Reassembly::Create(const Key& key, Nanos now_ns) {
  if (free_.empty()) Evict(by_age_.front());
  Datagram& datagram = *free_.PopFront();
  datagram.key = key;
  datagram.bytes = datagram.length = 0;
  datagram.ecn_seen = 0;
  datagram.refused = false;
  datagram.hash_next = std::exchange(buckets_[Bucket(key)], &datagram);
  by_age_.PushBack(datagram);
  ++datagrams_in_use_;
  context_.timers.Arm(datagram, now_ns + (key.source.is_v4() ? kTimeout4 : kTimeout6));
  return datagram;
}

void Reassembly::DropPieces(Datagram& datagram) {
  frames_held_ -= datagram.pieces.count();
  datagram.pieces.Clear();
  datagram.first.reset();
}

void Reassembly::Remove(Datagram& datagram) {
  DropPieces(datagram);
  context_.timers.Cancel(datagram);
  Datagram** link = &buckets_[Bucket(datagram.key)];
  while (*link != &datagram) link = &(*link)->hash_next;
  *link = datagram.hash_next;
  static_cast<runtime::ListNode<AgeTag>&>(datagram).Unlink();
  free_.PushBack(datagram);
  --datagrams_in_use_;
}

void Reassembly::Evict(Datagram& datagram) {
  if (!datagram.refused) context_.outcomes.Count(DropReason::kIpReassemblyFull);
  Remove(datagram);
}

// RFC 5722 §4: silently, and with all that is still to come of it.
void Reassembly::Refuse(Datagram& datagram) {
  DropPieces(datagram);
  datagram.refused = true;
}

// One more frame may be kept: an eighth of the pool in all, and none of the eighth that senders leave alone either
// (ARCHITECTURE.md): half a datagram is worth less than an answer. False when `wanting` itself had to go.
bool Reassembly::MakeRoom(const Datagram& wanting) {
  const uint32_t eighth = context_.pool.size() / 8;
  while (frames_held_ >= eighth || context_.pool.free_count() <= eighth) {
    Datagram& oldest = by_age_.front();
    Evict(oldest);
    if (&oldest == &wanting) return false;
  }
  return true;
}

// Copies the fragment behind the bytes of `piece`, when it follows them and there is room. So small fragments share
// frames: a datagram may be cut into many more than kMaxFrames.
bool Reassembly::Append(Frame* piece, const Frame& frame, uint32_t offset) {
  if (piece == nullptr || End(piece) != offset || piece->tailroom() < frame.len) return false;
  std::memcpy(piece->data + piece->len, frame.data, frame.len);
  piece->len += frame.len;
  context_.copied_bytes += frame.len;
  return true;
}

// Keeps the bytes of `frame`, which overlap nothing, behind `previous`.
DropReason Reassembly::Place(Datagram& datagram, Frame* previous, Frame& frame, uint32_t offset) {
  Frame* piece = previous;
  if (!Append(previous, frame, offset)) {
    if (datagram.pieces.count() == ReassembledPacket::kMaxFrames) {
      Refuse(datagram);
      return DropReason::kIpReassemblyFull;
    }
    if (!MakeRoom(datagram)) return DropReason::kIpReassemblyFull;
    runtime::Ref(&frame);
    frame.Cb<PieceCb>().offset = offset;
    datagram.pieces.InsertAfter(previous, &frame);
    ++frames_held_;
    piece = &frame;
  }
  if (piece->next != nullptr && Append(piece, *piece->next, Begin(piece->next))) {
    runtime::Unref(datagram.pieces.RemoveAfter(piece));
    --frames_held_;
  }
  // Room for another: fragments of which one fills more than half of a frame do not share frames by themselves.
  if (datagram.pieces.count() == ReassembledPacket::kMaxFrames) {
    for (Frame* at = datagram.pieces.head(); at != nullptr; at = at->next) Fill(datagram, at, kMaxPacket);
  }
  return DropReason::kConsumed;
}

DropReason Reassembly::Insert(Datagram& datagram, const IpPacket& packet, const IpFragment& fragment) {
  Frame& frame = packet.frame;
  const uint32_t end = fragment.offset + frame.len;
  Frame* tail = datagram.pieces.tail();
  // The end is said once, and nothing is behind it.
  const bool beyond = datagram.length != 0 && (fragment.more ? end > datagram.length : end != datagram.length);
  if (beyond || (!fragment.more && tail != nullptr && End(tail) > end)) return DropReason::kIpFragmentOverlap;
  Frame* previous = nullptr;
  if (tail != nullptr && Begin(tail) <= fragment.offset) {
    previous = tail;  // the usual case: in order
  } else {
    for (Frame* at = datagram.pieces.head(); at != nullptr && Begin(at) <= fragment.offset; at = at->next) {
      previous = at;
    }
  }
  Frame* next = previous == nullptr ? datagram.pieces.head() : previous->next;
  if ((previous != nullptr && End(previous) > fragment.offset) || (next != nullptr && Begin(next) < end)) {
    const bool duplicate = previous != nullptr && IsDuplicate(previous, frame, fragment.offset);
    return duplicate ? DropReason::kIpFragmentDuplicate : DropReason::kIpFragmentOverlap;
  }
  const uint32_t length = frame.len;  // `frame` may grow by what follows it
  const DropReason reason = Place(datagram, previous, frame, fragment.offset);
  if (reason != DropReason::kConsumed) return reason;
  datagram.bytes += length;
  datagram.ecn_seen |= static_cast<uint8_t>(1 << (packet.tos & kEcnMask));
  if (!fragment.more) datagram.length = end;
  if (fragment.offset == 0) datagram.first.emplace(packet);
  return DropReason::kConsumed;
}

DropReason Reassembly::Add(const IpPacket& packet, const IpFragment& fragment, ReassembledPacket& whole, Nanos now_ns) {
  if (packet.more.empty()) [[likely]] return AddOne(packet, fragment, whole, now_ns);
  IpFragment part{.id = fragment.id, .offset = fragment.offset, .more = true};
  DropReason reason = DropReason::kConsumed;
  for (size_t i = 0; i <= packet.more.size() && !whole.packet.has_value(); ++i) {
    Frame& frame = i == 0 ? packet.frame : *packet.more[i - 1];
    const uint32_t length = frame.len;  // it may grow by what follows it
    if (i == packet.more.size()) part.more = fragment.more;
    if (length == 0 && part.more) continue;
    reason = AddOne(packet.With(frame, {}), part, whole, now_ns);
    if (reason != DropReason::kConsumed && reason != DropReason::kIpFragmentDuplicate) return reason;
    part.offset += length;
  }
  return reason;
}

DropReason Reassembly::AddOne(const IpPacket& packet, const IpFragment& fragment, ReassembledPacket& whole,
                              Nanos now_ns) {
  Frame& frame = packet.frame;
  const Key key{.source = packet.source,
                .destination = packet.destination,
                .id = fragment.id,
                .scope = ScopeOf(packet.source, packet.in),
                .protocol = packet.is_v4() ? packet.protocol : uint8_t{0}};
  Datagram* known = Find(key);
  if (known != nullptr && known->refused) return DropReason::kIpFragmentOverlap;
  // RFC 791 §3.2: all but the last are multiples of eight bytes. Of IPv4 the rest is cut off, as Linux does
  // (ip_frag_queue); of IPv6 no others come here (RFC 8200 §4.5).
  if (fragment.more) frame.Trim(frame.len & ~7u);
  // The Fragment header and the fixed one do not count in the length of an IPv6 packet; a longer one is the ping of
  // death. Nothing good can come of the datagram then (ip_frag_queue; for the length ip_frag_reasm, when all is there).
  const size_t uncounted = packet.is_v4() ? 0 : Ipv6Header::kSize + Ipv6FragmentHeader::kSize;
  const size_t unfragmented = packet.header.size() - uncounted;
  if (frame.len == 0 || unfragmented + fragment.offset + frame.len > kMaxPacket) {
    if (known != nullptr) Remove(*known);
    return DropReason::kIpFragmentMalformed;
  }
  Datagram& datagram = known != nullptr ? *known : Create(key, now_ns);
  const DropReason reason = Insert(datagram, packet, fragment);
  if (reason == DropReason::kIpFragmentOverlap) Refuse(datagram);
  if (reason != DropReason::kConsumed || datagram.bytes != datagram.length) return reason;
  return Finish(datagram, whole);
}

// Moves bytes of what follows `piece` without a hole into it, until it has `wanted` bytes or is full. Whole eights are
// moved, so that pieces go on beginning at even offsets.
void Reassembly::Fill(Datagram& datagram, Frame* piece, uint32_t wanted) {
  while (piece->len < wanted && piece->next != nullptr && Begin(piece->next) == End(piece)) {
    Frame* next = piece->next;
    const uint32_t n = std::min({wanted - piece->len, next->len, piece->tailroom() & ~7u});
    if (n == 0) return;
    std::memcpy(piece->data + piece->len, next->data, n);
    piece->len += n;
    context_.copied_bytes += next->len;
    next->len -= n;
    std::memmove(next->data, next->data + n, next->len);  // so that it has room for more, in its turn
    next->Cb<PieceCb>().offset += n;
    if (next->len > 0) return;
    runtime::Unref(datagram.pieces.RemoveAfter(piece));
    --frames_held_;
  }
}

DropReason Reassembly::Finish(Datagram& datagram, ReassembledPacket& whole) {
  // RFC 3168 §5.3: congestion met by one fragment was met by all; but not when one says that it does not know of ECN.
  // Differs from Linux (ip_frag_ecn_table), which drops all mixtures of fragments that know of it and that do not: where
  // there was no congestion nothing is lost by taking them.
  const bool congested = (datagram.ecn_seen >> kCe & 1) != 0;
  if (congested && (datagram.ecn_seen >> kNotEct & 1) != 0) {
    Remove(datagram);
    return DropReason::kIpFragmentOverlap;
  }
  Fill(datagram, datagram.pieces.head(), kTransportHeader);
  whole.packet.emplace(*datagram.first);
  if (congested) whole.packet->tos |= kCe;
  whole.packet->reassembled = true;
  frames_held_ -= datagram.pieces.count();
  while (!datagram.pieces.empty()) whole.frames[whole.count++] = datagram.pieces.PopFront();
  whole.packet->more = {whole.frames.data() + 1, whole.count - 1};
  Remove(datagram);
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
