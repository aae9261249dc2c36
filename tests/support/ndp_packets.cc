#include "tests/support/ndp_packets.h"

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace weir::testing_support {
namespace {

constexpr uint8_t kRouterSolicit = 133, kRouterAdvert = 134, kNeighborSolicit = 135, kNeighborAdvert = 136;

void AppendIp(Bytes& bytes, const IpAddress& ip) { Append(bytes, Address(ip.bytes())); }

IpAddress GetIp(View bytes, size_t at) {
  std::array<uint8_t, 16> ip;
  std::memcpy(ip.data(), &bytes[at], ip.size());
  return IpAddress::V6(ip);
}

Bytes Message(uint8_t type, uint32_t second_word) {
  Bytes message;
  Append32(message, uint32_t{type} << 24);
  Append32(message, second_word);
  return message;
}

void AppendMacOption(Bytes& message, uint8_t type, const std::optional<Mac>& mac) {
  if (!mac.has_value()) return;
  Append16(message, static_cast<uint16_t>(type << 8 | 1));
  Append(message, std::as_bytes(std::span(*mac)));
}

uint32_t PseudoHeader(const NdpSpec& spec, size_t length) {
  Bytes header;
  AppendIp(header, spec.source);
  AppendIp(header, spec.destination);
  Append32(header, static_cast<uint32_t>(length));
  Append32(header, 58);
  return NaiveSum(header);
}

// " from 020000000001", or nothing without the option; a nonce, which is random, is left out.
std::string DescribeMac(View message, size_t at, const char* word) {
  constexpr int kNonce = 14;
  if (message.size() < at + 8 || Get16(message, at) >> 8 == kNonce) return "";
  return absl::StrCat(" ", word, " ", absl::Hex(Get16(message, at + 2), absl::kZeroPad4),
                      absl::Hex(Get32(message, at + 4), absl::kZeroPad8));
}

std::string DescribeNdp(View frame) {
  const NdpSpec spec{GetIp(frame, 22), GetIp(frame, 38), std::to_integer<uint8_t>(frame[21])};
  const View message = frame.subspan(54);
  const std::string route = absl::StrCat(", ", spec.source.ToString(), " > ", spec.destination.ToString());
  if (spec.hop_limit != 255) return absl::StrCat("BAD hop limit ", spec.hop_limit, route);
  if (Get16(frame, 18) != message.size()) return absl::StrCat("BAD length", route);
  if (NaiveSum(message, PseudoHeader(spec, message.size())) != 0xffff) return absl::StrCat("BAD checksum", route);
  switch (std::to_integer<uint8_t>(message[0])) {
    case kRouterSolicit:
      return absl::StrCat("rs", DescribeMac(message, 8, "from"), route);
    case kNeighborSolicit:
      return absl::StrCat("ns ", GetIp(message, 8).ToString(), DescribeMac(message, 24, "from"), route);
    default: {
      std::string flags;
      const uint32_t bits = Get32(message, 4);
      for (const auto& [bit, letter] : {std::pair{31, "R"}, {30, "S"}, {29, "O"}}) {
        if ((bits >> bit & 1) != 0) flags += letter;
      }
      return absl::StrCat("na ", flags, " ", GetIp(message, 8).ToString(), DescribeMac(message, 24, "is-at"), route);
    }
  }
}

bool IsNdp(View frame) {
  if (frame.size() < 62 || Get16(frame, 12) != 0x86dd || frame[20] != std::byte{58}) return false;
  const uint8_t type = std::to_integer<uint8_t>(frame[54]);
  return type >= kRouterSolicit && type <= kNeighborAdvert;
}

}  // namespace

Bytes Ndp(const NdpSpec& spec, Bytes message) {
  Put16(message, 2, static_cast<uint16_t>(~NaiveSum(message, PseudoHeader(spec, message.size()))));
  Mac destination = kHostMac;
  if (spec.destination.is_multicast()) {
    const auto& ip = spec.destination.bytes();
    destination = {0x33, 0x33, ip[12], ip[13], ip[14], ip[15]};
  }
  return Ethernet({.destination = destination, .type = 0x86dd},
                  Ipv6({.protocol = 58,
                        .source = spec.source.ToString(),
                        .destination = spec.destination.ToString(),
                        .extensions = spec.extensions,
                        .hop_limit = spec.hop_limit},
                       message));
}

Bytes NeighborSolicit(const IpAddress& target, std::optional<Mac> source_mac, std::optional<uint32_t> nonce) {
  Bytes message = Message(kNeighborSolicit, 0);
  AppendIp(message, target);
  AppendMacOption(message, 1, source_mac);
  if (nonce.has_value()) {
    Append32(message, 0x0e010000);
    Append32(message, *nonce);
  }
  return message;
}

Bytes NeighborAdvert(absl::string_view flags, const IpAddress& target, std::optional<Mac> target_mac) {
  uint32_t bits = 0;
  for (const auto& [bit, letter] : {std::pair{31, "R"}, {30, "S"}, {29, "O"}}) {
    if (absl::StrContains(flags, letter)) bits |= uint32_t{1} << bit;
  }
  Bytes message = Message(kNeighborAdvert, bits);
  AppendIp(message, target);
  AppendMacOption(message, 2, target_mac);
  return message;
}

Bytes RouterAdvert(const RouterAdvertSpec& spec) {
  Bytes message = Message(kRouterAdvert, uint32_t{spec.hop_limit} << 24 | spec.lifetime_s);
  Append32(message, spec.reachable_ms);
  Append32(message, spec.retrans_ms);
  AppendMacOption(message, 1, spec.source_mac);
  if (spec.mtu.has_value()) {
    Append32(message, 0x05010000);
    Append32(message, *spec.mtu);
  }
  for (const AdvertisedPrefix& prefix : spec.prefixes) {
    const uint32_t flags =
        (absl::StrContains(prefix.flags, 'L') ? 0x80 : 0) | (absl::StrContains(prefix.flags, 'A') ? 0x40 : 0);
    Append32(message, 0x03040000u | static_cast<uint32_t>(prefix.prefix.length) << 8 | flags);
    Append32(message, prefix.valid_s);
    Append32(message, prefix.preferred_s);
    Append32(message, 0);
    AppendIp(message, prefix.prefix.ip);
  }
  return message;
}

std::string SentNdp(InetTestHost& host) {
  std::string all;
  while (host.has_sent()) {
    const Bytes frame = host.TakeSent().frame;
    if (!IsNdp(frame)) continue;
    if (!all.empty()) all += "; ";
    all += DescribeNdp(frame);
  }
  return all;
}

}  // namespace weir::testing_support
