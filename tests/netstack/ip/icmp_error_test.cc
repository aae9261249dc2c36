// ICMP errors received: RFC 792, RFC 1122 §3.2.2 and §4.2.3.9, RFC 4443 §3, RFC 5927; errnos as Linux has them.
#include "netstack/ip/icmp_error.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "netstack/ip/ip_output.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/netstack/ip/fragment_host.h"
#include "tests/support/mutate.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;

constexpr bool kBoth[] = {true, false};
constexpr uint16_t kOurPort = 7, kPeerPort = 4000;

// An error message about `quote`, a packet that the host sent.
Bytes Error(bool v4, uint8_t type, uint8_t code, View quote, uint32_t word = 0) {
  if (!v4) {
    const Icmp6Spec spec{.type = type, .code = code, .word = word};
    return Ethernet({.type = 0x86dd}, Ipv6({.protocol = 58}, Icmp6(spec, quote)));
  }
  Bytes icmp = IcmpEcho(type, static_cast<uint16_t>(word >> 16), static_cast<uint16_t>(word), quote);
  icmp[1] = std::byte{code};
  Put16(icmp, 2, 0);
  Put16(icmp, 2, static_cast<uint16_t>(~NaiveSum(icmp)));
  return Ethernet({}, Ipv4({.protocol = 1}, icmp));
}

Bytes OurUdp(bool v4, size_t n, uint16_t from = kOurPort, uint16_t to = kPeerPort) {
  if (v4) return Ipv4({.source = kHostIp, .destination = kPeerIp}, Udp(from, to, Filler(n), {kHostIp, kPeerIp}));
  return Ipv6({.source = kHostIp6, .destination = kPeerIp6}, Udp6(from, to, Filler(n), kHostIp6, kPeerIp6));
}

class ConnectedUdp : public FragmentHost {
 public:
  explicit ConnectedUdp(bool v4) {
    sock().remote = {v4 ? IpAddress::V4(kPeerIp) : IpAddress::Parse(kPeerIp6).value(), kPeerPort};
  }
  int TakeError() { return std::exchange(sock().receive_queue.error, 0); }
};

TEST(IcmpErrors, Errnos) {
  struct {
    bool v4;
    uint8_t type, code;
    int error;  // what a connected UDP socket is told; 0: nothing
  } const cases[] = {
      {true, 3, 0, 0},              {true, 3, 1, 0},
      {true, 3, 2, ENOPROTOOPT},    {true, 3, 3, ECONNREFUSED},
      {true, 3, 5, 0},              {true, 3, 6, ENETUNREACH},
      {true, 3, 7, EHOSTDOWN},      {true, 3, 8, ENONET},
      {true, 3, 9, ENETUNREACH},    {true, 3, 10, EHOSTUNREACH},
      {true, 3, 11, 0},             {true, 3, 12, 0},
      {true, 3, 13, EHOSTUNREACH},  {true, 3, 14, EHOSTUNREACH},
      {true, 3, 15, EHOSTUNREACH},  {true, 3, 16, 0},
      {true, 3, 255, 0},            {true, 4, 0, 0},
      {true, 5, 1, 0},              {true, 11, 0, 0},
      {true, 11, 1, 0},             {true, 12, 0, EPROTO},
      {false, 1, 0, 0},             {false, 1, 1, EACCES},
      {false, 1, 2, 0},             {false, 1, 3, 0},
      {false, 1, 4, ECONNREFUSED},  {false, 1, 5, EACCES},
      {false, 1, 6, EACCES},        {false, 1, 7, 0},
      {false, 3, 0, 0},             {false, 3, 1, 0},
      {false, 4, 0, EPROTO},        {false, 4, 1, EPROTO},
      {false, 4, 2, EPROTO},        {false, 5, 0, 0},
      {false, 127, 0, 0},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(absl::StrCat(c.v4 ? "IPv4 " : "IPv6 ", c.type, "/", c.code));
    ConnectedUdp host(c.v4);
    (void)host.Take(Error(c.v4, c.type, c.code, OurUdp(c.v4, 20)));
    EXPECT_EQ(c.error, host.TakeError());
  }
}

// Only a socket that sent the quoted packet, and is connected, hears of it (RFC 5927 §4).
TEST(IcmpErrors, WhoIsTold) {
  for (const bool v4 : kBoth) {
    const auto refused = [&](View quote) { return Error(v4, v4 ? 3 : 1, v4 ? 3 : 4, quote); };
    ConnectedUdp host(v4);
    EXPECT_EQ("kIcmpNoSocket", host.Take(refused(OurUdp(v4, 20, kOurPort + 1))));
    EXPECT_EQ("kIcmpNoSocket", host.Take(refused(OurUdp(v4, 20, kOurPort, kPeerPort + 1))));
    // Not from us.
    const Bytes theirs = v4 ? Ipv4({}, Udp(kOurPort, kPeerPort, Filler(20)))
                            : Ipv6({}, Udp6(kOurPort, kPeerPort, Filler(20)));
    EXPECT_EQ("kIcmpQuote", host.Take(refused(theirs)));
    EXPECT_EQ(0, host.TakeError());
    EXPECT_EQ("kConsumed", host.Take(refused(OurUdp(v4, 20))));
    EXPECT_EQ(ECONNREFUSED, host.TakeError());
    host.sock().remote = {};
    EXPECT_EQ("kIcmpIgnored", host.Take(refused(OurUdp(v4, 20))));
    EXPECT_EQ(0, host.TakeError());
    EXPECT_FALSE(host.has_sent());  // never an error about an error
  }
}

// IP_RECVERR: of whatever there is, connected or not.
TEST(IcmpErrors, WhoAskedForAll) {
  for (const bool v4 : kBoth) {
    ConnectedUdp host(v4);
    const Bytes unreachable = Error(v4, v4 ? 3 : 1, v4 ? 1 : 3, OurUdp(v4, 20));
    EXPECT_EQ("kIcmpIgnored", host.Take(unreachable));
    host.sock().recverr = true;
    EXPECT_EQ("kConsumed", host.Take(unreachable));
    EXPECT_EQ(EHOSTUNREACH, host.TakeError());
    host.sock().remote = {};
    EXPECT_EQ("kConsumed", host.Take(unreachable));
    EXPECT_EQ(EHOSTUNREACH, host.TakeError());
  }
}

// RFC 792: 8 bytes behind the header are enough, and nothing less is.
TEST(IcmpErrors, ShortQuotes) {
  for (const bool v4 : kBoth) {
    const Bytes quote = OurUdp(v4, 20);
    ConnectedUdp host(v4);
    for (size_t n = 0; n <= quote.size(); ++n) {
      const std::string reason = host.Take(Error(v4, v4 ? 3 : 1, v4 ? 3 : 4, View(quote).first(n)));
      EXPECT_EQ(n < (v4 ? 28u : 48u) ? "kIcmpQuote" : "kConsumed", reason) << n;
    }
  }
}

TEST(IcmpErrors, QuotesOfOtherKinds) {
  const Bytes options(4, std::byte{1});
  const Bytes udp = Udp(kOurPort, kPeerPort, Filler(20), {kHostIp, kPeerIp});
  struct {
    const char* name;
    Bytes quote;
    const char* reason;
  } const cases[] = {
      {"with options", Ipv4({.source = kHostIp, .destination = kPeerIp, .options = options}, udp), "kConsumed"},
      {"the first fragment", Ipv4({.source = kHostIp, .destination = kPeerIp, .fragment = 0x2000}, udp), "kConsumed"},
      {"another fragment", Ipv4({.source = kHostIp, .destination = kPeerIp, .fragment = 0x2001}, udp), "kIcmpQuote"},
      {"version 6", Ipv4({.source = kHostIp, .destination = kPeerIp, .version = 6}, udp), "kIcmpQuote"},
      {"no header length", Ipv4({.source = kHostIp, .destination = kPeerIp, .header_words = 4}, udp), "kIcmpQuote"},
      {"too long a header", Ipv4({.source = kHostIp, .destination = kPeerIp, .header_words = 15}, View(udp).first(20)),
       "kIcmpQuote"},
      {"ICMP", Ipv4({.protocol = 1, .source = kHostIp, .destination = kPeerIp}, udp), "kIcmpNoSocket"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    ConnectedUdp host(/*v4=*/true);
    EXPECT_EQ(c.reason, host.Take(Error(true, 3, 3, c.quote)));
  }
  const Bytes udp6 = Udp6(kOurPort, kPeerPort, Filler(20), kHostIp6, kPeerIp6);
  Bytes first{{}, {}, std::byte{1}, {}, {}, {}, std::byte{9}}, later{{}, {}, std::byte{9}, {}, {}, {}, std::byte{9}};
  struct {
    const char* name;
    std::vector<Extension6> extensions;
    const char* reason;
  } const cases6[] = {
      {"destination options", {{60, Bytes{{}, std::byte{1}, std::byte{4}, {}, {}, {}, {}}}}, "kConsumed"},
      {"the first fragment", {{44, first}}, "kConsumed"},
      {"another fragment", {{44, later}}, "kIcmpQuote"},
  };
  for (const auto& c : cases6) {
    SCOPED_TRACE(c.name);
    ConnectedUdp host(/*v4=*/false);
    EXPECT_EQ(c.reason, host.Take(Error(false, 1, 4, Ipv6({.source = kHostIp6, .destination = kPeerIp6,
                                                           .extensions = c.extensions}, udp6))));
  }
}

TEST(IcmpErrors, Mutations) {
  testing::Random random;
  for (const bool v4 : kBoth) {
    ConnectedUdp host(v4);
    ForEachMutation(OurUdp(v4, 20), 20000, random, [&](const Bytes& quote) {
      const auto type = static_cast<uint8_t>(random.Below(14)), code = static_cast<uint8_t>(random.Below(16));
      (void)host.Take(Error(v4, type, code, quote, static_cast<uint32_t>(random.Below(2000))));
      while (host.has_sent()) host.TakeSent();
    });
  }
}

// ---- TCP

constexpr uint32_t kMss = 1460;

// An error about the host's segment at `offset` of its stream, 0 being its SYN.
Bytes TcpError(TcpTrace& t, uint8_t type, uint8_t code, uint32_t offset, uint32_t word = 0, size_t n = kMss,
               uint16_t from = 80) {
  const Bytes segment = Tcp({.source_port = from, .destination_port = 40000, .seq = t.iss() + offset}, Filler(n),
                            {kHostIp, kPeerIp});
  // As a router of RFC 792 does it: no more than 8 bytes.
  const Bytes packet = Ipv4({.protocol = 6, .source = kHostIp, .destination = kPeerIp, .fragment = 0x4000}, segment);
  return Error(true, type, code, View(packet).first(28), word);
}

std::string Take(TcpTrace& t, const Bytes& frame) {
  t.host().Receive(frame);
  return netstack::kDropReasonNames[static_cast<size_t>(t.last())];
}

// RFC 5927 §4.1: only what is under way.
// RFC 792, RFC 1122 §3.2.2.2; RFC 4861 §8: redirects change nothing, not even in the router's name and about a packet
// that was sent, but each is counted.
TEST(IcmpErrors, RedirectsAreIgnored) {
  for (const bool v4 : kBoth) {
    ConnectedUdp host(v4);
    const IpAddress to = host.sock().remote.ip;
    const netstack::NextHop before = netstack::RouteLookup(host.inet().ip, to);
    const size_t routes = host.inet().ip.routes.routes().size();
    const DropReason reason = v4 ? DropReason::kIcmpRedirect : DropReason::kNdpRedirect;
    for (uint8_t code = 0; code < (v4 ? 4 : 1); ++code) {
      Bytes frame = Error(true, 5, code, OurUdp(true, 20), kPeerIp + 1);
      if (!v4) {
        Bytes targets;  // RFC 4861 §4.5: the better hop, and whom it is for
        for (const char* ip : {"fe80::9", kPeerIp6}) {
          Append(targets, testing_support::Address(IpAddress::Parse(ip)->bytes()));
        }
        const std::string router = "fe80::2";
        frame = Ethernet({.type = 0x86dd}, Ipv6({.protocol = 58, .source = router, .hop_limit = 255},
                                                Icmp6({.type = 137, .source = router}, targets)));
      }
      host.Receive(frame);
      EXPECT_EQ(reason, host.last()) << int{code};
    }
    EXPECT_EQ(v4 ? 4u : 1u, host.counted(reason));
    EXPECT_EQ(before.ip, RouteLookup(host.inet().ip, to).ip);
    EXPECT_EQ(routes, host.inet().ip.routes.routes().size());
    EXPECT_EQ(0, host.TakeError());
    EXPECT_FALSE(host.has_sent());
  }
}

TEST(TcpErrors, SequenceNumber) {
  TcpTrace t;
  t.Establish();
  t.Send(2 * kMss);
  t.Out(0, "A 1:1461 ack 1");
  t.Out(0, "PA 1461:2921 ack 1");
  EXPECT_EQ("kIcmpNoSocket", Take(t, TcpError(t, 3, 1, 0)));
  EXPECT_EQ("kIcmpNoSocket", Take(t, TcpError(t, 3, 1, 1 + 2 * kMss)));
  EXPECT_EQ("kIcmpNoSocket", Take(t, TcpError(t, 3, 1, 1u << 31)));
  EXPECT_EQ("kIcmpNoSocket", Take(t, TcpError(t, 3, 1, 1, 0, kMss, /*from=*/81)));
  EXPECT_EQ(0, t.sock().soft_error);
  EXPECT_EQ("kConsumed", Take(t, TcpError(t, 3, 1, 1)));
  EXPECT_EQ(EHOSTUNREACH, t.sock().soft_error);
  EXPECT_EQ("kConsumed", Take(t, TcpError(t, 3, 0, 2 * kMss)));
  EXPECT_EQ(ENETUNREACH, t.sock().soft_error);
  // RFC 6633 §3: source quench is ignored.
  EXPECT_EQ("kIcmpType", Take(t, TcpError(t, 4, 0, 1)));
  // The peer answers: it was nothing.
  t.In(1, "A 1:1 ack 2921 win 65535");
  EXPECT_EQ(0, t.sock().soft_error);
}

// RFC 5927 §5.2: no error ends a connection that is there, hard or not; it only says why when the peer stays silent.
TEST(TcpErrors, AreSoftOnceEstablished) {
  TcpTrace t;
  t.Establish();
  t.Send(100);
  t.Out(0, "PA 1:101 ack 1");
  EXPECT_EQ("kConsumed", Take(t, TcpError(t, 3, 3, 1)));
  EXPECT_EQ(netstack::TcpState::kEstablished, t.sock().state);
  t.Drain(925000);
  EXPECT_EQ(ECONNREFUSED, t.sock().error);
  t.Close();
}

// IP_RECVERR: the program is told at once, and the connection goes on.
TEST(TcpErrors, AreToldToWhoAsked) {
  TcpTrace t;
  t.Establish();
  t.sock().recverr = true;
  t.Send(100);
  t.Out(0, "PA 1:101 ack 1");
  EXPECT_EQ("kConsumed", Take(t, TcpError(t, 3, 1, 1)));
  EXPECT_EQ(EHOSTUNREACH, std::exchange(t.sock().error, uint8_t{0}));
  EXPECT_EQ(netstack::TcpState::kEstablished, t.sock().state);
  t.In(1, "A 1:1 ack 101 win 65535");
  t.Send(100);
  t.Out(1, "PA 101:201 ack 1");
}

// RFC 5461 §4.1: soft errors end the attempt too.
TEST(TcpErrors, WhileConnecting) {
  struct {
    uint8_t type, code;
    int error;
  } const cases[] = {{3, 0, ENETUNREACH},    {3, 1, EHOSTUNREACH}, {3, 2, ENOPROTOOPT},   {3, 3, ECONNREFUSED},
                     {3, 5, EOPNOTSUPP}, {3, 13, EHOSTUNREACH}, {11, 0, EHOSTUNREACH}, {12, 0, EPROTO}};
  for (const auto& c : cases) {
    SCOPED_TRACE(absl::StrCat(c.type, "/", c.code));
    TcpTrace t;
    t.Connect(40000);
    t.Out(0, "S 0:0 win 65535 <mss 1460, sackOK, ts, wscale 7>");
    const uint16_t port = t.sock().local.port;
    EXPECT_EQ("kIcmpNoSocket", Take(t, TcpError(t, c.type, c.code, 1, 0, 0, port)));
    EXPECT_EQ("kConsumed", Take(t, TcpError(t, c.type, c.code, 0, 0, 0, port)));
    EXPECT_EQ(c.error, t.sock().error);
    EXPECT_EQ(netstack::TcpState::kClosed, t.sock().state);
    t.Close();
  }
}

}  // namespace
}  // namespace weir::testing_support
