// udp_blast: the fastest client for a UDP echo server: it keeps a window of datagrams under way on a bare AF_XDP socket
// and turns each answer round as the next request, so that it does for a frame exactly what xsk_reflector does and a
// server that does more is the slower of the two. Each datagram of the window has a source port of its own; one that is
// not answered in time counts as lost and is sent anew.
//
//   udp_blast --interface=veth1 --address=10.0.0.1 --target=10.0.0.2:7 --size=64 --window=64 --duration=2
//
// It never sleeps while it measures. Prints {"rps": answers a second, "lost": datagrams, "answered": answers}, the last
// with those of the warm-up; fails when nothing is answered.
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "bench/peers/raw_xsk.h"
#include "bench/peers/reflect.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"

ABSL_FLAG(std::string, interface, "", "the interface");
ABSL_FLAG(std::string, address, "", "our IPv4 address, which the kernel does not have");
ABSL_FLAG(std::string, target, "", "the server on the same link, as ADDRESS:PORT");
ABSL_FLAG(int, size, 64, "bytes of a datagram, UDP payload");
ABSL_FLAG(int, window, 64, "datagrams under way at once");
ABSL_FLAG(double, duration, 2, "seconds to measure");
ABSL_FLAG(double, warmup, 0.5, "seconds before the measurement");

namespace weir::bench {
namespace {

// The number of a datagram, and what lies in one frame.
constexpr int kMinSize = sizeof(uint16_t);
constexpr int kMaxSize = RawXsk::kMaxMtu - 28;
// The window's datagrams are told apart by source port; as many as may wait on the server's ring and ours.
constexpr uint16_t kFirstPort = 40000;
constexpr int kMaxWindow = RawXsk::kRxSize / 2;
// Linux's least retransmission timeout: what TCP would take for lost on a link this short.
constexpr Nanos kLostAfter = 200 * kMillisecond;
constexpr Nanos kLookEvery = kLostAfter / 20;
constexpr Nanos kGiveUpAfter = 3 * kSecond;

// One datagram of the window. Its number is in the payload's first bytes: a late answer to one that was given up has an
// old number, and is dropped.
struct Slot {
  Nanos sent_ns = 0;
  uint16_t number = 0;
};

struct Blast {
  Self self;
  Endpoint target;
  size_t size;
  std::vector<Slot> window;
  netstack::MacAddress target_mac;
  uint64_t answered = 0;
  uint64_t lost = 0;
};

// Asks for the server's MAC address until it answers.
absl::Status Resolve(Blast& blast, RawXsk& xsk) {
  const Nanos give_up_ns = MonotonicNow() + kGiveUpAfter;
  while (MonotonicNow() < give_up_ns) {
    std::optional<xdp_desc> ask = xsk.Take();
    if (!ask.has_value()) return absl::ResourceExhaustedError("the device does not send");
    netstack::EmitEthernet(xsk.At(*ask), netstack::kBroadcastMac, blast.self.mac, {}, netstack::kEtherTypeArp);
    netstack::ArpPacket{netstack::ArpPacket::kRequest, blast.self.mac, blast.self.ip, {}, blast.target.ip.v4()}.Emit(
        xsk.At(*ask) + kIpAt);
    ask->len = kIpAt + netstack::ArpPacket::kSize;
    xsk.Send({&*ask, 1});
    xsk.Flush();
    xsk.Wait(/*timeout_ms=*/100);
    xdp_desc burst[RawXsk::kBurst];
    const uint32_t n = xsk.Receive(burst);
    for (uint32_t i = 0; i < n; ++i) {
      netstack::ArpPacket arp;
      const bool answer = IsArp(xsk.At(burst[i]), burst[i].len) && arp.Parse(xsk.At(burst[i]) + kIpAt) &&
                          arp.operation == arp.kReply && arp.sender_ip == blast.target.ip.v4();
      if (answer) blast.target_mac = arp.sender_mac;
      xsk.Drop(burst[i]);
    }
    if (!blast.target_mac.is_zero()) return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("nobody answers ARP for ", blast.target.ip.ToString()));
}

// Puts datagram `slot` of the window on the Tx ring. Without a free frame it stays unsent, and counts as lost in time.
void SendAnew(Blast& blast, RawXsk& xsk, size_t slot, Nanos now_ns) {
  blast.window[slot].sent_ns = now_ns;
  ++blast.window[slot].number;
  std::optional<xdp_desc> frame = xsk.Take();
  if (!frame.has_value()) return;
  const auto length = static_cast<uint16_t>(netstack::UdpHeader::kSize + blast.size);
  std::byte* at = xsk.At(*frame);
  netstack::EmitEthernet(at, blast.target_mac, blast.self.mac, {}, netstack::kEtherTypeIpv4);
  netstack::Ipv4Header{.total_length = static_cast<uint16_t>(netstack::Ipv4Header::kMinSize + length),
                       .fragment = netstack::Ipv4Header::kDontFragment,
                       .protocol = netstack::kProtocolUdp,
                       .source = blast.self.ip,
                       .destination = blast.target.ip.v4()}
      .Emit(at + kIpAt);
  netstack::UdpHeader{static_cast<uint16_t>(kFirstPort + slot), blast.target.port, length}.Emit(at + kUdpAt);
  std::memset(at + kPayloadAt, 'w', blast.size);
  runtime::StoreBe16(at + kPayloadAt, blast.window[slot].number);
  const netstack::ChecksumSum pseudo = netstack::PseudoHeaderSum(IpAddress::V4(blast.self.ip), blast.target.ip,
                                                                 netstack::kProtocolUdp, length);
  netstack::StoreChecksum(at + kUdpAt + netstack::UdpHeader::kChecksumOffset,
                          netstack::FinishChecksum(netstack::SumBytes({at + kUdpAt, length}) + pseudo));
  frame->len = static_cast<uint32_t>(kUdpAt + length);
  xsk.Send({&*frame, 1});
}

// Answers become the next requests.
void Turn(Blast& blast, RawXsk& xsk, Nanos now_ns) {
  xdp_desc burst[RawXsk::kBurst];
  const uint32_t n = xsk.Receive(burst);
  uint32_t sent = 0;
  for (uint32_t i = 0; i < n; ++i) {
    std::byte* frame = xsk.At(burst[i]);
    bool send = false;
    if (IsUdp(frame, burst[i].len)) {
      const size_t slot = runtime::LoadBe16(frame + kUdpAt + 2) - size_t{kFirstPort};
      send = slot < blast.window.size() && burst[i].len == kPayloadAt + blast.size &&
             runtime::LoadBe16(frame + kPayloadAt) == blast.window[slot].number;
      if (send) {
        blast.window[slot].sent_ns = now_ns;
        ++blast.answered;
        TurnRound(frame);
      }
    } else {
      send = IsArp(frame, burst[i].len) && AnswerArp(blast.self, frame);
    }
    if (send) {
      burst[sent++] = burst[i];
    } else {
      xsk.Drop(burst[i]);
    }
  }
  if (sent > 0) xsk.Send({burst, sent});
}

absl::Status Measure(Blast& blast, RawXsk& xsk) {
  Nanos now_ns = MonotonicNow(), look_ns = now_ns + kLookEvery;
  const Nanos start_ns = now_ns + static_cast<Nanos>(absl::GetFlag(FLAGS_warmup) * 1e9);
  const Nanos duration_ns = static_cast<Nanos>(absl::GetFlag(FLAGS_duration) * 1e9);
  for (size_t slot = 0; slot < blast.window.size(); ++slot) SendAnew(blast, xsk, slot, now_ns);
  bool measuring = false;
  uint64_t before = 0;
  for (; now_ns < start_ns + duration_ns; now_ns = MonotonicNow()) {
    if (!measuring && now_ns >= start_ns) {
      measuring = true;
      before = blast.answered;
      blast.lost = 0;
    }
    Turn(blast, xsk, now_ns);
    if (now_ns >= look_ns) {
      look_ns = now_ns + kLookEvery;
      for (size_t slot = 0; slot < blast.window.size(); ++slot) {
        if (now_ns - blast.window[slot].sent_ns < kLostAfter) continue;
        ++blast.lost;
        SendAnew(blast, xsk, slot, now_ns);
      }
    }
    xsk.Flush();
  }
  const uint64_t measured = blast.answered - before;
  if (measured == 0) return absl::UnavailableError("nothing was answered");
  std::printf("{\"rps\": %.0f, \"lost\": %lu, \"answered\": %lu}\n",
              static_cast<double>(measured) * 1e9 / static_cast<double>(now_ns - start_ns), blast.lost, blast.answered);
  return absl::OkStatus();
}

absl::Status Run() {
  absl::StatusOr<IpAddress> ip = IpAddress::Parse(absl::GetFlag(FLAGS_address));
  if (!ip.ok() || !ip->is_v4()) return absl::InvalidArgumentError("--address=A.B.C.D is missing or no IPv4 address");
  absl::StatusOr<Endpoint> target = Endpoint::Parse(absl::GetFlag(FLAGS_target));
  if (!target.ok() || !target->ip.is_v4() || target->port == 0) {
    return absl::InvalidArgumentError("--target=A.B.C.D:PORT is missing or incomplete");
  }
  const int size = absl::GetFlag(FLAGS_size), window = absl::GetFlag(FLAGS_window);
  if (size < kMinSize || size > kMaxSize || window < 1 || window > kMaxWindow) {
    return absl::InvalidArgumentError(
        absl::StrCat("--size is ", kMinSize, " to ", kMaxSize, ", --window 1 to ", kMaxWindow));
  }
  auto program = xdp::SteerProgram::Attach({.interface = absl::GetFlag(FLAGS_interface)});
  if (!program.ok()) return program.status();
  if (const uint32_t mtu = (*program)->interface().mtu; static_cast<uint32_t>(size) + 28 > mtu) {
    return absl::InvalidArgumentError(absl::StrCat("--size: the interface's MTU is ", mtu));
  }
  auto xsk = RawXsk::Create(**program, /*busy_poll=*/false);
  if (!xsk.ok()) return xsk.status();
  absl::Status status = (*program)->AddAddress4(__builtin_bswap32(ip->v4()));
  if (!status.ok()) return status;
  Blast blast{.self = {{(*program)->interface().mac}, ip->v4()},
              .target = *target,
              .size = static_cast<size_t>(size),
              .window = std::vector<Slot>(window)};
  status = Resolve(blast, **xsk);
  return status.ok() ? Measure(blast, **xsk) : status;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const absl::Status status = weir::bench::Run();
  if (status.ok()) return 0;
  std::fprintf(stderr, "udp_blast: %s\n", std::string(status.message()).c_str());
  return 1;
}
