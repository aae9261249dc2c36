#include "tests/conformance/segment.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/ip_address.h"
#include "tests/support/packets6.h"

namespace weir::conformance {
namespace {

using namespace testing_support;

constexpr size_t kEthernet = 14;
constexpr uint8_t kIcmp4 = 1, kIcmp6 = 58;

uint8_t Get8(View bytes, size_t at) { return std::to_integer<uint8_t>(bytes[at]); }

// The sum over addresses, protocol and length, which are in the packet's IP header.
uint32_t PseudoSum(View ip, bool v6, uint8_t protocol, size_t length) {
  const View addresses = v6 ? ip.subspan(8, 32) : ip.subspan(12, 8);
  return uint32_t{NaiveSum(addresses)} + protocol + static_cast<uint32_t>(length);
}

std::string TakeTransport(View ip, View transport, Segment& s) {
  const uint32_t pseudo = s.protocol == kIcmp4 ? 0 : PseudoSum(ip, s.v6, s.protocol, transport.size());
  if (transport.size() < 8) return "transport length";
  if (s.protocol == kUdp) {
    if (Get16(transport, 4) != transport.size()) return "UDP length";
    if (Get16(transport, 6) == 0) return "UDP without a checksum";
    s.data.assign(transport.begin() + 8, transport.end());
  } else if (s.protocol == kTcp) {
    const size_t header = transport.size() < 20 ? 0 : size_t{4} * (Get8(transport, 12) >> 4);
    if (header < 20 || header > transport.size()) return "TCP header length";
    s.seq = Get32(transport, 4);
    s.ack = Get32(transport, 8);
    s.flags = Get8(transport, 13);
    s.window = Get16(transport, 14);
    s.urgent = Get16(transport, 18);
    s.options.assign(transport.begin() + 20, transport.begin() + static_cast<ptrdiff_t>(header));
    s.data.assign(transport.begin() + static_cast<ptrdiff_t>(header), transport.end());
  } else {
    s.icmp = true;
    s.icmp_type = Get8(transport, 0);
    s.icmp_code = Get8(transport, 1);
  }
  if (!s.icmp) {
    s.source_port = Get16(transport, 0);
    s.destination_port = Get16(transport, 2);
  }
  return NaiveSum(transport, pseudo) == 0xffff ? "" : "transport checksum";
}

}  // namespace

std::optional<Segment> TakeApart(const Bytes& frame) {
  const View ip = View(frame).subspan(std::min(kEthernet, frame.size()));
  if (ip.size() < 20) return std::nullopt;
  const uint16_t type = Get16(frame, 12);
  Segment s;
  size_t header = 20, end = 0;
  if (type == 0x0800) {
    header = size_t{4} * (Get8(ip, 0) & 15);
    end = Get16(ip, 2);
    s.protocol = Get8(ip, 9);
    s.ttl = Get8(ip, 8);
    s.tos = Get8(ip, 1);
    s.dont_fragment = (Get16(ip, 6) & 0x4000) != 0;
    if (header < 20 || header > end) s.problem = "IP header length";
    if (s.problem.empty() && NaiveSum(ip.first(header)) != 0xffff) s.problem = "IP checksum";
  } else if (type == 0x86dd && ip.size() >= 40) {
    s.v6 = true;
    header = 40;
    end = header + Get16(ip, 4);
    s.protocol = Get8(ip, 6);
    s.ttl = Get8(ip, 7);
    s.tos = static_cast<uint8_t>(Get16(ip, 0) >> 4);
  } else {
    return std::nullopt;
  }
  if (s.protocol != kTcp && s.protocol != kUdp && s.protocol != (s.v6 ? kIcmp6 : kIcmp4)) return std::nullopt;
  if (end > ip.size() || end < header) s.problem = "IP length";
  if (!s.problem.empty()) return s;
  s.packet.assign(ip.begin(), ip.begin() + static_cast<ptrdiff_t>(end));
  s.problem = TakeTransport(ip, ip.subspan(header, end - header), s);
  constexpr uint8_t kInformational6 = 128;  // RFC 4443 §2.1
  if (s.icmp && s.v6 && s.icmp_type >= kInformational6) return std::nullopt;
  return s;
}

std::optional<Bytes> AnswerAddress(const Bytes& frame) {
  if (frame.size() < kEthernet + 28) return std::nullopt;
  const View packet = View(frame).subspan(kEthernet);
  const uint16_t type = Get16(frame, 12);
  if (type == 0x0806 && Get16(packet, 6) == 1 && Get32(packet, 24) == kPeerIp) {
    return Ethernet({.type = 0x0806}, Arp({.operation = 2, .target_mac = kHostMac, .target_ip = kHostIp}));
  }
  constexpr uint8_t kSolicitation = 135, kAdvertisement = 136;
  if (type != 0x86dd || packet.size() < 64 || Get8(packet, 6) != kIcmp6 || Get8(packet, 40) != kSolicitation) {
    return std::nullopt;
  }
  const Bytes target(packet.begin() + 48, packet.begin() + 64);
  const auto peer = Address(IpAddress::Parse(kPeerIp6)->bytes());
  if (!std::equal(target.begin(), target.end(), peer.begin())) return std::nullopt;
  std::array<uint8_t, 16> asker;
  for (size_t i = 0; i < asker.size(); ++i) asker[i] = Get8(packet, 8 + i);
  const std::string to = IpAddress::V6(asker).ToString();
  Bytes body = target;
  Append16(body, 0x0201);
  Append(body, std::as_bytes(std::span(kPeerMac)));
  constexpr uint32_t kSolicitedOverride = 0x60000000;  // RFC 4861 §4.4
  const Bytes icmp = Icmp6({.type = kAdvertisement, .word = kSolicitedOverride, .destination = to}, body);
  return Ethernet({.type = 0x86dd}, Ipv6({.protocol = kIcmp6, .destination = to, .hop_limit = 255}, icmp));
}

Bytes FrameFor(bool v6, uint8_t protocol, Bytes transport, uint8_t ttl, uint8_t tos) {
  if (!v6) return Ethernet({}, Ipv4({.protocol = protocol, .tos = tos, .ttl = ttl}, transport));
  Bytes packet = Ipv6({.protocol = protocol, .hop_limit = ttl}, transport);
  Put16(packet, 0, static_cast<uint16_t>(0x6000 | tos << 4));
  return Ethernet({.type = 0x86dd}, packet);
}

constexpr IcmpError kIcmpErrors[] = {
    {"net-unreachable", 3, 0, 1, 0},       {"host-unreachable", 3, 1, 1, 3}, {"protocol-unreachable", 3, 2, 4, 1},
    {"port-unreachable", 3, 3, 1, 4},      {"packet-too-big", 3, 4, 2, 0},   {"source-route-failed", 3, 5, -1, 0},
    {"admin-prohibited", 3, 13, 1, 1},     {"ttl-exceeded", 11, 0, 3, 0},    {"parameter-problem", 12, 0, 4, 0},
};

const IcmpError* FindIcmpError(const std::string& name) {
  for (const IcmpError& error : kIcmpErrors) {
    if (name == error.name) return &error;
  }
  return nullptr;
}

std::string IcmpErrorName(const Segment& s) {
  for (const IcmpError& error : kIcmpErrors) {
    const int type = s.v6 ? error.type6 : error.type4, code = s.v6 ? error.code6 : error.code4;
    if (type == s.icmp_type && code == s.icmp_code) return error.name;
  }
  return absl::StrCat("type ", s.icmp_type, " code ", s.icmp_code);
}

Bytes IcmpErrorFrame(bool v6, const IcmpError& error, uint32_t mtu, const Bytes& quoted) {
  constexpr size_t kQuoted = 500;  // RFC 1812 §4.3.2.3: as much as fits 576 bytes
  const Bytes body(quoted.begin(), quoted.begin() + static_cast<ptrdiff_t>(std::min(quoted.size(), kQuoted)));
  if (v6) {
    const Icmp6Spec spec{.type = static_cast<uint8_t>(error.type6), .code = static_cast<uint8_t>(error.code6), .word = mtu};
    return FrameFor(v6, kIcmp6, Icmp6(spec, body), 64, 0);
  }
  Bytes icmp;
  Append16(icmp, static_cast<uint16_t>(error.type4 << 8 | error.code4));
  Append16(icmp, 0);
  Append32(icmp, mtu);
  Append(icmp, body);
  Put16(icmp, 2, static_cast<uint16_t>(~NaiveSum(icmp)));
  return FrameFor(v6, kIcmp4, icmp, 64, 0);
}

}  // namespace weir::conformance
