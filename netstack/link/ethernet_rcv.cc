#include "netstack/link/ethernet_rcv.h"

#include <array>
#include <utility>

#include "netstack/ip/arp.h"
#include "netstack/ip/ip_input.h"
#include "netstack/tcp/tcp_early_demux.h"
#include "netstack/wire/ethernet.h"

namespace weir::netstack {

namespace {

[[gnu::noinline]] DropReason EthernetRcvAny(Inet& inet, Interface& in, runtime::Frame& frame,
                                            std::span<runtime::Frame* const> more, Nanos now_ns) {
  EthernetHeader header;
  if (!header.Parse(frame.bytes())) [[unlikely]] return DropReason::kEthernetTruncated;
  if (header.vlan != in.device.vlan()) [[unlikely]] return DropReason::kEthernetVlan;
  if (header.destination != in.device.mac() && !header.destination.is_multicast()) [[unlikely]] {
    return DropReason::kEthernetOtherHost;
  }
  frame.Pull(static_cast<uint32_t>(header.size));
  switch (header.ether_type) {
    case kEtherTypeIpv4:
      return IpRcv(inet, in, frame, more, now_ns, header.destination.is_multicast());
    case kEtherTypeArp:
      return ArpRcv(in, frame, now_ns);
    case kEtherTypeIpv6:
      return Ip6Rcv(inet, in, frame, more, now_ns, header.destination.is_multicast());
    default:
      return DropReason::kEthernetType;
  }
}

// A burst's frames go all the way to their sockets without a call, as far as they are as nearly all are.
[[gnu::always_inline]] inline DropReason EthernetRcvInline(Inet& inet, Interface& in, runtime::Frame& frame,
                                                           Nanos now_ns) {
  if (frame.len >= kEthernetHeader + Ipv4Header::kMinSize + UdpHeader::kSize && in.device.vlan().count == 0 &&
      IsUntaggedFor(frame.data, in.device.mac_number(), kEtherTypeIpv4)) [[likely]] {
    if (const auto outcome = IpRcvPlain(inet, in, frame, kEthernetHeader, now_ns); outcome.has_value()) return *outcome;
  }
  return EthernetRcvAny(inet, in, frame, {}, now_ns);
}

}  // namespace

DropReason EthernetRcv(Inet& inet, Interface& in, runtime::Frame& frame, Nanos now_ns) {
  return EthernetRcvInline(inet, in, frame, now_ns);
}

DropReason ReceiveFrames(Inet& inet, Interface& in, runtime::Frame& first, Nanos now_ns) {
  std::array<runtime::Frame*, kMaxPacketFrames> frames;
  size_t count = 0;
  bool fits = true;
  for (runtime::Frame* frame = &first; frame != nullptr;) {
    runtime::Frame* next = std::exchange(frame->next, nullptr);
    fits = count < kMaxPacketFrames;
    if (fits) {
      frames[count++] = frame;
    } else {
      runtime::Unref(frame);
    }
    frame = next;
  }
  const DropReason reason =
      fits ? EthernetRcvAny(inet, in, first, {frames.data() + 1, count - 1}, now_ns) : DropReason::kEthernetTooLong;
  for (size_t i = 0; i < count; ++i) runtime::Unref(frames[i]);
  return reason;
}

namespace {

template <bool kPassing>
void ReceiveEach(Inet& inet, Interface& in, std::span<runtime::Frame* const> burst, PeerShards* passing, Nanos now_ns) {
  if (inet.tcp.sockets >= kTcpEarlyDemuxFrom) TcpEarlyDemux(inet.tcp, burst, EthernetHeaderSize(in.device.vlan()));
  runtime::Frame* const* const end = burst.data() + burst.size();
  for (runtime::Frame* const* at = burst.data(); at != end; ++at) {
    // The headers of the frame after next, while this one is worked on: they were written by another core.
    if (end - at > 2) __builtin_prefetch(at[2]->data);
    runtime::Frame* frame = *at;
    if (frame->next != nullptr) [[unlikely]] {
      inet.ip.outcomes.Count(ReceiveFrames(inet, in, *frame, now_ns));
      continue;
    }
    if constexpr (kPassing) passing->Begin(*frame);
    inet.ip.outcomes.Count(EthernetRcvInline(inet, in, *frame, now_ns));
    if constexpr (kPassing) passing->End();
    runtime::Unref(frame);
  }
}

}  // namespace

void ReceiveBurst(Inet& inet, Interface& in, std::span<runtime::Frame* const> burst, Nanos now_ns) {
  if (inet.ip.peers != nullptr) [[unlikely]] return inet.ip.peers->Spread(in, burst, now_ns);
  ReceiveEach<false>(inet, in, burst, nullptr, now_ns);
}

void ReceiveHere(Inet& inet, Interface& in, std::span<runtime::Frame* const> burst, PeerShards* passing, Nanos now_ns) {
  if (passing == nullptr) return ReceiveEach<false>(inet, in, burst, nullptr, now_ns);
  ReceiveEach<true>(inet, in, burst, passing, now_ns);
}

}  // namespace weir::netstack
