#include "tests/support/packets.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir::testing_support {
namespace {

uint8_t Get8(View bytes, size_t at) { return std::to_integer<uint8_t>(bytes[at]); }

void AppendMac(Bytes& bytes, const Mac& mac) { Append(bytes, std::as_bytes(std::span(mac))); }

uint32_t PseudoHeader(const Flow& flow, uint8_t protocol, size_t length) {
  Bytes header;
  Append32(header, flow.source);
  Append32(header, flow.destination);
  Append16(header, protocol);
  Append16(header, static_cast<uint16_t>(length));
  return NaiveSum(header);
}

// Fills in what follows the IP header; the problem, or empty.
std::string ParseTransport(Packet& p) {
  const View transport = p.transport_bytes();
  const Flow flow{p.source, p.destination};
  if (p.protocol == 1) {
    if (transport.size() < 8) return "icmp length";
    p.payload = p.transport + 8;
    return NaiveSum(transport) == 0xffff ? "" : "icmp checksum";
  }
  if (p.protocol == 17) {
    if (transport.size() < 8 || Get16(transport, 4) != transport.size()) return "udp length";
    p.payload = p.transport + 8;
    if (Get16(transport, 6) == 0) return "udp without checksum";
  } else if (p.protocol == 6) {
    if (transport.size() < 20) return "tcp length";
    const size_t header = size_t{4} * (Get8(transport, 12) >> 4);
    if (header < 20 || header > transport.size()) return "tcp data offset";
    p.payload = p.transport + header;
  } else {
    return "protocol";
  }
  const uint32_t pseudo = PseudoHeader(flow, p.protocol, transport.size());
  return NaiveSum(transport, pseudo) == 0xffff ? "" : "transport checksum";
}

std::string ParseIpv4(Packet& p, uint8_t ttl) {
  const View ip = View(p.frame).subspan(p.network);
  if (ip.size() < 20) return "ip length";
  const size_t header = size_t{4} * (Get8(ip, 0) & 15);
  if (Get8(ip, 0) >> 4 != 4 || header < 20 || header > ip.size()) return "ip version or header length";
  if (NaiveSum(ip.first(header)) != 0xffff) return "ip checksum";
  if (Get16(ip, 2) != ip.size()) return "ip total length";
  if ((Get16(ip, 6) & 0xbfff) != 0) return "ip fragment";
  if (Get8(ip, 8) != ttl) return "ttl";
  p.protocol = Get8(ip, 9);
  p.source = Get32(ip, 12);
  p.destination = Get32(ip, 16);
  p.transport = p.network + header;
  p.end = p.network + Get16(ip, 2);
  return ParseTransport(p);
}

std::string DescribeArp(const Packet& p) {
  const View arp = View(p.frame).subspan(p.network);
  if (arp.size() != 28) return "BAD arp length";
  const std::string sender = Ip(Get32(arp, 14)), target = Ip(Get32(arp, 24));
  if (Get16(arp, 6) == 1) return absl::StrCat("arp who-has ", target, " tell ", sender);
  return absl::StrCat("arp ", sender, " is-at ", absl::Hex(Get16(arp, 8), absl::kZeroPad4),
                      absl::Hex(Get32(arp, 10), absl::kZeroPad8));
}

std::string DescribeIcmp(const Packet& p, const std::string& route) {
  const View icmp = p.transport_bytes();
  const uint8_t type = Get8(icmp, 0), code = Get8(icmp, 1);
  const size_t n = p.payload_bytes().size();
  if (type == 0 || type == 8) {
    return absl::StrCat("icmp echo-", type == 0 ? "reply " : "request ", route, " id ", Get16(icmp, 4), " seq ",
                        Get16(icmp, 6), " ", n, " bytes");
  }
  const char* names[] = {"net", "host", "protocol", "port"};
  if (type == 3 && code < 4) return absl::StrCat("icmp ", names[code], "-unreachable ", route, " quotes ", n, " bytes");
  return absl::StrCat("icmp type ", type, " code ", code, " ", route);
}

}  // namespace

uint16_t Get16(View bytes, size_t at) { return static_cast<uint16_t>(Get8(bytes, at) << 8 | Get8(bytes, at + 1)); }
uint32_t Get32(View bytes, size_t at) { return uint32_t{Get16(bytes, at)} << 16 | Get16(bytes, at + 2); }
void Put16(Bytes& bytes, size_t at, uint16_t value) {
  bytes[at] = std::byte(value >> 8);
  bytes[at + 1] = std::byte(value & 0xff);
}
void Put32(Bytes& bytes, size_t at, uint32_t value) {
  Put16(bytes, at, static_cast<uint16_t>(value >> 16));
  Put16(bytes, at + 2, static_cast<uint16_t>(value));
}
void Append16(Bytes& bytes, uint16_t value) {
  bytes.resize(bytes.size() + 2);
  Put16(bytes, bytes.size() - 2, value);
}
void Append32(Bytes& bytes, uint32_t value) {
  Append16(bytes, static_cast<uint16_t>(value >> 16));
  Append16(bytes, static_cast<uint16_t>(value));
}
void Append(Bytes& bytes, View more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

Bytes Address(const std::array<uint8_t, 16>& bytes) {
  const auto view = std::as_bytes(std::span(bytes));
  return {view.begin(), view.end()};
}

Bytes Text(absl::string_view text) {
  const auto* p = reinterpret_cast<const std::byte*>(text.data());
  return Bytes(p, p + text.size());
}

Bytes Filler(size_t n) {
  Bytes bytes(n);
  for (size_t i = 0; i < n; ++i) bytes[i] = std::byte(i * 131 + (i >> 8) * 7 + 11);
  return bytes;
}

uint16_t NaiveSum(View bytes, uint32_t start) {
  uint32_t sum = start;
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum += uint32_t{Get8(bytes, i)} << (i % 2 == 0 ? 8 : 0);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(sum);
}

Bytes Ethernet(const EthernetSpec& spec, View payload) {
  Bytes frame;
  AppendMac(frame, spec.destination);
  AppendMac(frame, spec.source);
  for (uint32_t tag : spec.tags) Append32(frame, tag);
  Append16(frame, spec.type);
  Append(frame, payload);
  return frame;
}

Bytes Arp(const ArpSpec& spec) {
  Bytes arp;
  Append16(arp, 1);
  Append16(arp, 0x0800);
  Append16(arp, 0x0604);
  Append16(arp, spec.operation);
  AppendMac(arp, spec.sender_mac);
  Append32(arp, spec.sender_ip);
  AppendMac(arp, spec.target_mac);
  Append32(arp, spec.target_ip);
  return arp;
}

Bytes Ipv4(const Ipv4Spec& spec, View payload) {
  const size_t header = 20 + spec.options.size();
  Bytes ip;
  const unsigned words = spec.header_words.value_or(static_cast<uint8_t>(header / 4));
  Append16(ip, static_cast<uint16_t>(spec.version << 12 | words << 8 | spec.tos));
  Append16(ip, spec.total_length.value_or(static_cast<uint16_t>(header + payload.size())));
  Append16(ip, spec.id);
  Append16(ip, spec.fragment);
  Append16(ip, static_cast<uint16_t>(spec.ttl << 8 | spec.protocol));
  Append16(ip, 0);
  Append32(ip, spec.source);
  Append32(ip, spec.destination);
  Append(ip, spec.options);
  // Over what the header length says is the header, so that a wrong one meets its own check and not the checksum's.
  Append(ip, payload);
  const uint16_t sum = NaiveSum(View(ip).first(std::clamp<size_t>(words * size_t{4}, 20, ip.size())));
  Put16(ip, 10, static_cast<uint16_t>(~sum ^ (spec.bad_checksum ? 1 : 0)));
  return ip;
}

Bytes IcmpEcho(uint8_t type, uint16_t id, uint16_t sequence, View payload) {
  Bytes icmp;
  Append16(icmp, static_cast<uint16_t>(type << 8));
  Append16(icmp, 0);
  Append16(icmp, id);
  Append16(icmp, sequence);
  Append(icmp, payload);
  Put16(icmp, 2, static_cast<uint16_t>(~NaiveSum(icmp)));
  return icmp;
}

void FixTransportChecksum(std::span<std::byte> segment, uint8_t protocol, const Flow& flow) {
  const size_t at = protocol == 6 ? 16 : 6;
  segment[at] = segment[at + 1] = std::byte{0};
  const uint16_t sum = ~NaiveSum(segment, PseudoHeader(flow, protocol, segment.size()));
  const uint16_t checksum = protocol == 17 && sum == 0 ? 0xffff : sum;
  segment[at] = std::byte(checksum >> 8);
  segment[at + 1] = std::byte(checksum & 0xff);
}

Bytes Udp(uint16_t source_port, uint16_t destination_port, View payload, const Flow& flow) {
  Bytes udp;
  Append16(udp, source_port);
  Append16(udp, destination_port);
  Append16(udp, static_cast<uint16_t>(8 + payload.size()));
  Append16(udp, 0);
  Append(udp, payload);
  FixTransportChecksum(udp, 17, flow);
  return udp;
}

Bytes Tcp(const TcpSpec& spec, View payload, const Flow& flow) {
  Bytes tcp;
  Append16(tcp, spec.source_port);
  Append16(tcp, spec.destination_port);
  Append32(tcp, spec.seq);
  Append32(tcp, spec.ack);
  Append16(tcp, static_cast<uint16_t>((5 + spec.options.size() / 4) << 12 | spec.flags));
  Append16(tcp, spec.window);
  Append16(tcp, 0);
  Append16(tcp, spec.urgent);
  Append(tcp, spec.options);
  Append(tcp, payload);
  FixTransportChecksum(tcp, 6, flow);
  return tcp;
}

Packet Parse(Bytes frame, uint8_t ttl) {
  Packet p{.frame = std::move(frame)};
  const View bytes(p.frame);
  if (bytes.size() < 14) {
    p.problem = "ethernet length";
    return p;
  }
  p.type = Get16(bytes, 12);
  while ((p.type == 0x8100 || p.type == 0x88a8) && bytes.size() >= p.network + 4) {
    p.type = Get16(bytes, p.network + 2);
    p.network += 4;
  }
  if (p.type == 0x0800) p.problem = ParseIpv4(p, ttl);
  p.ok = p.problem.empty();
  return p;
}

std::string Ip(uint32_t ip) {
  return absl::StrCat(ip >> 24, ".", ip >> 16 & 255, ".", ip >> 8 & 255, ".", ip & 255);
}

std::string Describe(const Packet& p) {
  if (!p.ok) return absl::StrCat("BAD ", p.problem);
  if (p.type == 0x0806) return DescribeArp(p);
  if (p.type != 0x0800) return absl::StrCat("type ", absl::Hex(p.type));
  const std::string route = absl::StrCat(Ip(p.source), " > ", Ip(p.destination));
  if (p.protocol == 1) return DescribeIcmp(p, route);
  const View t = p.transport_bytes();
  return absl::StrCat(p.protocol == 6 ? "tcp " : "udp ", Ip(p.source), ":", Get16(t, 0), " > ", Ip(p.destination), ":",
                      Get16(t, 2), " ", p.payload_bytes().size(), " bytes");
}

}  // namespace weir::testing_support
