// TcpRcvPlain is only a shortcut: the same frames, right or wrong, give the same outcomes and answers where nothing takes it.
// A function at PRE_ROUTING that accepts everything is what keeps a host off it. What follows in a connection is in
// prediction_test.cc. WEIR_TEST_SEED=17 begins with seed 17.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/packets.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::Hook;

netstack::Verdict Accept(void*, netstack::HookPacket&) { return netstack::Verdict::kAccept; }

// A host that listens on port 80.
class Host {
 public:
  Host(bool shortcut, bool partial_checksums)
      : host_({.partial_checksums = partial_checksums, .frames = 512}), shortcut_(shortcut) {
    host_.Learn();
    if (!shortcut_) EXPECT_TRUE(hooks().Register(Hook::kPreRouting, 0, &Accept, nullptr));
    EXPECT_EQ(0, TcpListen(host_.inet().tcp, listener_, {IpAddress::V4(kHostIp), 80}, /*backlog=*/16));
  }
  ~Host() {
    TcpUnlisten(host_.inet().tcp, listener_, host_.now());
    host_.Turn();
    if (!shortcut_) hooks().Unregister(Hook::kPreRouting, &Accept, nullptr);
    while (host_.has_sent()) host_.TakeSent();
  }

  std::string Receive(const Bytes& frame) {
    host_.Receive(frame);
    std::string text = netstack::kDropReasonNames[static_cast<size_t>(host_.last())];
    while (host_.has_sent()) {
      absl::StrAppend(&text, ", sent");
      for (std::byte byte : host_.TakeSent().frame) absl::StrAppend(&text, " ", absl::Hex(std::to_integer<int>(byte)));
    }
    return text;
  }
  void Advance(Nanos by_ns) { host_.Advance(by_ns); }
  uint64_t counted(DropReason reason) { return host_.counted(reason); }

 private:
  netstack::HookTable& hooks() { return host_.inet().ip.hooks; }

  InetTestHost host_;
  const bool shortcut_;
  netstack::TcpListenSock listener_;
};

class Frames {
 public:
  explicit Frames(uint64_t seed) : random_(seed) {}

  uint64_t Below(uint64_t n) { return random_() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  Bytes Next() {
    constexpr std::array<uint32_t, 6> kSources = {kPeerIp, 0x0a000005, kHostIp, 0, 0x7f000001, 0xef010101};
    constexpr std::array<uint32_t, 4> kDestinations = {kHostIp, 0x0a0000ff, 0x0a000007, 0xef010101};
    const Flow flow{.source = kSources[OneIn(8) ? Below(kSources.size()) : 0],
                    .destination = kDestinations[OneIn(8) ? Below(kDestinations.size()) : 0]};
    constexpr std::array<uint8_t, 6> kFlags = {0x02, 0x10, 0x18, 0x11, 0x14, 0x12};
    Bytes tcp = Tcp({.source_port = static_cast<uint16_t>(40000 + Below(8)),
                     .destination_port = static_cast<uint16_t>(OneIn(4) ? 81 : 80),
                     .seq = 1000 + static_cast<uint32_t>(Below(3)),
                     .ack = static_cast<uint32_t>(Below(3)),
                     .flags = kFlags[Below(kFlags.size())],
                     .options = OneIn(2) ? Bytes() : Bytes(4 * (1 + Below(3)), std::byte{1})},
                    Filler(OneIn(2) ? 0 : Below(1400)), flow);
    if (OneIn(10)) PutPartialChecksum(tcp, flow);
    if (OneIn(20)) tcp[12] = static_cast<std::byte>(Below(256));
    if (OneIn(20)) tcp.resize(Below(tcp.size()));
    Ipv4Spec spec{.protocol = 6, .source = flow.source, .destination = flow.destination,
                  .tos = static_cast<uint8_t>(Below(256))};
    if (OneIn(20)) spec.fragment = OneIn(2) ? 0x4000 : static_cast<uint16_t>(random_());
    if (OneIn(20)) spec.options = Bytes(4 * (1 + Below(3)), std::byte{1});
    if (OneIn(40)) spec.bad_checksum = true;
    if (OneIn(40)) spec.version = 6;
    if (OneIn(40)) spec.header_words = static_cast<uint8_t>(Below(16));
    if (OneIn(40)) spec.total_length = static_cast<uint16_t>(Below(80));
    Bytes frame = Ethernet({.destination = OneIn(20) ? kBroadcast : kHostMac, .type = 0x0800}, Ipv4(spec, tcp));
    if (OneIn(8)) frame.resize(frame.size() + Below(30));  // padding
    if (OneIn(8)) frame[Below(frame.size())] ^= std::byte(1 << Below(8));
    if (OneIn(60)) frame.resize(Below(frame.size()));
    return frame;
  }

 private:
  // The sum of the pseudo-header alone, as a device would have finished it.
  static void PutPartialChecksum(Bytes& tcp, const Flow& flow) {
    uint32_t sum = 6 + static_cast<uint32_t>(tcp.size());
    for (const uint32_t ip : {flow.source, flow.destination}) sum += (ip >> 16) + (ip & 0xffff);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    tcp[16] = static_cast<std::byte>(sum >> 8);
    tcp[17] = static_cast<std::byte>(sum & 0xff);
  }

  std::mt19937_64 random_;
};

TEST(TcpRcvPlain, IsOnlyAShortcut) {
  const char* given = std::getenv("WEIR_TEST_SEED");
  const uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  uint64_t consumed = 0, wrong = 0;
  for (uint64_t seed = first; seed < first + 20 && !HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Host with(/*shortcut=*/true, seed % 2 == 0), without(/*shortcut=*/false, seed % 2 == 0);
    Frames frames(seed);
    for (int step = 0; step < 2000 && !HasFailure(); ++step) {
      SCOPED_TRACE(absl::StrCat("step ", step));
      const Bytes frame = frames.Next();
      EXPECT_EQ(without.Receive(frame), with.Receive(frame));
      if (!frames.OneIn(50)) continue;
      const auto by_ns = static_cast<Nanos>(frames.Below(2000)) * kMillisecond;
      with.Advance(by_ns);
      without.Advance(by_ns);
    }
    for (size_t reason = 0; reason < netstack::kDropReasons; ++reason) {
      EXPECT_EQ(without.counted(static_cast<DropReason>(reason)), with.counted(static_cast<DropReason>(reason)));
    }
    consumed += with.counted(DropReason::kConsumed);
    wrong += with.counted(DropReason::kTcpChecksum);
  }
  EXPECT_LT(1000u, consumed) << "too few to mean something";
  EXPECT_LT(100u, wrong);
}

}  // namespace
}  // namespace weir::testing_support
