// Frames with Neighbor Discovery messages (RFC 4861 §4), made by hand and described in one line of text, as packets6.h
// has others.
//
//   host.Receive(Ndp({.source = kPeer, .destination = ours}, NeighborSolicit(ours, kPeerMac)));
//   EXPECT_EQ("na SO fd00::1 is-at 020000000001, fd00::1 > fd00::2", SentNdp(host));
#ifndef TESTS_SUPPORT_NDP_PACKETS_H_
#define TESTS_SUPPORT_NDP_PACKETS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/ip_address.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/packets.h"
#include "tests/support/packets6.h"

namespace weir::testing_support {

inline IpAddress Ip6(absl::string_view text) { return IpAddress::Parse(text).value(); }

struct NdpSpec {
  IpAddress source;
  IpAddress destination;
  uint8_t hop_limit = 255;
  std::vector<Extension6> extensions = {};
};
// The Ethernet frame of an IPv6 packet with an ICMPv6 message, whose checksum is filled in.
Bytes Ndp(const NdpSpec& spec, Bytes message);

Bytes NeighborSolicit(const IpAddress& target, std::optional<Mac> source_mac = std::nullopt,
                      std::optional<uint32_t> nonce = std::nullopt);
// `flags`: of 'R', 'S' and 'O'.
Bytes NeighborAdvert(absl::string_view flags, const IpAddress& target, std::optional<Mac> target_mac = std::nullopt);

struct AdvertisedPrefix {
  IpPrefix prefix;
  absl::string_view flags = "LA";
  uint32_t valid_s = 86400;
  uint32_t preferred_s = 14400;
};
struct RouterAdvertSpec {
  uint8_t hop_limit = 64;
  uint16_t lifetime_s = 1800;
  uint32_t reachable_ms = 0;
  uint32_t retrans_ms = 0;
  std::optional<Mac> source_mac;
  std::optional<uint32_t> mtu;
  std::vector<AdvertisedPrefix> prefixes;
};
Bytes RouterAdvert(const RouterAdvertSpec& spec);

// What the host sent of Neighbor Discovery and has not been looked at, oldest first, joined by "; ":
//   "ns TARGET from MAC, SOURCE > DESTINATION", "na RSO TARGET is-at MAC, ...", "rs from MAC, ..."
// Other frames are left out. One that RFC 4861 does not allow begins with "BAD".
std::string SentNdp(InetTestHost& host);

}  // namespace weir::testing_support

#endif  // TESTS_SUPPORT_NDP_PACKETS_H_
