// What a DHCP client does, as a trace: one line for each message it sends and each thing it asks of its owner; and the
// answers of servers. Messages are taken apart and made here byte by byte, apart from netstack/wire.
#ifndef TESTS_NETSTACK_UDP_DHCP_TRACE_H_
#define TESTS_NETSTACK_UDP_DHCP_TRACE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/udp/dhcp_client.h"
#include "tests/support/mutate.h"
#include "tests/support/packets.h"

namespace weir::testing_support {

inline constexpr int kOffer = 2, kAck = 5, kNak = 6;
inline constexpr uint32_t kServer = 0x0a000001, kOtherServer = 0x0a000009, kOurs = 0x0a000064;

// What a server answers.
struct Answer {
  int type = kOffer;
  uint32_t yiaddr = kOurs;
  uint32_t server = kServer;
  uint32_t lease_s = 3600;
  uint32_t mask = 0xffffff00;
  std::map<int, Bytes> options;  // in the place of what the above give, or left out when empty
  uint32_t xid_change = 0;
  uint8_t mac_change = 0;
};

inline Bytes Be32(uint32_t value) {
  Bytes bytes;
  Append32(bytes, value);
  return bytes;
}

inline Bytes MakeAnswer(const Answer& answer, uint32_t xid) {
  Bytes bytes = Hex("02010600");
  Append32(bytes, xid ^ answer.xid_change);
  bytes.resize(16);
  Append32(bytes, answer.yiaddr);
  bytes.resize(28);
  Append(bytes, std::as_bytes(std::span(kHostMac)));
  bytes[33] ^= std::byte{answer.mac_change};
  bytes.resize(236);
  Append(bytes, Hex("63825363"));
  std::map<int, Bytes> options = {{53, {std::byte(answer.type)}}, {54, Be32(answer.server)}};
  if (answer.type != kNak) options.insert({{51, Be32(answer.lease_s)}, {1, Be32(answer.mask)}});
  for (const auto& [code, value] : answer.options) options[code] = value;
  for (const auto& [code, value] : options) {
    if (value.empty()) continue;
    bytes.push_back(std::byte(code));
    bytes.push_back(std::byte(value.size()));
    Append(bytes, value);
  }
  bytes.push_back(std::byte{255});
  return bytes;
}

class DhcpTrace : public netstack::DhcpPort {
 public:
  explicit DhcpTrace(uint64_t seed = 1, netstack::DhcpClientOptions options = {})
      : wheel_(0), client((options.mac = {kHostMac}, options.secret = {seed, 2}, options), *this, wheel_) {}

  // Everything since the last call, a line each. Times are left out: a test looks at now().
  std::string Take() { return std::exchange(trace_, ""); }

  // Lets `ns` pass.
  void Pass(Nanos ns) {
    for (const Nanos end = now_ + ns; now_ < end;) {
      now_ = std::min(end, now_ + kStep);
      wheel_.Advance(now_);
    }
  }
  // Lets time pass until the client does something, and returns how long that was in seconds.
  double UntilNext(Nanos limit = 1000000 * kSecond) {
    const Nanos start = now_;
    while (trace_.empty() && now_ - start < limit) Pass(kStep);
    return static_cast<double>(now_ - start) / kSecond;
  }
  double now() const { return static_cast<double>(now_) / kSecond; }
  Nanos now_ns() const { return now_; }

  Bytes Make(const Answer& answer) const { return MakeAnswer(answer, xid); }
  void Receive(const Answer& answer) { client.OnMessage(Make(answer), now_); }
  void ProbeResult(bool conflict, uint32_t ip = kOurs) { client.OnProbeResult(IpAddress::V4(ip), conflict, now_); }

  // Up to BOUND, at second 0.
  void Bind(const Answer& ack) {
    client.Start(now_);
    Receive({});
    Receive(ack);
    ProbeResult(false);
    ASSERT_EQ(netstack::DhcpState::kBound, client.state());
    Take();
  }

 private:
  static constexpr Nanos kStep = 50 * kMillisecond;

  void Line(const std::string& line) { absl::StrAppend(&trace_, line, "\n"); }
  void Send(View payload, const IpAddress& source, const IpAddress& destination, Nanos now_ns) override {
    EXPECT_LE(now_ns, now_);
    ASSERT_LE(300u, payload.size());
    const char* const kNames[] = {"", "discover", "offer", "request", "decline", "ack", "nak", "release"};
    std::map<int, View> options;
    for (size_t at = 240; payload[at] != std::byte{255}; at += 2 + std::to_integer<size_t>(payload[at + 1])) {
      options[std::to_integer<int>(payload[at])] = payload.subspan(at + 2, std::to_integer<size_t>(payload[at + 1]));
    }
    std::string line = absl::StrCat(source.ToString(), " > ", destination.ToString(), " ",
                                    kNames[std::to_integer<size_t>(options[53][0])]);
    if (Get16(payload, 10) != 0) absl::StrAppend(&line, " broadcast");
    if (Get32(payload, 12) != 0) absl::StrAppend(&line, " ciaddr ", Ip(Get32(payload, 12)));
    if (options.count(50)) absl::StrAppend(&line, " requested ", Ip(Get32(options[50], 0)));
    if (options.count(54)) absl::StrAppend(&line, " server ", Ip(Get32(options[54], 0)));
    xid = Get32(payload, 4);
    secs = Get16(payload, 8);
    Line(line);
  }
  void Probe(const IpAddress& address, Nanos) override { Line("probe " + address.ToString()); }
  void Configure(const netstack::DhcpLease& lease, Nanos) override { Line("configure " + lease.address.ToString()); }
  void Deconfigure(Nanos) override { Line("deconfigure"); }

  Nanos now_ = 0;
  std::string trace_;
  runtime::TimerWheel wheel_;

 public:
  netstack::DhcpClient client;
  uint32_t xid = 0;   // of the last message
  uint16_t secs = 0;  // likewise
};

}  // namespace weir::testing_support

#endif  // TESTS_NETSTACK_UDP_DHCP_TRACE_H_
