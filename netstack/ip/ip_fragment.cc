#include "netstack/ip/ip_fragment.h"

#include <algorithm>
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
      if (piece_.empty()) {
        piece_ = {static_cast<const std::byte*>(data_.front().iov_base), data_.front().iov_len};
        data_ = data_.subspan(1);
        continue;
      }
      const size_t now = std::min(n, piece_.size());
      std::memcpy(frame.data + frame.len, piece_.data(), now);
      frame.len += static_cast<uint32_t>(now);
      piece_ = piece_.subspan(now);
      n -= now;
    }
  }

 private:
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

// A datagram of which a fragment is missing is useless work for everybody: all of them find room, or none is sent. The
// pool's last eighth is not for senders (ARCHITECTURE.md).
DropReason CheckRoom(const Interface& out, size_t fragments) {
  const runtime::FramePool& pool = out.context.pool;
  if (pool.free_count() < fragments + pool.size() / 8) return DropReason::kTxNoFrame;
  if (out.device.tx_size() + fragments > NetDevice::kTxQueue) return DropReason::kTxQueueFull;
  return DropReason::kConsumed;
}

// Cuts `length` bytes into chunks. `send` puts the header in front of a frame with its bytes, offset and whether more
// follow, and sends it.
template <typename Send>
DropReason SendFragments(Interface& out, Reader reader, size_t length, uint32_t chunk, Send&& send) {
  const DropReason room = CheckRoom(out, (length + chunk - 1) / chunk);
  if (room != DropReason::kConsumed) return room;
  for (size_t offset = 0; offset < length; offset += chunk) {
    runtime::Frame* frame = out.context.pool.Alloc();
    const size_t n = std::min<size_t>(chunk, length - offset);
    reader.Read(*frame, n);
    const DropReason reason = send(frame, static_cast<uint32_t>(offset), offset + n < length);
    if (reason != DropReason::kConsumed) return reason;  // the others are of no use any more
  }
  out.context.copied_bytes += length;
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

}  // namespace

DropReason IpFragmentOutput(IpContext& context, std::span<const std::byte> header, std::span<const iovec> data,
                            const IpFlow& flow, Nanos now_ns) {
  const NextHop hop = RouteLookup(context, flow.destination, flow.out);
  if (hop.out == nullptr) return DropReason::kNoRoute;
  Interface& out = *hop.out;
  const bool v4 = flow.destination.is_v4();
  const size_t length = LengthOf(header, data);
  if (length > 65535 - (v4 ? Ipv4Header::kMinSize : 0)) return DropReason::kTxTooBig;
  const uint32_t mtu = PathMtu(context, flow.destination, flow.out);
  if (length + (v4 ? Ipv4Header::kMinSize : Ipv6Header::kSize) <= mtu) {
    runtime::Frame* frame = context.pool.Alloc();
    if (frame == nullptr) return DropReason::kTxNoFrame;
    Reader(header, data).Read(*frame, length);
    context.copied_bytes += length;
    return IpOutput(context, frame, flow, now_ns);
  }
  const uint32_t id = context.fragment_ids.Next(flow.source, flow.destination, flow.protocol);
  IpFlow fragment_flow = flow;
  if (!v4) fragment_flow.protocol = kNextHeaderFragment;
  const uint32_t chunk =
      Chunk(context, mtu, v4 ? Ipv4Header::kMinSize : Ipv6Header::kSize + Ipv6FragmentHeader::kSize);
  return SendFragments(out, {header, data}, length, chunk, [&](runtime::Frame* frame, uint32_t offset, bool more) {
    if (v4) {
      const uint16_t flag = more ? Ipv4Header::kMoreFragments : uint16_t{0};
      PushIpv4(*frame, flow, out, static_cast<uint16_t>(id), static_cast<uint16_t>(flag | offset / 8));
    } else {
      const Ipv6FragmentHeader fragment{
          .next_header = flow.protocol, .offset = static_cast<uint16_t>(offset), .more = more, .id = id};
      fragment.Emit(frame->Push(Ipv6FragmentHeader::kSize));
      PushIpv6(*frame, fragment_flow, out);
    }
    return offset == 0 ? IpLocalOut(context, frame, flow, hop, now_ns)
                       : IpFinishOutput2(out, frame, hop.ip, now_ns);
  });
}

DropReason IpFragmentForward(Interface& out, runtime::Frame& packet, uint32_t header_size, const IpAddress& next_hop,
                             Nanos now_ns) {
  if (out.context.hooks.any(Hook::kPostRouting)) [[unlikely]] {
    const DropReason verdict =
        out.context.hooks.Run(Hook::kPostRouting, {.frame = packet, .out = &out, .now_ns = now_ns});
    if (verdict != DropReason::kConsumed) return verdict;
  }
  const std::span<const std::byte> header = packet.bytes().first(header_size);
  const uint16_t was = runtime::LoadBe16(header.data() + 6);
  const iovec data{packet.data + header_size, packet.len - header_size};
  const uint32_t chunk = Chunk(out.context, out.mtu(/*v4=*/true), header_size);
  const Reader reader({}, {&data, 1});
  return SendFragments(out, reader, data.iov_len, chunk, [&](runtime::Frame* frame, uint32_t offset, bool more) {
    std::byte* at = frame->Push(header_size);
    std::memcpy(at, header.data(), header_size);
    runtime::StoreBe16(at + 2, static_cast<uint16_t>(frame->len));
    const uint16_t flag = more ? Ipv4Header::kMoreFragments : uint16_t{0};
    runtime::StoreBe16(at + 6, static_cast<uint16_t>((was + offset / 8) | flag));
    if (offset > 0) BlankUncopiedOptions({at + Ipv4Header::kMinSize, header_size - Ipv4Header::kMinSize});
    StoreChecksum(at + 10, 0);
    StoreChecksum(at + 10, FinishChecksum(SumBytes({at, header_size})));
    return IpFinishOutput2(out, frame, next_hop, now_ns);
  });
}

}  // namespace weir::netstack
