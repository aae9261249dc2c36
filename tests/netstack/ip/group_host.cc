#include "tests/netstack/ip/group_host.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/support/packets6.h"

namespace weir::testing_support {
namespace {

constexpr char kPeerLinkLocal[] = "fe80::2";
constexpr const char* kTypes[] = {"?", "is_in", "is_ex", "to_in", "to_ex", "allow", "block"};
const Bytes kRouterAlert4 = Bytes{std::byte{0x94}, std::byte{4}, std::byte{0}, std::byte{0}};
const Bytes kRouterAlert6 = Bytes{std::byte{0}, std::byte{5}, std::byte{2}, std::byte{0},
                                  std::byte{0}, std::byte{1}, std::byte{0}};

int At(View bytes, size_t i) { return std::to_integer<int>(bytes[i]); }

void AppendIp(Bytes& out, const IpAddress& ip, bool v4) {
  const std::array<uint8_t, 16> bytes = ip.bytes();
  Append(out, std::as_bytes(std::span(bytes)).subspan(v4 ? 12 : 0));
}

IpAddress ReadIp(View bytes) {
  if (bytes.size() == 4) return IpAddress::V4(Get32(bytes, 0));
  std::array<uint8_t, 16> copy;
  std::transform(bytes.begin(), bytes.end(), copy.begin(), [](std::byte b) { return std::to_integer<uint8_t>(b); });
  return IpAddress::V6(copy);
}

// A code that a time is written as: RFC 3376 §4.1.1 (4 bits of mantissa), RFC 3810 §5.1.3 (12).
int Code(int64_t value, int mantissa) {
  if (value < 1 << (mantissa + 3)) return static_cast<int>(value);
  int exponent = 0;
  while (value >> (exponent + 3) >= 2 << mantissa) ++exponent;
  return 1 << (mantissa + 3) | exponent << mantissa | static_cast<int>(value >> (exponent + 3) & ((1 << mantissa) - 1));
}

}  // namespace

GroupHost::GroupHost(bool v4, uint32_t mtu)
    : v4_(v4),
      host_({.ip6 = v4 ? std::nullopt : std::optional(*IpPrefix::Parse("fe80::1/64")),
             .mtu = mtu,
             .group_reports = true}) {
  host_.Learn();
  if (!v4) {
    host_.inet().ip.AddAddress(host_.interface(), {*IpPrefix::Parse("fd00::1/64"), netstack::AddressState::kPreferred});
  }
  host_.Advance(20 * kSecond);
  TakeMessages();
}

GroupHost::~GroupHost() {
  for (auto& sock : socks_) host_.inet().udp.Unbind(*sock);
}

IpAddress GroupHost::Group(int n) const {
  return v4_ ? IpAddress::V4(0xef010100 + static_cast<uint32_t>(n))
             : *IpAddress::Parse(absl::StrCat("ff15::", absl::Hex(n)));
}

IpAddress GroupHost::Source(int n) const {
  return v4_ ? IpAddress::V4(0x0a000100 + static_cast<uint32_t>(n))
             : *IpAddress::Parse(absl::StrCat("fd00::1:", absl::Hex(n)));
}

std::string GroupHost::Name(View address) const {
  const IpAddress ip = ReadIp(address);
  for (int n = 0; n < 300; ++n) {
    if (ip == Group(n)) return absl::StrCat("g", n);
    if (ip == Source(n)) return absl::StrCat("s", n);
  }
  return ip.ToString();
}

netstack::UdpSock* GroupHost::Bind() {
  socks_.push_back(std::make_unique<netstack::UdpSock>(netstack::UdpBindOptions{.reuse_address = true}));
  EXPECT_EQ(0, host_.inet().udp.Bind(*socks_.back(), {{}, 7}));
  return socks_.back().get();
}

void GroupHost::Unbind(netstack::UdpSock* sock) {
  host_.inet().udp.Unbind(*sock);
  std::erase_if(socks_, [&](const auto& s) { return s.get() == sock; });
}

int GroupHost::Call(netstack::UdpSock* sock, netstack::GroupCall call, int group, int source) {
  return UdpGroupCall(host_.inet().udp, *sock, call, Group(group), source == 0 ? IpAddress() : Source(source), 0);
}

Bytes GroupHost::QueryFrame(const GroupQuery& query) const {
  const bool current = query.version == 3;
  const IpAddress group = query.group.has_value() ? Group(*query.group) : v4_ ? IpAddress::V4(0) : IpAddress();
  const std::string everybody = v4_ ? "224.0.0.1" : "ff02::1";
  const std::string destination =
      query.destination.value_or(query.group.has_value() ? Group(*query.group).ToString() : everybody);
  const int64_t unit = v4_ ? 100 * kMillisecond : kMillisecond;
  const int64_t value = query.max_response_ns / unit;
  const int code = query.version == 1 ? 0 : current ? Code(value, v4_ ? 4 : 12) : static_cast<int>(value);
  Bytes tail;
  if (current) {
    tail.push_back(std::byte(query.robustness));
    tail.push_back(std::byte(Code(query.interval_s, 4)));
    Append16(tail, static_cast<uint16_t>(query.sources.size()));
    for (int source : query.sources) AppendIp(tail, Source(source), v4_);
  }
  if (v4_) {
    Bytes igmp{std::byte{0x11}, std::byte(code), std::byte{0}, std::byte{0}};
    AppendIp(igmp, group, true);
    Append(igmp, tail);
    Put16(igmp, 2, static_cast<uint16_t>(~NaiveSum(igmp) ^ (query.bad_checksum ? 1 : 0)));
    igmp.resize(query.cut.value_or(igmp.size()));
    const uint32_t source = query.source.has_value() ? IpAddress::Parse(*query.source)->v4() : kPeerIp;
    return Ethernet({.destination = {1, 0, 0x5e, 0, 0, 1}},
                    Ipv4({.protocol = 2, .source = source, .destination = IpAddress::Parse(destination)->v4(),
                          .ttl = query.ttl, .options = query.router_alert ? kRouterAlert4 : Bytes()},
                         igmp));
  }
  Bytes body;
  AppendIp(body, group, false);
  Append(body, tail);
  body.resize(query.cut.value_or(body.size() + 8) - 8);
  const std::string source = query.source.value_or(kPeerLinkLocal);
  const uint32_t word = static_cast<uint32_t>(code) << 16;
  Bytes icmp = Icmp6({.type = 130, .word = word, .source = source, .destination = destination}, body);
  if (query.bad_checksum) icmp[2] ^= std::byte{1};
  Ipv6Spec spec{.protocol = 58, .source = source, .destination = destination, .hop_limit = query.ttl};
  if (query.router_alert) spec.extensions.push_back({.protocol = 0, .rest = kRouterAlert6});
  return Ethernet({.destination = {0x33, 0x33, 0, 0, 0, 1}, .type = 0x86dd}, Ipv6(spec, icmp));
}

void GroupHost::OtherReport(int group, bool oldest) {
  if (v4_) {
    Bytes igmp{std::byte(oldest ? 0x12 : 0x16), std::byte{0}, std::byte{0}, std::byte{0}};
    AppendIp(igmp, Group(group), true);
    Put16(igmp, 2, static_cast<uint16_t>(~NaiveSum(igmp)));
    const Ipv4Spec spec{.protocol = 2, .destination = Group(group).v4(), .ttl = 1, .options = kRouterAlert4};
    host_.Receive(Ethernet({.destination = {1, 0, 0x5e, 1, 1, static_cast<uint8_t>(group)}}, Ipv4(spec, igmp)));
    return;
  }
  Bytes body;
  AppendIp(body, Group(group), false);
  const std::string destination = Group(group).ToString();
  Ipv6Spec spec{.protocol = 58, .source = kPeerLinkLocal, .destination = destination, .hop_limit = 1};
  spec.extensions.push_back({.protocol = 0, .rest = kRouterAlert6});
  host_.Receive(Ethernet({.destination = {0x33, 0x33, 0, 0, 0, static_cast<uint8_t>(group)}, .type = 0x86dd},
                         Ipv6(spec, Icmp6({.type = 131, .source = kPeerLinkLocal, .destination = destination}, body))));
}

GroupMessage GroupHost::Parse(const Departure& departure) const {
  const View ip = View(departure.frame).subspan(14);
  GroupMessage m{.at_ns = departure.at_ns, .size = departure.frame.size()};
  constexpr int kIgmp = 2, kHopByHop = 0;
  const bool about_groups =
      v4_ ? At(ip, 0) >> 4 == 4 && At(ip, 9) == kIgmp : At(ip, 0) >> 4 == 6 && At(ip, 6) == kHopByHop;
  if (!about_groups) return m;
  const size_t size = v4_ ? 4 : 16;
  View message;
  if (v4_) {
    message = ip.subspan(24);
    m.source = ReadIp(ip.subspan(12, 4)).ToString();
    m.destination = Name(ip.subspan(16, 4));
    if (At(ip, 0) != 0x46 || NaiveSum(ip.first(24)) != 0xffff || At(ip, 1) != 0xc0) m.problem = "header";
    if (At(ip, 8) != 1) m.problem = "ttl";
    if (!std::ranges::equal(ip.subspan(20, 4), kRouterAlert4)) m.problem = "router alert";
    if (NaiveSum(message) != 0xffff) m.problem = "checksum";
  } else {
    message = ip.subspan(48);
    m.source = ReadIp(ip.subspan(8, 16)).ToString();
    m.destination = Name(ip.subspan(24, 16));
    if (At(ip, 7) != 1) m.problem = "hop limit";
    if (!std::ranges::equal(ip.subspan(41, 7), kRouterAlert6)) m.problem = "router alert";
    Bytes pseudo(ip.begin() + 8, ip.begin() + 40);
    Append32(pseudo, static_cast<uint32_t>(message.size()));
    Append32(pseudo, 58);
    if (NaiveSum(message, NaiveSum(pseudo)) != 0xffff) m.problem = "checksum";
  }
  const int type = At(message, 0);
  if (type != 0x22 && type != 143) {
    const bool leave = type == 0x17 || type == 132;
    m.version = !v4_ ? "mld1" : type == 0x12 ? "1" : "2";
    m.records.push_back({leave ? "leave" : "report", Name(message.subspan(v4_ ? 4 : 8, size)), {}});
    const char* routers = v4_ ? "224.0.0.2" : "ff02::2";
    if (m.destination != (leave ? routers : m.records[0].group)) m.problem = "destination";
    return m;
  }
  m.version = v4_ ? "3" : "mld2";
  if (m.destination != (v4_ ? "224.0.0.22" : "ff02::16")) m.problem = "destination";
  size_t at = 8;
  for (int left = Get16(message, 6); left > 0; --left) {
    const int count = Get16(message, at + 2);
    GroupRecord record{kTypes[At(message, at)], Name(message.subspan(at + 4, size)), {}};
    at += 4 + size;
    for (int i = 0; i < count; ++i, at += size) record.sources.push_back(Name(message.subspan(at, size)));
    m.records.push_back(record);
  }
  if (at != message.size()) m.problem = "length";
  return m;
}

std::vector<GroupMessage> GroupHost::TakeMessages() {
  std::vector<GroupMessage> messages;
  while (host_.has_sent()) {
    GroupMessage m = Parse(host_.TakeSent());
    std::erase_if(m.records, [](const GroupRecord& r) { return r.group[0] != 'g'; });
    if (!m.records.empty() || !m.problem.empty()) messages.push_back(std::move(m));
  }
  return messages;
}

std::string GroupHost::Sent() {
  std::vector<std::string> parts;
  for (const GroupMessage& m : TakeMessages()) {
    if (!m.problem.empty()) return absl::StrCat("BAD ", m.problem);
    for (const GroupRecord& r : m.records) {
      const bool older = m.version != "3" && m.version != "mld2";
      parts.push_back(older ? absl::StrCat(m.version == "1" ? "v1 " : "", r.type, " ", r.group)
                            : absl::StrCat(r.type, " ", r.group, " {", absl::StrJoin(r.sources, " "), "}"));
    }
  }
  return absl::StrJoin(parts, "; ");
}

std::string GroupHost::SentNow() {
  host_.Advance(20 * kMicrosecond);  // a tick of the timer wheel
  return Sent();
}

}  // namespace weir::testing_support
