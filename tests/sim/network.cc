#include "tests/sim/network.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/support/packets6.h"

namespace weir::sim {

using testing_support::Get16;
using testing_support::Get32;
using testing_support::NaiveSum;
using testing_support::Put16;

namespace {

// Who answers for the narrow link in the middle.
constexpr uint32_t kRouter4 = 0x0a0000fe;
constexpr char kRouter6[] = "fd00::fe";

std::string Address6(View frame, size_t at) {
  std::string text;
  for (size_t i = 0; i < 16; i += 2) absl::StrAppend(&text, i == 0 ? "" : ":", absl::Hex(Get16(frame, at + i)));
  return text;
}

testing_support::Mac MacAt(View frame, size_t at) {
  testing_support::Mac mac;
  for (size_t i = 0; i < mac.size(); ++i) mac[i] = std::to_integer<uint8_t>(frame[at + i]);
  return mac;
}

// RFC 792 with RFC 1191 §4, RFC 4443 §3.2: about `frame`, to its sender.
Bytes TooBig(View frame, uint32_t mtu) {
  const testing_support::EthernetSpec ethernet{
      .destination = MacAt(frame, 6), .source = MacAt(frame, 0), .type = FrameType(frame)};
  const View packet = frame.subspan(kEthernet);
  if (FrameType(frame) == 0x0800) {
    Bytes icmp = testing_support::IcmpEcho(3, 0, static_cast<uint16_t>(mtu), packet.first(28));
    icmp[1] = std::byte{4};
    Put16(icmp, 2, 0);
    Put16(icmp, 2, static_cast<uint16_t>(~NaiveSum(icmp)));
    return Ethernet(ethernet,
                    testing_support::Ipv4({.protocol = 1, .source = kRouter4, .destination = Get32(packet, 12)}, icmp));
  }
  const std::string to = Address6(packet, 8);
  const Bytes icmp = testing_support::Icmp6({.type = 2, .word = mtu, .source = kRouter6, .destination = to},
                                            packet.first(std::min<size_t>(packet.size(), 1280 - 48)));
  return Ethernet(ethernet, testing_support::Ipv6({.protocol = 58, .source = kRouter6, .destination = to}, icmp));
}

}  // namespace

Network::Network(const Params& params, Note note)
    : params_(params), note_(std::move(note)), random_(params.seed ^ 0x6e6574) {}

bool Network::HasFor(int to, Nanos now_ns) const {
  return !arrivals_.empty() && arrivals_.top().to == to && arrivals_.top().at_ns <= now_ns;
}

Network::Arrival Network::Take() {
  Arrival arrival = arrivals_.top();
  arrivals_.pop();
  return arrival;
}

uint32_t Network::Mtu(Nanos at_ns) const {
  uint32_t mtu = UINT32_MAX;
  for (const MtuChange& change : params_.mtu_changes) {
    if (params_.start_ns + change.at_ns <= at_ns) mtu = change.mtu;
  }
  return mtu;
}

// Whether this one arrives whatever was drawn, because the same thing missed its way too often.
bool Network::Mercy(Direction& direction, const TcpView& tcp, bool would_miss) {
  if (!would_miss) return false;
  uint64_t key = uint64_t{tcp.source_port} << 48 ^ uint64_t{tcp.destination_port} << 40;
  key ^= tcp.length() == 0 ? uint64_t{tcp.ack} : uint64_t{tcp.seq} | uint64_t{1} << 32;
  int& misses = direction.misses[key];
  const int patience = tcp.has(kSyn) ? kSynPatience : params_.black_hole ? kHolePatience : kPatience;
  if (misses >= patience) return true;
  ++misses;
  return false;
}

// Flips some, never all bits of one 16-bit word that a checksum covers: no such change escapes a one's complement sum.
void Network::Corrupt(Bytes& frame) {
  size_t at = 0;
  do {
    at = kEthernet + Below((frame.size() - kEthernet) / 2) * 2;
    // Of an IPv6 header only the addresses: with another length other bytes are summed up.
  } while (FrameType(frame) == 0x86dd && at < kEthernet + 8);
  const auto flips = static_cast<uint16_t>(1 + Below(0xfffe));
  Put16(frame, at, static_cast<uint16_t>(Get16(frame, at) ^ flips));
}

void Network::SendTooBig(int to, Nanos at_ns, const Bytes& frame, uint32_t mtu) {
  ++too_big_;
  if (params_.black_hole) return note_(to, at_ns, frame, absl::StrCat("too big, silently: MTU ", mtu));
  note_(to, at_ns, frame, absl::StrCat("too big: MTU ", mtu));
  const LinkParams& link = params_.links[1 - to];
  if (Chance(link.loss)) return;
  arrivals_.push({at_ns + link.delay_ns, order_++, to, true, TooBig(frame, mtu)});
}

void Network::Deliver(int from, Nanos at_ns, const Bytes& frame, bool intact, std::string fate) {
  const LinkParams& link = params_.links[from];
  Direction& direction = directions_[from];
  Nanos leaves_ns = at_ns;
  if (link.bytes_per_second != 0) {
    const auto backlog_ns = static_cast<double>(std::max<Nanos>(0, direction.busy_until_ns - at_ns));
    const auto rate = static_cast<double>(link.bytes_per_second);
    if (backlog_ns * rate / 1e9 > static_cast<double>(link.queue_bytes)) {
      ++queue_drops_;
      return note_(from, at_ns, frame, "dropped by the queue");
    }
    leaves_ns =
        std::max(at_ns, direction.busy_until_ns) + static_cast<Nanos>(static_cast<double>(frame.size()) * 1e9 / rate);
    direction.busy_until_ns = leaves_ns;
  }
  Nanos arrives_ns = leaves_ns + link.delay_ns + static_cast<Nanos>(Below(static_cast<uint64_t>(link.jitter_ns) + 1));
  if (Chance(link.overtake)) {
    arrives_ns += static_cast<Nanos>(Below(static_cast<uint64_t>(4 * link.delay_ns)));
    fate += "overtaken ";
  } else if (link.in_order) {
    arrives_ns = direction.last_arrival_ns = std::max(arrives_ns, direction.last_arrival_ns);
  }
  note_(from, at_ns, frame, fate);
  arrivals_.push({arrives_ns, order_++, 1 - from, intact, frame});
}

void Network::Send(int from, Nanos at_ns, const Bytes& frame) {
  const LinkParams& link = params_.links[from];
  const std::optional<TcpView> tcp = ParseTcp(frame);
  if (!tcp.has_value()) {
    note_(from, at_ns, frame, "");
    arrivals_.push({at_ns + link.delay_ns, order_++, 1 - from, true, frame});
    return;
  }
  const uint32_t mtu = Mtu(at_ns);
  if (frame.size() - kEthernet > mtu) return SendTooBig(from, at_ns, frame, mtu);
  bool lost = Chance(link.loss), corrupt = Chance(link.corrupt);
  if (Mercy(directions_[from], *tcp, lost || corrupt)) lost = corrupt = false;
  if (Chance(link.duplicate)) Deliver(from, at_ns, frame, true, "twin ");
  if (lost) {
    ++lost_;
    return note_(from, at_ns, frame, "lost");
  }
  if (!corrupt) return Deliver(from, at_ns, frame, true, "");
  ++corrupted_;
  Bytes damaged = frame;
  Corrupt(damaged);
  Deliver(from, at_ns, damaged, false, "corrupted ");
}

}  // namespace weir::sim
