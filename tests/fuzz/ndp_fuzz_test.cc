// Neighbor Discovery under a hostile link: messages of every kind, right ones and ones with changed bytes and a right
// checksum, from a few senders, while packets leave and time passes. Nothing crashes, tables keep to their bounds, and
// what the user set stays.
#include <gtest/gtest.h>

#include <algorithm>

#include "netstack/ip/ip_output.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/ndp_packets.h"
#include "tests/support/random.h"

namespace weir::testing_support {
namespace {

using netstack::Addrconf;
using netstack::DropReason;
using netstack::Interface;
using netstack::RouterDiscovery;

const IpAddress kAllNodes = Ip6("ff02::1"), kOurs = Ip6("fd00::1");

class NdpFuzzer {
 public:
  NdpFuzzer() {
    host_.interface().addrconf.Start({1, 2}, host_.now());
    host_.interface().routers.Start(host_.now());
  }

  void Step() {
    Bytes message = Message();
    if (random_.OneIn(3)) {
      for (size_t changes = 1 + random_.Below(3); changes > 0; --changes) {
        message[random_.Below(message.size())] = std::byte(random_.Below(256));
      }
      if (random_.OneIn(4)) message.resize(random_.Below(message.size() - 4) + 4);
    }
    const IpAddress destinations[] = {kAllNodes, kOurs, netstack::SolicitedNodeGroup(kOurs), Somebody()};
    const uint8_t hop_limit = random_.OneIn(50) ? 64 : 255;
    const IpAddress source = random_.OneIn(8) ? IpAddress() : Somebody();
    host_.Receive(Ndp({source, destinations[random_.Below(4)], hop_limit}, message));
    if (random_.OneIn(8)) Send();
    const Nanos longest = random_.OneIn(50) ? 3600 * kSecond : kSecond;
    if (random_.OneIn(8)) host_.Advance(static_cast<Nanos>(random_.Below(static_cast<uint64_t>(longest))));
    while (host_.has_sent()) host_.TakeSent();
    Check();
  }
  InetTestHost& host() { return host_; }

 private:
  // One of ours, of some neighbours, or of the routers.
  IpAddress Somebody() {
    const auto ours = host_.interface().addresses();
    if (random_.OneIn(4)) return ours[random_.Below(ours.size())].prefix.ip;
    std::array<uint8_t, 16> ip = Ip6(random_.OneIn(2) ? "fe80::100" : "fd00::100").bytes();
    ip[15] = static_cast<uint8_t>(random_.Below(16));
    return IpAddress::V6(ip);
  }
  std::optional<Mac> SomeMac() {
    if (random_.OneIn(4)) return std::nullopt;
    return Mac{static_cast<uint8_t>(random_.OneIn(16) ? 3 : 2), 0, 0, 0, 0, static_cast<uint8_t>(random_.Below(4))};
  }
  uint32_t Lifetime() {
    const uint32_t lifetimes[] = {0, 1, 100, 7200, 86400, 0xffffffff};
    return lifetimes[random_.Below(6)];
  }
  AdvertisedPrefix Prefix() {
    std::array<uint8_t, 16> network = Ip6("2001:db8::").bytes();
    network[7] = static_cast<uint8_t>(random_.Below(32));
    const char* const flags[] = {"", "L", "A", "LA"};
    const int lengths[] = {64, 64, 64, 0, 48, 65, 128, 129, 255};
    return {{IpAddress::V6(network), lengths[random_.Below(9)]}, flags[random_.Below(4)], Lifetime(), Lifetime()};
  }
  Bytes Message() {
    switch (random_.Below(4)) {
      case 0: return NeighborSolicit(Somebody(), SomeMac());
      case 1: {
        const char* const flags[] = {"", "S", "O", "SO", "R", "RS", "RSO"};
        return NeighborAdvert(flags[random_.Below(7)], Somebody(), SomeMac());
      }
      default: {
        RouterAdvertSpec spec{.hop_limit = static_cast<uint8_t>(random_.Below(256)),
                              .lifetime_s = static_cast<uint16_t>(random_.OneIn(4) ? 0 : random_.Below(10000)),
                              .reachable_ms = Lifetime(),
                              .retrans_ms = Lifetime(),
                              .source_mac = SomeMac()};
        if (random_.OneIn(2)) spec.mtu = static_cast<uint32_t>(random_.Below(3000));
        for (size_t n = random_.Below(12); n > 0; --n) spec.prefixes.push_back(Prefix());
        return RouterAdvert(spec);
      }
    }
  }
  void Send() {
    runtime::Frame* frame = host_.pool().Alloc();
    if (frame == nullptr) return;
    frame->len = 8;
    const IpAddress to = random_.OneIn(2) ? Somebody() : Ip6("2001:db8:ffff::1");
    (void)IpOutput(host_.inet().ip, frame, {.source = kOurs, .destination = to, .protocol = 17}, host_.now());
  }
  void Check() {
    const Interface& interface = host_.interface();
    const auto generated = std::ranges::count(interface.addresses(), true, &netstack::InterfaceAddress::generated);
    ASSERT_LE(generated, Addrconf::kMaxGenerated);
    ASSERT_LE(interface.routers.routers().size(), RouterDiscovery::kMaxRouters);
    ASSERT_LE(interface.routers.prefixes().size(), RouterDiscovery::kMaxPrefixes);
    // Two networks of our own, one of each on-link prefix, and one default route.
    ASSERT_LE(host_.inet().ip.routes.routes().size(), 3 + 1 + RouterDiscovery::kMaxPrefixes);
    ASSERT_NE(nullptr, host_.interface().FindAddress(kOurs));
    ASSERT_NE(nullptr, host_.interface().FindAddress(IpAddress::V4(kHostIp)));
    ASSERT_GE(interface.mtu(false), RouterDiscovery::kMinMtu);
    ASSERT_LE(interface.mtu(false), interface.device.mtu());
    ASSERT_NE(0, interface.hop_limit);
  }

  testing::Random random_;
  InetTestHost host_{{.ip6 = IpPrefix{kOurs, 64}}};
};

TEST(NdpFuzz, AHostileLink) {
  NdpFuzzer fuzzer;
  for (int i = 0; i < 300000 && !::testing::Test::HasFatalFailure(); ++i) fuzzer.Step();
  for (DropReason reason : {DropReason::kConsumed, DropReason::kNdpMalformed, DropReason::kNdpNotForUs,
                            DropReason::kNdpUnsolicited, DropReason::kNdpConflict, DropReason::kAutoconfTableFull}) {
    EXPECT_LT(0u, fuzzer.host().counted(reason)) << netstack::kDropReasonNames[static_cast<size_t>(reason)];
  }
}

}  // namespace
}  // namespace weir::testing_support
