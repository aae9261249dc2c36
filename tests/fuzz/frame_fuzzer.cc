#include "tests/fuzz/frame_fuzzer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/packets6.h"
#include "tests/support/scoreboard_check.h"
#include "tests/support/tcp_options_text.h"

namespace weir::testing_support {

using netstack::DropReason;
using netstack::TcpSock;
using netstack::TcpState;

namespace {

constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kEce = 64, kCwr = 128;

InetTestHost::Options HostOptions() {
  InetTestHost::Options options;
  options.ip6 = IpPrefix{IpAddress::Parse(kHostIp6).value(), 64};
  options.frames = 1024;
  options.tcp = {.max_sockets = 64, .receive_buffer = 4000, .send_buffer = 20000};
  return options;
}

// Reasons that are also counted for what the host sends by itself or gives up, so that the sum exceeds the frames
// received.
constexpr DropReason kOfOutput[] = {
    DropReason::kIcmpRateLimited,    DropReason::kNeighbourQueueFull, DropReason::kNeighbourFailed,
    DropReason::kNeighbourTableFull, DropReason::kNoRoute,            DropReason::kTxQueueFull,
    DropReason::kTxNoFrame,          DropReason::kTxTooBig,           DropReason::kIpReassemblyFull,
    DropReason::kIpReassemblyTimeout};

}  // namespace

FrameFuzzer::FrameFuzzer(uint64_t seed) : random_(seed), host_(HostOptions()) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  host_.Learn();
  ++received_;
  EXPECT_EQ(0, TcpListen(host_.inet().tcp, listener_, {{}, 80}, 8));
  EXPECT_EQ(0, host_.inet().udp.Bind(udp_, {{}, 7}));
}

FrameFuzzer::~FrameFuzzer() {
  for (TcpSock*& sock : socks_) Forget(sock);
  TcpUnlisten(host_.inet().tcp, listener_, host_.now());
  host_.inet().udp.Unbind(udp_);
}

// The program lets go of a connection without a word.
void FrameFuzzer::Forget(TcpSock*& sock) {
  if (sock == nullptr) return;
  TcpAbort(*sock, host_.now());
  TcpClose(*sock, host_.now());
  sock = nullptr;
}

void FrameFuzzer::Receive(const Bytes& frame) {
  const uint64_t lost = host_.lost_for_frames();
  host_.Receive(frame);
  if (host_.lost_for_frames() == lost) ++received_;
}

void FrameFuzzer::ReceiveRaw(std::span<const uint8_t> bytes) {
  const View view = std::as_bytes(bytes.first(std::min<size_t>(bytes.size(), 1900)));
  Receive(Bytes(view.begin(), view.end()));
}

void FrameFuzzer::Connect(size_t slot) {
  Forget(socks_[slot]);
  if (OneIn(4)) {  // an active one, which may stay in SYN-SENT
    int error = 0;
    socks_[slot] = TcpConnect(host_.inet().tcp, {IpAddress::V4(kPeerIp), next_port_++}, host_.now(), &error);
    if (socks_[slot] == nullptr) return;
    socks_[slot]->owner = this;
    if (OneIn(4)) return;
    const TcpSock& sock = *socks_[slot];
    const TcpSpec answer{.source_port = sock.remote.port,
                         .destination_port = sock.local.port,
                         .seq = static_cast<uint32_t>(random_()),
                         .ack = sock.snd.nxt.value(),
                         .flags = kSyn | kAck};
    Receive(Ethernet({}, Ipv4({.protocol = 6}, Tcp(answer, {}))));
    return;
  }
  TcpSpec spec{.source_port = next_port_++, .seq = static_cast<uint32_t>(random_()), .flags = kSyn};
  if (OneIn(2)) spec.options = OptionsFrom("mss 536, wscale 7", {});
  if (OneIn(2)) Append32(spec.options, 0x01010402);  // SACK permitted
  if (OneIn(2)) Append(spec.options, OptionsFrom("ts 1 ecr 0", {}));
  if (OneIn(2)) spec.flags |= kEce | kCwr;
  Receive(Ethernet({}, Ipv4({.protocol = 6}, Tcp(spec, {}))));
  const TcpSock* half_open =
      host_.inet().tcp.demux.Find({IpAddress::V4(kHostIp), 80}, {IpAddress::V4(kPeerIp), spec.source_port});
  if (half_open == nullptr || OneIn(8)) return;
  spec = {.source_port = spec.source_port, .seq = spec.seq + 1, .ack = half_open->snd.nxt.value(), .flags = kAck};
  if (OneIn(2)) spec.options = OptionsFrom("ts 2 ecr 0", {});
  Receive(Ethernet({}, Ipv4({.protocol = 6}, Tcp(spec, {}))));
  if (OneIn(8)) return;
  socks_[slot] = TcpAccept(listener_);
  if (socks_[slot] != nullptr) socks_[slot]->owner = this;
}

// A program does something with its connection.
void FrameFuzzer::Program(size_t slot) {
  TcpSock*& sock = socks_[slot];
  if (sock == nullptr || sock->state == TcpState::kClosed || OneIn(64)) return Connect(slot);
  static std::byte bytes[20000];
  const iovec iov{bytes, 1 + Below(3000)}, all{bytes, sizeof bytes};
  runtime::FrameChain chain;
  size_t sent = 0;
  switch (Below(12)) {
    case 0:
      TcpShutdown(*sock);
      break;
    case 1:
      if (OneIn(4)) TcpAbort(*sock, host_.now());
      break;
    case 2:
      if (OneIn(2)) (void)TcpRecvmsg(*sock, {&all, 1});
      TcpClose(*sock, host_.now());
      sock = nullptr;
      break;
    case 3:
    case 4:
    case 5:
      if (!sock->send_shut) (void)TcpSendmsg(*sock, {&iov, 1}, &sent);
      break;
    case 6:
      TcpRecvmsg(*sock, chain);
      if (!sock->send_shut) (void)TcpSendFrames(*sock, chain);
      TcpCleanupRbuf(*sock);
      break;
    case 7:
      (void)TcpRecvmsg(*sock, {&iov, 1});
      TcpCleanupRbuf(*sock);
      break;
    default:  // reads nothing: windows close
      break;
  }
}

// Timestamps that are usually right, and blocks of what is outstanding or nearly so.
Bytes FrameFuzzer::TcpOptionsFor(const TcpSock& sock) {
  Bytes options;
  if (sock.ts.ok && !OneIn(16)) {
    Append32(options, 0x0101080a);
    Append32(options, sock.ts.recent + static_cast<uint32_t>(OneIn(8) ? random_() >> Below(33) : Below(3)));
    Append32(options, static_cast<uint32_t>(host_.now() / kMillisecond) + sock.ts.offset -
                          static_cast<uint32_t>(Below(OneIn(4) ? 1000 : 10)));
  }
  if (!OneIn(3)) return options;
  const size_t blocks = 1 + Below(options.empty() ? 4 : 3);
  Append32(options, 0x01010500 | static_cast<uint32_t>(2 + 8 * blocks));
  const auto outstanding = static_cast<uint64_t>(sock.snd.nxt - sock.snd.una);
  for (size_t i = 0; i < blocks; ++i) {
    const uint32_t start = (sock.snd.una - 1000).value() + static_cast<uint32_t>(Below(outstanding + 2000));
    Append32(options, start);
    Append32(options, start + static_cast<uint32_t>(OneIn(16) ? random_() : Below(4000)));
  }
  return options;
}

// A segment that the connection expects, or nearly so.
Bytes FrameFuzzer::TcpSegmentFor(const TcpSock& sock) {
  const auto near = [&](uint32_t value) {
    switch (Below(8)) {
      case 0: return value + static_cast<uint32_t>(Below(3000));
      case 1: return value - static_cast<uint32_t>(Below(3000));
      case 2: return value + static_cast<uint32_t>(Below(3)) - 1;
      default: return value;
    }
  };
  TcpSpec spec{.source_port = sock.remote.port,
               .destination_port = sock.local.port,
               .seq = near(sock.rcv.nxt.value()),
               .ack = near(OneIn(2) ? sock.snd.nxt.value() : sock.snd.una.value()),
               .flags = kAck,
               .window = static_cast<uint16_t>(OneIn(8) ? 0 : OneIn(4) ? Below(2000) : 65535)};
  if (OneIn(8)) spec.flags |= kFin;
  if (OneIn(3)) spec.flags |= kPsh;
  if (OneIn(32)) spec.flags |= kSyn;
  if (OneIn(64)) spec.flags ^= kRst;
  if (OneIn(16)) spec.flags |= OneIn(2) ? kEce : kCwr;
  if (OneIn(64)) spec.flags = static_cast<uint8_t>(random_());
  spec.options = TcpOptionsFor(sock);
  return Tcp(spec, Bytes(OneIn(3) ? 0 : Below(1461), std::byte{0x5a}));
}

Bytes FrameFuzzer::ValidTcp() {
  const TcpSock* sock = socks_[Below(kConnections)];
  if (sock != nullptr && sock->state != TcpState::kClosed && !OneIn(16)) return TcpSegmentFor(*sock);
  if (!OneIn(4)) {  // one that its program closed: orphans, TIME-WAIT
    const TcpSock* other = nullptr;
    uint64_t skip = Below(8);
    host_.inet().tcp.demux.ForEach([&](TcpSock& at) {
      if (at.owner == nullptr && at.state != TcpState::kSynReceived && (other == nullptr || skip-- > 0)) other = &at;
    });
    if (other != nullptr) return TcpSegmentFor(*other);
  }
  const uint16_t ports[] = {80, 81, 7};
  return Tcp({.source_port = static_cast<uint16_t>(OneIn(2) ? next_port_ - Below(100) : random_()),
              .destination_port = ports[Below(3)],
              .seq = static_cast<uint32_t>(random_()),
              .ack = static_cast<uint32_t>(random_()),
              .flags = static_cast<uint8_t>(OneIn(8) ? kSyn : random_())},
             Bytes(Below(100)));
}

// A piece of one of a few datagrams of either version: with the others that come, in whatever order, some get complete.
Bytes FrameFuzzer::ValidFragment() {
  const bool v4 = OneIn(2);
  const auto id = static_cast<uint32_t>(Below(64));
  const size_t length = 100 * (1 + id), size = 8 * (1 + id);  // 13 fragments each
  const uint8_t protocol = id % 3 == 0 ? (v4 ? 1 : 58) : 17;
  Bytes packet;
  if (v4) {
    packet = protocol == 1 ? IcmpEcho(8, 1, 2, Bytes(length)) : Udp(5000, 7, Bytes(length));
  } else {
    packet = protocol == 58 ? Icmp6({}, Bytes(length)) : Udp6(5000, 7, Bytes(length));
  }
  const size_t offset = std::min(packet.size() - 1, Below(13) * size) / 8 * 8;
  const bool more = offset + size < packet.size();
  const View piece = View(packet).subspan(offset, std::min(size, packet.size() - offset));
  const auto field = static_cast<uint16_t>(offset / 8 | (more ? 0x2000 : 0));
  if (v4) return Ethernet({}, Ipv4({.protocol = protocol, .id = static_cast<uint16_t>(id), .fragment = field}, piece));
  Bytes rest(1);
  Append16(rest, static_cast<uint16_t>(offset | (more ? 1 : 0)));
  Append32(rest, id);
  return Ethernet({.type = 0x86dd}, Ipv6({.protocol = protocol, .extensions = {{44, rest}}}, piece));
}

// An ICMP error about what a connection has sent, or nearly so.
Bytes FrameFuzzer::ValidIcmpError() {
  const TcpSock* sock = socks_[Below(kConnections)];
  TcpSpec spec;
  if (sock != nullptr) {
    spec = {.source_port = sock->local.port,
            .destination_port = sock->remote.port,
            .seq = sock->snd.una.value() + static_cast<uint32_t>(OneIn(2) ? 0 : Below(3000))};
  }
  const Bytes segment = Tcp(spec, Bytes(Below(1461)), {kHostIp, kPeerIp});
  const Bytes packet = Ipv4({.protocol = 6, .source = kHostIp, .destination = kPeerIp, .fragment = 0x4000}, segment);
  const uint8_t types[] = {3, 3, 3, 11, 12};
  Bytes icmp = IcmpEcho(types[Below(5)], 0, static_cast<uint16_t>(Below(1600)),
                        View(packet).first(std::min<size_t>(packet.size(), 28 + Below(500))));
  icmp[1] = std::byte(OneIn(2) ? 4 : Below(17));
  Put16(icmp, 2, 0);
  Put16(icmp, 2, static_cast<uint16_t>(~NaiveSum(icmp)));
  return Ethernet({}, Ipv4({.protocol = 1}, icmp));
}

Bytes FrameFuzzer::Valid() {
  if (OneIn(4)) return ValidFragment();
  if (OneIn(16)) return ValidIcmpError();
  switch (Below(16)) {
    case 0: {
      ArpSpec arp{.operation = static_cast<uint16_t>(1 + Below(2))};
      if (OneIn(2)) arp.sender_ip = 0x0a000000 + static_cast<uint32_t>(Below(256));
      return Ethernet({.destination = OneIn(2) ? kBroadcast : kHostMac, .type = 0x0806}, Arp(arp));
    }
    case 1:
      return Ethernet({}, Ipv4({.protocol = 1}, IcmpEcho(8, 1, 2, Bytes(Below(1400)))));
    case 2:
    case 3:
      return Ethernet({}, Ipv4({}, Udp(5000, OneIn(4) ? 9 : 7, Bytes(Below(1473)))));
    case 4:
      return Ethernet({}, Ipv4({.protocol = static_cast<uint8_t>(random_()),
                                .options = Bytes(4 * Below(11), std::byte{1})}, Bytes(Below(100))));
    default:
      return Ethernet({}, Ipv4({.protocol = 6}, ValidTcp()));
  }
}

// Makes the checksums fit the changed bytes, where the lengths allow it, so that the change is seen further up.
void FrameFuzzer::FixChecksums(Bytes& frame) {
  if (frame.size() < 34 || Get16(frame, 12) != 0x0800) return;
  const size_t header = size_t{4} * (std::to_integer<size_t>(frame[14]) & 15);
  const size_t end = std::min<size_t>(frame.size(), size_t{14} + Get16(frame, 16));
  if (header < 20 || 14 + header > end) return;
  Put16(frame, 24, 0);
  Put16(frame, 24, static_cast<uint16_t>(~NaiveSum(View(frame).subspan(14, header))));
  const uint8_t protocol = std::to_integer<uint8_t>(frame[23]);
  const std::span<std::byte> transport = std::span(frame).subspan(14 + header, end - 14 - header);
  const size_t minimum = protocol == 6 ? 20 : 8;
  if ((protocol == 6 || protocol == 17) && transport.size() >= minimum) {
    FixTransportChecksum(transport, protocol, {Get32(frame, 26), Get32(frame, 30)});
  }
}

void FrameFuzzer::Mutate(Bytes& frame) {
  for (uint64_t changes = 1 + Below(4); changes > 0; --changes) {
    const size_t at = frame.empty() ? 0 : Below(OneIn(2) ? std::min<size_t>(frame.size(), 74) : frame.size());
    switch (Below(8)) {
      case 0:
        frame.resize(Below(frame.size() + 1));
        break;
      case 1:
        frame.resize(std::min<size_t>(frame.size() + Below(200), 1900), std::byte{0xee});
        break;
      case 2:
        if (!frame.empty()) frame[at] = std::byte(random_());
        break;
      case 3:
        if (frame.size() > at + 1) Put16(frame, at, static_cast<uint16_t>(OneIn(2) ? 0 : 0xffff));
        break;
      default:
        if (!frame.empty()) frame[at] ^= std::byte(1 << Below(8));
    }
  }
  if (!OneIn(3)) FixChecksums(frame);
}

void FrameFuzzer::Run(uint64_t n) {
  const uint64_t until = received_ + n;
  while (received_ < until) {
    Bytes frame;
    if (OneIn(50)) {
      frame.resize(Below(200));
      for (std::byte& byte : frame) byte = std::byte(random_());
    } else {
      frame = Valid();
      if (!OneIn(3)) Mutate(frame);
    }
    Receive(frame);
    if (OneIn(4)) Program(Below(kConnections));
    if (OneIn(20000)) {
      while (!udp_.receive_queue.empty()) udp_.receive_queue.Pop();
    }
    if (OneIn(300)) {  // half-open connections go, so that new ones find room
      TcpUnlisten(host_.inet().tcp, listener_, host_.now());
      EXPECT_EQ(0, TcpListen(host_.inet().tcp, listener_, {{}, 80}, 8));
    }
    if (OneIn(16)) host_.Advance(static_cast<Nanos>(Below(OneIn(20) ? kSecond : 50 * kMillisecond)));
    while (host_.has_sent()) host_.TakeSent();
    const TcpSock* sock = socks_[Below(kConnections)];
    if (sock != nullptr) EXPECT_EQ("", ScoreboardProblem(*sock));
  }
}

bool FrameFuzzer::Check() {
  uint64_t of_output = 0;
  for (DropReason reason : kOfOutput) of_output += host_.counted(reason);
  EXPECT_LE(host_.counted_total() - of_output, received_) << "a frame was counted twice";
  EXPECT_GE(host_.counted_total(), received_) << "a frame was not counted";
  EXPECT_LE(host_.inet().tcp.sockets, host_.inet().tcp.settings.max_sockets);
  EXPECT_LE(listener_.queued, listener_.backlog);
  return !::testing::Test::HasFailure();
}

void FrameFuzzer::PrintOutcomes() {
  for (size_t i = 0; i < netstack::kDropReasons; ++i) {
    const uint64_t count = host_.counted(static_cast<DropReason>(i));
    std::printf("%10llu %s\n", static_cast<unsigned long long>(count), netstack::kDropReasonNames[i]);
  }
}

}  // namespace weir::testing_support
