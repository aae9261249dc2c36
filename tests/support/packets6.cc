#include "tests/support/packets6.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace weir::testing_support {
namespace {

void AppendAddress(Bytes& bytes, const std::string& text) {
  std::array<std::byte, 16> address{};
  inet_pton(AF_INET6, text.c_str(), address.data());
  Append(bytes, address);
}

std::string AddressText(View bytes) {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
}

// RFC 8200 §8.1.
uint32_t PseudoHeader6(View source, View destination, uint8_t protocol, size_t length) {
  Bytes header;
  Append(header, source);
  Append(header, destination);
  Append32(header, static_cast<uint32_t>(length));
  Append32(header, protocol);
  return NaiveSum(header);
}

void FillChecksum(Bytes& segment, size_t at, uint8_t protocol, const std::string& source,
                  const std::string& destination) {
  Bytes from, to;
  AppendAddress(from, source);
  AppendAddress(to, destination);
  const auto sum = static_cast<uint16_t>(~NaiveSum(segment, PseudoHeader6(from, to, protocol, segment.size())));
  Put16(segment, at, protocol == 17 && sum == 0 ? 0xffff : sum);
}

}  // namespace

Bytes Ipv6(const Ipv6Spec& spec, View payload) {
  Bytes chain;
  for (size_t i = 0; i < spec.extensions.size(); ++i) {
    const bool last = i + 1 == spec.extensions.size();
    chain.push_back(std::byte{last ? spec.protocol : spec.extensions[i + 1].protocol});
    Append(chain, spec.extensions[i].rest);
  }
  Append(chain, payload);
  Bytes ip;
  Append32(ip, uint32_t{spec.version} << 28);
  Append16(ip, spec.payload_length.value_or(static_cast<uint16_t>(chain.size())));
  const uint8_t next = spec.extensions.empty() ? spec.protocol : spec.extensions.front().protocol;
  Append16(ip, static_cast<uint16_t>(next << 8 | spec.hop_limit));
  AppendAddress(ip, spec.source);
  AppendAddress(ip, spec.destination);
  Append(ip, chain);
  return ip;
}

Bytes Icmp6(const Icmp6Spec& spec, View body) {
  Bytes icmp;
  Append16(icmp, static_cast<uint16_t>(spec.type << 8 | spec.code));
  Append16(icmp, 0);
  Append32(icmp, spec.word);
  Append(icmp, body);
  FillChecksum(icmp, 2, 58, spec.source, spec.destination);
  return icmp;
}

Bytes Udp6(uint16_t source_port, uint16_t destination_port, View payload, const std::string& source,
           const std::string& destination) {
  Bytes udp = Udp(source_port, destination_port, payload);
  Put16(udp, 6, 0);
  FillChecksum(udp, 6, 17, source, destination);
  return udp;
}

Bytes Tcp6(const TcpSpec& spec, View payload, const std::string& source, const std::string& destination) {
  Bytes tcp = Tcp(spec, payload);
  Put16(tcp, 16, 0);
  FillChecksum(tcp, 16, 6, source, destination);
  return tcp;
}

std::string Describe6(const Bytes& frame) {
  const View bytes(frame);
  if (bytes.size() < 54 || Get16(bytes, 12) != 0x86dd) return "BAD no IPv6 packet";
  const View ip = bytes.subspan(14);
  if (Get16(ip, 4) + size_t{40} != ip.size()) return "BAD payload length";
  const auto protocol = std::to_integer<uint8_t>(ip[6]);
  const unsigned hop = std::to_integer<uint8_t>(ip[7]);
  const View source = ip.subspan(8, 16), destination = ip.subspan(24, 16), transport = ip.subspan(40);
  const std::string from = AddressText(source), to = AddressText(destination);
  if (protocol != 6 && protocol != 17 && protocol != 58) {
    return absl::StrCat("next ", protocol, " ", from, " > ", to, " hop ", hop, ": ", transport.size(), " bytes");
  }
  if (NaiveSum(transport, PseudoHeader6(source, destination, protocol, transport.size())) != 0xffff) return "BAD checksum";
  if (protocol == 58) {
    return absl::StrCat("icmp6 ", std::to_integer<unsigned>(transport[0]), "/", std::to_integer<unsigned>(transport[1]),
                        " ", from, " > ", to, " hop ", hop, ": ", transport.size() - 8, " bytes");
  }
  const size_t header = protocol == 17 ? 8 : std::to_integer<size_t>(transport[12] >> 4) * 4;
  return absl::StrCat(protocol == 6 ? "tcp6 " : "udp6 ", from, ":", Get16(transport, 0), " > ", to, ":",
                      Get16(transport, 2), " hop ", hop, ": ", transport.size() - header, " bytes");
}

}  // namespace weir::testing_support
