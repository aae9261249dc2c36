#include "netstack/ip/ip_fragment.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"

namespace weir::netstack {
namespace {

// What is sent, read from its beginning to its end.
class Reader {
 public:
  Reader(std::span<const std::byte> header, std::span<const iovec> data) : piece_(header), data_(data) {}

  // Appends the next `n` bytes, which are there, to `frame`.
  void Read(runtime::Frame& frame, size_t n) {
    while (n > 0) {
      const std::span<const std::byte> bytes = Next(n);
      std::memcpy(frame.data + frame.len, bytes.data(), bytes.size());
      frame.len += static_cast<uint32_t>(bytes.size());
      n -= bytes.size();
    }
  }
  void Skip(size_t n) {
    while (n > 0) n -= Next(n).size();
  }

 private:
  // At most `n` bytes, but some.
  std::span<const std::byte> Next(size_t n) {
    while (piece_.empty()) {
      piece_ = {static_cast<const std::byte*>(data_.front().iov_base), data_.front().iov_len};
      data_ = data_.subspan(1);
    }
    const std::span<const std::byte> bytes = piece_.first(std::min(n, piece_.size()));
    piece_ = piece_.subspan(bytes.size());
    return bytes;
  }

  std::span<const std::byte> piece_;
  std::span<const iovec> data_;
};

size_t LengthOf(std::span<const std::byte> header, std::span<const iovec> data) {
  size_t length = header.size();
  for (const iovec& piece : data) length += piece.iov_len;
  return length;
}

// How much goes into each fragment but the last, after `headers` bytes of headers.
uint32_t Chunk(const IpContext& context, uint32_t mtu, uint32_t headers) {
  return std::min(mtu - headers, context.pool.frame_size() - runtime::kTxHeadroom) & ~7u;
}

// How many frames a packet of `length` bytes takes, of which the first has room for headers.
size_t FramesFor(const runtime::FramePool& pool, size_t length) {
  const size_t first = pool.frame_size() - runtime::kTxHeadroom;
  return length <= first ? 1 : 1 + (length - first + pool.frame_size() - 1) / pool.frame_size();
}

// Sends the `length` bytes that `reader` has as one packet. The pool's last eighth is not for packets of several frames,
// which are larger than anybody's link has to be.
DropReason SendWhole(IpContext& context, Reader reader, size_t length, const IpFlow& flow, Nanos now_ns) {
  runtime::FramePool& pool = context.pool;
  const size_t count = FramesFor(pool, length);
  if (count > 1 && pool.free_count() < count + pool.size() / 8) return DropReason::kTxNoFrame;
  std::array<runtime::Frame*, kMaxPacketFrames> frames;
  frames[0] = pool.Alloc();
  if (frames[0] == nullptr) return DropReason::kTxNoFrame;
  context.copied_bytes += length;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) frames[i] = pool.Alloc(/*headroom=*/0);
    const size_t n = std::min<size_t>(length, frames[i]->tailroom());
    reader.Read(*frames[i], n);
    length -= n;
  }
  return IpOutput(context, frames[0], flow, now_ns, {frames.data() + 1, count - 1});
}

// A datagram of which a fragment is missing is useless work for everybody: all of them find room, or none is sent. The
// pool's last eighth is not for senders (ARCHITECTURE.md).
DropReason CheckRoom(const Interface& out, size_t length, uint32_t chunk) {
  const size_t fragments = (length + chunk - 1) / chunk;
  const runtime::FramePool& pool = out.context.pool;
  if (pool.free_count() < fragments + pool.size() / 8) return DropReason::kTxNoFrame;
  if (out.device.tx_size() + fragments > NetDevice::kTxQueue) return DropReason::kTxQueueFull;
  return DropReason::kConsumed;
}

// RFC 791 §3.1: options without the copied flag are in the first fragment only; here others take their place, as Linux
// does (ip_options_fragment). The options are well-formed.
void BlankUncopiedOptions(std::span<std::byte> options) {
  constexpr std::byte kEnd{0}, kNop{1}, kCopied{0x80};
  for (size_t at = 0; at < options.size() && options[at] != kEnd;) {
    if (options[at] == kNop) {
      ++at;
      continue;
    }
    const auto length = std::to_integer<size_t>(options[at + 1]);
    if ((options[at] & kCopied) == std::byte{0}) std::memset(&options[at], std::to_integer<int>(kNop), length);
    at += length;
  }
}

// What is cut, and what its fragments have in common.
struct Packet {
  std::span<const std::byte> header;  // of IPv6 with the Fragment header
  uint16_t field = 0;                 // IPv4: offset and More flag that the packet itself has
  size_t length = 0;                  // behind the header
};

// Says in the header that `frame` begins with which part of `packet` it is.
void SetFragment(runtime::Frame& frame, const Packet& packet, size_t offset) {
  std::byte* at = frame.data;
  const size_t size = packet.header.size();
  const bool more = offset + frame.len - size < packet.length;
  if (runtime::LoadU8(at) >> 4 == 6) {
    runtime::StoreBe16(at + 4, static_cast<uint16_t>(frame.len - Ipv6Header::kSize));
    runtime::StoreBe16(at + Ipv6Header::kSize + 2, static_cast<uint16_t>(offset | (more ? 1 : 0)));
    return;
  }
  const uint16_t flag = more ? Ipv4Header::kMoreFragments : uint16_t{0};
  runtime::StoreBe16(at + 2, static_cast<uint16_t>(frame.len));
  runtime::StoreBe16(at + 6, static_cast<uint16_t>((packet.field + offset / 8) | flag));
  if (offset > 0) BlankUncopiedOptions({at + Ipv4Header::kMinSize, size - Ipv4Header::kMinSize});
  UpdateIpv4Checksum({at, size});
}

// Sends what `reader` is at, from byte `from` of the packet on, for which there is room.
DropReason SendFragments(const NextHop& hop, const Packet& packet, Reader reader, size_t from, uint32_t chunk,
                         Nanos now_ns) {
  for (size_t offset = from; offset < packet.length; offset += chunk) {
    runtime::Frame* frame = hop.out->context.pool.Alloc();
    reader.Read(*frame, std::min<size_t>(chunk, packet.length - offset));
    std::memcpy(frame->Push(static_cast<uint32_t>(packet.header.size())), packet.header.data(), packet.header.size());
    SetFragment(*frame, packet, offset);
    const DropReason reason = IpFinishOutput2(*hop.out, frame, hop.ip, now_ns);
    if (reason != DropReason::kConsumed) return reason;  // the others are of no use any more
  }
  return DropReason::kConsumed;
}

// The header of a packet that will be cut, as of a fragment at its beginning.
void PushHeader(runtime::Frame& frame, const IpFlow& flow, Interface& out) {
  const uint32_t id = out.context.fragment_ids.Next(flow.source, flow.destination, flow.protocol);
  if (flow.destination.is_v4()) {
    PushIpv4(frame, flow, out, static_cast<uint16_t>(id), Ipv4Header::kMoreFragments);
    return;
  }
  const Ipv6FragmentHeader fragment{.next_header = flow.protocol, .offset = 0, .more = true, .id = id};
  fragment.Emit(frame.Push(Ipv6FragmentHeader::kSize));
  IpFlow fragment_flow = flow;
  fragment_flow.protocol = kNextHeaderFragment;
  PushIpv6(frame, fragment_flow, out);
}

}  // namespace

DropReason IpFragmentOutput(IpContext& context, std::span<const std::byte> header, std::span<const iovec> data,
                            const IpFlow& flow, Nanos now_ns) {
  NextHop hop = RouteLookup(context, flow.destination, flow.out);
  if (hop.out == nullptr) return DropReason::kNoRoute;
  const bool v4 = flow.destination.is_v4();
  const size_t length = LengthOf(header, data);
  if (length > 65535 - (v4 ? Ipv4Header::kMinSize : 0)) return DropReason::kTxTooBig;
  const uint32_t mtu = PathMtu(context, flow.destination, flow.out);
  Reader reader(header, data);
  if (length + (v4 ? Ipv4Header::kMinSize : Ipv6Header::kSize) <= mtu &&
      FramesFor(context.pool, length) <= kMaxPacketFrames) {
    return SendWhole(context, reader, length, flow, now_ns);
  }
  constexpr uint32_t kHeader6 = Ipv6Header::kSize + Ipv6FragmentHeader::kSize;
  const uint32_t header_size = v4 ? uint32_t{Ipv4Header::kMinSize} : kHeader6;
  uint32_t chunk = Chunk(context, mtu, header_size);
  DropReason reason = CheckRoom(*hop.out, length, chunk);
  if (reason != DropReason::kConsumed) return reason;
  runtime::Frame* first = context.pool.Alloc();
  Reader(reader).Read(*first, chunk);
  PushHeader(*first, flow, *hop.out);
  reason = LocalOutHooks(context, *first, flow, &hop, now_ns);
  if (reason == DropReason::kConsumed && DestinationOf(*first) != flow.destination) {
    chunk = std::min(chunk, Chunk(context, PathMtu(context, DestinationOf(*first), flow.out), header_size));
    reason = CheckRoom(*hop.out, length, chunk);
  }
  if (reason == DropReason::kConsumed) reason = PostRoutingHooks(*hop.out, *first, now_ns);
  if (reason != DropReason::kConsumed) {
    runtime::Unref(first);
    return reason;
  }
  std::array<std::byte, kHeader6> copy;
  std::memcpy(copy.data(), first->data, header_size);
  const Packet packet{.header = {copy.data(), header_size}, .length = length};
  first->Trim(header_size + chunk);  // to another destination the path may be narrower
  SetFragment(*first, packet, 0);
  context.copied_bytes += length;
  reason = IpFinishOutput2(*hop.out, first, hop.ip, now_ns);
  if (reason != DropReason::kConsumed) return reason;
  reader.Skip(chunk);
  return SendFragments(hop, packet, reader, chunk, chunk, now_ns);
}

DropReason IpFragmentForward(Interface& out, runtime::Frame& packet, uint32_t header_size, const IpAddress& next_hop,
                             Nanos now_ns, std::span<runtime::Frame* const> more) {
  DropReason reason = PostRoutingHooks(out, packet, now_ns);
  if (reason != DropReason::kConsumed) return reason;
  const std::span<const std::byte> header = packet.bytes().first(header_size);
  const PacketPieces data(packet, more, header_size);
  const size_t length = LengthOf({}, data);
  const uint32_t chunk = Chunk(out.context, out.mtu(/*v4=*/true), header_size);
  reason = CheckRoom(out, length, chunk);
  if (reason != DropReason::kConsumed) return reason;
  out.context.copied_bytes += length;
  const uint16_t field = runtime::LoadBe16(header.data() + 6);
  return SendFragments({&out, next_hop}, {.header = header, .field = field, .length = length},
                       Reader({}, data), /*from=*/0, chunk, now_ns);
}

}  // namespace weir::netstack
