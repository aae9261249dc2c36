// UdpRcvPlain is only a shortcut: the same frames, right or wrong, give the same outcomes, deliveries and answers where
// nothing takes it. A function at PRE_ROUTING that accepts everything is what keeps a host off it. WEIR_TEST_SEED=17
// begins with seed 17.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "netstack/udp/udp_table.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/packets6.h"

namespace weir::testing_support {
namespace {

using netstack::Datagram;
using netstack::DropReason;
using netstack::Hook;
using netstack::UdpSock;

constexpr uint32_t kSecondIp = 0x0a000011, kNetBroadcast = 0x0a0000ff, kGroup = 0xef010101;
constexpr char kSecondIp6[] = "fd00::11";

netstack::Verdict Accept(void*, netstack::HookPacket&) { return netstack::Verdict::kAccept; }

std::string TextOf(const Datagram& datagram) {
  std::string text = absl::StrCat(datagram.peer.ToString(), " > ", datagram.local.ToString(), " if ",
                                  datagram.interface, " ttl ", datagram.ttl, " tos ", datagram.tos, " at ",
                                  datagram.received_ns, " slices ", datagram.data.buffers().size(), ": ");
  Bytes bytes(datagram.data.size());
  datagram.data.CopyTo(bytes);
  for (std::byte byte : bytes) absl::StrAppend(&text, absl::Hex(std::to_integer<int>(byte)));
  return text;
}

// A host with sockets, and what is done to it. Two that are told the same differ in whether the shortcut is taken.
class Host {
 public:
  Host(bool shortcut, bool partial_checksums)
      : host_({.ip6 = *IpPrefix::Parse("fd00::1/64"), .partial_checksums = partial_checksums, .frames = 256}),
        shortcut_(shortcut) {
    host_.Learn();
    if (!shortcut_) EXPECT_TRUE(hooks().Register(Hook::kPreRouting, 0, &Accept, nullptr));
  }
  ~Host() {
    for (auto& sock : socks_) {
      if (sock != nullptr) host_.inet().udp.Unbind(*sock);
    }
    if (!shortcut_) hooks().Unregister(Hook::kPreRouting, &Accept, nullptr);
    Filter(false);
    while (host_.has_sent()) host_.TakeSent();
  }

  std::string Receive(const Bytes& frame) {
    host_.Receive(frame);
    std::string text = netstack::kDropReasonNames[static_cast<size_t>(host_.last())];
    while (host_.has_sent()) {
      const Bytes sent = host_.TakeSent().frame;
      absl::StrAppend(&text, ", sent");
      for (std::byte byte : sent) absl::StrAppend(&text, " ", absl::Hex(std::to_integer<int>(byte)));
    }
    return text;
  }
  // Socket `i` is closed, or opened in one of several ways.
  std::string Change(size_t i, uint64_t how) {
    if (socks_[i] != nullptr) {
      host_.inet().udp.Unbind(*socks_[i]);
      socks_[i] = nullptr;
      return "";
    }
    const std::array<IpAddress, 5> addresses = {IpAddress(), IpAddress::V4(0), IpAddress::V4(kHostIp),
                                                IpAddress::V4(kSecondIp), *IpAddress::Parse(kHostIp6)};
    socks_[i] = std::make_unique<UdpSock>(netstack::UdpBindOptions{
        .reuse_port = how / 5 % 2 == 0, .reuse_address = true, .receive_queue = how / 10 % 4 == 0 ? 2u : 16u});
    // 1031 is in the bucket of 7.
    const auto port = static_cast<uint16_t>(how / 40 % 4 == 0 ? 1031 : 7);
    int error = host_.inet().udp.Bind(*socks_[i], {addresses[how % 5], port});
    if (error == 0 && how / 160 % 3 == 0) {
      error = host_.inet().udp.Connect(*socks_[i], {IpAddress::V4(kPeerIp), 4000});
      if (error == 0) return "connected";
    }
    if (socks_[i]->local.port == 0) socks_[i] = nullptr;
    return absl::StrCat(error);
  }
  std::string Read(size_t i) {
    if (socks_[i] == nullptr) return "";
    std::string text = absl::StrCat(socks_[i]->dropped, " dropped");
    while (!socks_[i]->receive_queue.empty()) absl::StrAppend(&text, "; ", TextOf(socks_[i]->receive_queue.Pop()));
    return text;
  }
  void Address(bool on) {
    for (const char* text : {"10.0.0.17/24", "fd00::11/64"}) {
      const IpPrefix prefix = *IpPrefix::Parse(text);
      if (on) host_.inet().ip.AddAddress(host_.interface(), {prefix, netstack::AddressState::kPreferred});
      if (!on) host_.inet().ip.RemoveAddress(host_.interface(), prefix.ip);
    }
  }
  // Refuses datagrams to port 7 from port 4001.
  void Filter(bool on) {
    if (on == filtered_) return;
    filtered_ = on;
    if (on) hooks().Register(Hook::kLocalIn, 0, &DropSome, nullptr);
    if (!on) hooks().Unregister(Hook::kLocalIn, &DropSome, nullptr);
  }
  void Advance(Nanos by_ns) { host_.Advance(by_ns); }
  uint32_t free_frames() { return host_.pool().free_count(); }
  uint64_t counted(DropReason reason) { return host_.counted(reason); }

  static constexpr size_t kSockets = 5;

 private:
  static netstack::Verdict DropSome(void*, netstack::HookPacket& packet) {
    const size_t at = (packet.frame.data[0] >> 4) == std::byte{6} ? 40 : 20;
    const bool refused = packet.frame.len > at + 2 && Get16(packet.frame.bytes(), at) == 4001;
    return refused ? netstack::Verdict::kDrop : netstack::Verdict::kAccept;
  }
  netstack::HookTable& hooks() { return host_.inet().ip.hooks; }

  InetTestHost host_;
  const bool shortcut_;
  bool filtered_ = false;
  std::array<std::unique_ptr<UdpSock>, kSockets> socks_;
};

class Frames {
 public:
  explicit Frames(uint64_t seed) : random_(seed) {}

  uint64_t Below(uint64_t n) { return random_() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  Bytes Next() {
    Bytes frame = OneIn(4) ? Next6() : Next4();
    if (OneIn(8)) Append(frame, Filler(Below(30)));  // padding
    if (OneIn(8)) frame[Below(frame.size())] ^= std::byte(1 << Below(8));
    if (OneIn(60)) frame.resize(Below(frame.size()));
    return frame;
  }

 private:
  template <typename T, size_t n>
  const T& Of(const std::array<T, n>& usual_first) {
    return OneIn(6) ? usual_first[Below(n)] : usual_first[0];
  }
  size_t PayloadSize() { return OneIn(4) ? Below(1473) : Below(80); }
  // Ends that agree with the checksum, or a field that the sender left empty, or to a device.
  void SpoilUdp(Bytes& udp, uint16_t partial) {
    if (OneIn(10)) Put16(udp, 6, 0);
    if (OneIn(10)) Put16(udp, 6, partial);
    if (OneIn(20)) Put16(udp, 4, static_cast<uint16_t>(Below(udp.size() + 4)));
    if (OneIn(20)) Append(udp, Filler(Below(9)));  // behind the datagram, in the packet
  }

  Bytes Next4() {
    const uint32_t source = Of(std::array<uint32_t, 9>{kPeerIp, 0x0a000005, kHostIp, kSecondIp, 0, 0x7f000001, kGroup,
                                                       0xffffffff, kNetBroadcast});
    const uint32_t destination =
        Of(std::array<uint32_t, 7>{kHostIp, kSecondIp, kNetBroadcast, 0xffffffff, kGroup, 0x0a000007, 0x7f000001});
    const auto from = static_cast<uint16_t>(4000 + Below(3));
    Bytes udp = Udp(from, Of(std::array<uint16_t, 3>{7, 1031, 9}), Filler(PayloadSize()), {source, destination});
    Bytes pseudo;
    Append32(pseudo, source);
    Append32(pseudo, destination);
    SpoilUdp(udp, NaiveSum(pseudo, static_cast<uint32_t>(17 + udp.size())));
    Ipv4Spec spec{.source = source, .destination = destination, .tos = static_cast<uint8_t>(Below(256)),
                  .ttl = static_cast<uint8_t>(Below(256))};
    if (OneIn(20)) spec.fragment = static_cast<uint16_t>(random_());
    if (OneIn(20)) spec.fragment = 0x4000;
    if (OneIn(20)) spec.options = Bytes(4 * (1 + Below(3)), std::byte{1});
    if (OneIn(40)) spec.bad_checksum = true;
    if (OneIn(40)) spec.version = 6;
    if (OneIn(40)) spec.header_words = static_cast<uint8_t>(Below(16));
    if (OneIn(40)) spec.total_length = static_cast<uint16_t>(Below(60));
    if (OneIn(40)) spec.protocol = 6;
    return Ethernet(Link(0x0800), Ipv4(spec, udp));
  }
  Bytes Next6() {
    const std::string source =
        Of(std::array<std::string, 6>{kPeerIp6, "fe80::5", kHostIp6, "::", "::1", "ff02::5"});
    const std::string destination = Of(std::array<std::string, 5>{kHostIp6, kSecondIp6, "ff02::1", "fd00::7", "::1"});
    const auto from = static_cast<uint16_t>(4000 + Below(3));
    Bytes udp = Udp6(from, Of(std::array<uint16_t, 3>{7, 1031, 9}), Filler(PayloadSize()), source, destination);
    SpoilUdp(udp, static_cast<uint16_t>(random_()));
    Ipv6Spec spec{.source = source, .destination = destination, .hop_limit = static_cast<uint8_t>(Below(256))};
    if (OneIn(20)) spec.extensions = {{60, Text(std::string("\0\1\4\0\0\0\0", 7))}};
    if (OneIn(40)) spec.version = 4;
    if (OneIn(40)) spec.payload_length = static_cast<uint16_t>(Below(60));
    return Ethernet(Link(0x86dd), Ipv6(spec, udp));
  }
  EthernetSpec Link(uint16_t type) {
    EthernetSpec spec{.destination = Of(std::array<Mac, 3>{kHostMac, kBroadcast, kPeerMac}), .type = type};
    if (OneIn(30)) spec.tags = {0x81000000 + static_cast<uint32_t>(Below(3))};
    return spec;
  }

  std::mt19937_64 random_;
};

TEST(UdpPlain, IsOnlyAShortcut) {
  const char* given = std::getenv("WEIR_TEST_SEED");
  const uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  uint64_t consumed = 0, full = 0;
  for (uint64_t seed = first; seed < first + 40 && !HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Host with(/*shortcut=*/true, seed % 2 == 0), without(/*shortcut=*/false, seed % 2 == 0);
    Frames frames(seed);
    const auto both = [&](auto&& what) { EXPECT_EQ(what(without), what(with)); };
    for (int step = 0; step < 3000 && !HasFailure(); ++step) {
      SCOPED_TRACE(absl::StrCat("step ", step));
      const uint64_t how = frames.Below(1 << 20), sock = frames.Below(Host::kSockets);
      if (step == 0 || frames.OneIn(40)) both([&](Host& host) { return host.Change(sock, how); });
      if (frames.OneIn(6)) both([&](Host& host) { return host.Read(sock); });
      if (frames.OneIn(200)) both([&](Host& host) { return host.Address(how % 2 == 0), 0; });
      if (frames.OneIn(200)) both([&](Host& host) { return host.Filter(how % 3 == 0), 0; });
      if (frames.OneIn(50)) both([&](Host& host) { return host.Advance(static_cast<Nanos>(how) * kMicrosecond), 0; });
      const Bytes frame = frames.Next();
      both([&](Host& host) { return host.Receive(frame); });
      both([&](Host& host) { return host.free_frames(); });
    }
    for (size_t reason = 0; reason < netstack::kDropReasons; ++reason) {
      both([&](Host& host) { return host.counted(static_cast<DropReason>(reason)); });
    }
    consumed += with.counted(DropReason::kConsumed);
    full += with.counted(DropReason::kUdpQueueFull);
  }
  EXPECT_LT(10000u, consumed) << "too few to mean something";
  EXPECT_LT(100u, full);
}

}  // namespace
}  // namespace weir::testing_support
