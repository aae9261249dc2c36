// Sockets for echo requests: RFC 792, RFC 4443 §4; what programs see of them is Linux's (icmp(7)).
#include "netstack/udp/ping.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/netstack/ip/fragment_host.h"

namespace weir::testing_support {
namespace {

using netstack::PingSend;
using netstack::UdpSock;

constexpr bool kBoth[] = {true, false};
constexpr uint16_t kIdentifier = 4321;

Bytes Request(bool v4, size_t n) {
  Bytes message = IcmpEcho(v4 ? 8 : 128, /*id=*/1, /*sequence=*/5, Filler(n));
  Put16(message, 2, 0);
  return message;
}

class Ping : public FragmentHost {
 public:
  explicit Ping(bool v4) : v4_(v4) {
    if (v4) {
      Learn();
    }
    socket_.v6only = !v4;
    EXPECT_EQ(0, inet().ping.Bind(socket_, {v4 ? IpAddress::V4(0) : IpAddress(), kIdentifier}));
  }
  ~Ping() { inet().ping.Unbind(socket_); }

  Endpoint peer() const { return {v4_ ? IpAddress::V4(kPeerIp) : IpAddress::Parse(kPeerIp6).value(), 0}; }
  int Send(View message) {
    const int error = PingSend(inet().ping, socket_, message, peer(), now());
    Turn();
    return error;
  }
  // The peer's message.
  std::string Reply(uint8_t type, uint16_t identifier, View payload) {
    if (v4_) return Take(Ethernet({}, Ipv4({.protocol = 1}, IcmpEcho(type, identifier, 5, payload))));
    const Icmp6Spec spec{.type = type, .word = uint32_t{identifier} << 16 | 5};
    return Take(Ethernet({.type = 0x86dd}, Ipv6({.protocol = 58}, Icmp6(spec, payload))));
  }
  Bytes Read() {
    if (socket_.receive_queue.empty()) return {};
    const netstack::Datagram datagram = socket_.receive_queue.Pop();
    EXPECT_EQ(peer().ip, datagram.peer.ip);
    EXPECT_EQ(0, datagram.peer.port);
    Bytes bytes(datagram.data.size());
    datagram.data.CopyTo(bytes);
    return bytes;
  }
  UdpSock& socket() { return socket_; }

 private:
  const bool v4_;
  UdpSock socket_;
};

TEST(Ping, RequestsHaveTheIdentifier) {
  for (const bool v4 : kBoth) {
    Ping host(v4);
    ASSERT_EQ(0, host.Send(Request(v4, 20)));
    ASSERT_TRUE(host.has_sent());
    const Bytes frame = host.TakeSent().frame;
    const View message = View(frame).subspan(14 + (v4 ? 20 : 40));
    EXPECT_EQ(v4 ? 8 : 128, std::to_integer<int>(message[0]));
    EXPECT_EQ(kIdentifier, Get16(message, 4));
    EXPECT_EQ(5, Get16(message, 6));
    if (v4) EXPECT_EQ(0xffff, NaiveSum(message));
    EXPECT_EQ(Filler(20), Bytes(message.begin() + 8, message.end()));
  }
}

TEST(Ping, LongRequestsGoInFragments) {
  for (const bool v4 : kBoth) {
    Ping host(v4);
    ASSERT_EQ(0, host.Send(Request(v4, 5000)));
    size_t frames = 0;
    const Bytes whole = host.Join(&frames);
    EXPECT_EQ(4u, frames);
    ASSERT_EQ(5008u, whole.size());
    EXPECT_EQ(kIdentifier, Get16(whole, 4));
    if (v4) EXPECT_EQ(0xffff, NaiveSum(whole));
    host.socket().pmtu_discovery = netstack::PmtuDiscovery::kDo;
    EXPECT_EQ(EMSGSIZE, host.Send(Request(v4, 5000)));
  }
}

TEST(Ping, WhatIsNoRequest) {
  for (const bool v4 : kBoth) {
    Ping host(v4);
    Bytes message = Request(v4, 20);
    EXPECT_EQ(EINVAL, host.Send(View(message).first(7)));
    message[1] = std::byte{1};
    EXPECT_EQ(EINVAL, host.Send(message));
    EXPECT_EQ(EINVAL, host.Send(Request(!v4, 20)));
    EXPECT_EQ(EMSGSIZE, host.Send(Request(v4, 65535)));
    EXPECT_FALSE(host.has_sent());
  }
}

TEST(Ping, RepliesGoToWhoseIdentifierTheyHave) {
  for (const bool v4 : kBoth) {
    Ping host(v4);
    const uint8_t reply = v4 ? 0 : 129;
    EXPECT_EQ("kIcmpNoSocket", host.Reply(reply, kIdentifier + 1, Filler(10)));
    EXPECT_EQ("kConsumed", host.Reply(reply, kIdentifier, Filler(10)));
    const Bytes message = host.Read();
    ASSERT_EQ(18u, message.size());
    EXPECT_EQ(reply, std::to_integer<uint8_t>(message[0]));
    EXPECT_EQ(kIdentifier, Get16(message, 4));
    EXPECT_EQ(Filler(10), Bytes(message.begin() + 8, message.end()));
    // Nobody reads: no more than fit are kept.
    for (int i = 0; i < 300; ++i) (void)host.Reply(reply, kIdentifier, Filler(10));
    EXPECT_EQ(256u, host.socket().receive_queue.size());
  }
}

TEST(Ping, ErrorsAreTold) {
  for (const bool v4 : kBoth) {
    Ping host(v4);
    Bytes request = Request(v4, 20);
    Put16(request, 4, kIdentifier);
    const Bytes quote = v4 ? Ipv4({.protocol = 1, .source = kHostIp, .destination = kPeerIp}, request)
                           : Ipv6({.protocol = 58, .source = kHostIp6, .destination = kPeerIp6}, request);
    const auto error = [&] {
      if (!v4) {
        const Icmp6Spec spec{.type = 1, .code = 4};
        return host.Take(Ethernet({.type = 0x86dd}, Ipv6({.protocol = 58}, Icmp6(spec, quote))));
      }
      Bytes icmp = IcmpEcho(3, 0, 0, quote);
      icmp[1] = std::byte{3};
      Put16(icmp, 2, 0);
      Put16(icmp, 2, static_cast<uint16_t>(~NaiveSum(icmp)));
      return host.Take(Ethernet({}, Ipv4({.protocol = 1}, icmp)));
    };
    EXPECT_EQ("kIcmpIgnored", error());
    host.socket().connected_ping = true;
    EXPECT_EQ("kConsumed", error());
    EXPECT_EQ(ECONNREFUSED, std::exchange(host.socket().receive_queue.error, 0));
    host.socket().connected_ping = false;
    host.socket().recverr = true;
    EXPECT_EQ("kConsumed", error());
    EXPECT_EQ(ECONNREFUSED, std::exchange(host.socket().receive_queue.error, 0));
  }
}

}  // namespace
}  // namespace weir::testing_support
