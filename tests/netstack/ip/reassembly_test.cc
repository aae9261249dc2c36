// Reassembly of both versions: RFC 791 §3.2, RFC 8200 §4.5, RFC 5722, RFC 6946, RFC 7112.
#include "netstack/ip/reassembly.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/netstack/ip/fragment_host.h"
#include "tests/support/random.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::Reassembly;

constexpr bool kBoth[] = {true, false};

TEST(Reassembly, Sizes) {
  for (const bool v4 : kBoth) {
    for (const size_t payload : {1473, 2952, 2953, 8192, 40000, 65507}) {
      SCOPED_TRACE(absl::StrCat(v4 ? "IPv4 " : "IPv6 ", payload));
      FragmentHost host;
      const std::vector<Bytes> frames = Cut({.v4 = v4}, Datagram(v4, Filler(payload)), v4 ? 1480 : 1448);
      for (const Bytes& frame : frames) {
        EXPECT_FALSE(host.has_datagram());
        EXPECT_EQ("kConsumed", host.Take(frame));
      }
      EXPECT_EQ(Filler(payload), host.TakeDatagram());
      EXPECT_EQ(0u, host.reassembly().datagrams());
      EXPECT_EQ(0u, host.reassembly().frames_held());
      EXPECT_EQ(host.pool().size(), host.pool().free_count());
    }
  }
}

// Many more fragments than frames: those that follow one another share frames, from either end.
TEST(Reassembly, TinyFragments) {
  for (const bool v4 : kBoth) {
    for (const bool backwards : kBoth) {
      FragmentHost host;
      std::vector<Bytes> frames = Cut({.v4 = v4}, Datagram(v4, Filler(12000)), 8);
      if (backwards) std::ranges::reverse(frames);
      for (const Bytes& frame : frames) ASSERT_EQ("kConsumed", host.Take(frame));
      EXPECT_EQ(Filler(12000), host.TakeDatagram());
    }
  }
}

// The largest datagram by paths of all widths, of which some make more fragments than a packet has frames, each of them
// more than half a frame.
TEST(Reassembly, AllPathMtus) {
  for (const size_t size : {528, 824, 936, 944, 952, 984, 1016, 1024, 1232, 1480}) {
    const Bytes packet = Datagram(true, Filler(65507));
    const std::vector<Bytes> in_order = Cut({}, packet, size);
    std::vector<Bytes> backwards(in_order.rbegin(), in_order.rend()), even_first;
    for (size_t i = 0; i < in_order.size(); i += 2) even_first.push_back(in_order[i]);
    for (size_t i = 1; i < in_order.size(); i += 2) even_first.push_back(in_order[i]);
    for (const auto& [name, frames] : {std::pair("in order", &in_order), {"backwards", &backwards},
                                       {"every other first", &even_first}}) {
      SCOPED_TRACE(absl::StrCat(size, " bytes, ", name));
      FragmentHost host;
      for (const Bytes& frame : *frames) ASSERT_EQ("kConsumed", host.Take(frame));
      EXPECT_EQ(Filler(65507), host.TakeDatagram());
      EXPECT_EQ(0u, host.reassembly().frames_held());
    }
  }
}

// Holes cannot be shared: a sender that leaves too many gets nowhere, and holds no more than it may.
TEST(Reassembly, TooManyHoles) {
  FragmentHost host({.frames = 4096});
  const Bytes packet = Datagram(true, Filler(4000));
  for (size_t i = 0; i < 64; ++i) {
    ASSERT_EQ("kConsumed", host.Take(Fragment({.offset = 16 * i, .more = true}, View(packet).subspan(16 * i, 8))));
  }
  EXPECT_EQ(64u, host.reassembly().frames_held());
  EXPECT_EQ("kIpReassemblyFull", host.Take(Fragment({.offset = 2048, .more = true}, View(packet).subspan(2048, 8))));
  EXPECT_EQ(0u, host.reassembly().frames_held());
  EXPECT_EQ("kIpFragmentOverlap", host.Take(Fragment({.offset = 8, .more = true}, View(packet).subspan(8, 8))));
}

TEST(Reassembly, AnyOrderWithDuplicates) {
  testing::Random random;
  for (int round = 0; round < 400; ++round) {
    const bool v4 = random.OneIn(2);
    FragmentHost host;
    const size_t size = 8 * (1 + random.Below(181));
    const Bytes payload = Filler(random.Below(std::min<size_t>(60 * size, 65508)));
    std::vector<Bytes> frames = Cut({.v4 = v4, .id = static_cast<uint32_t>(round)}, Datagram(v4, payload), size);
    if (frames.size() == 1) continue;
    std::vector<size_t> order(frames.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const std::vector<size_t> once = order;
    for (const size_t i : once) {
      if (random.OneIn(4)) order.push_back(i);
    }
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
    std::vector<bool> there(frames.size());
    size_t missing = frames.size();
    for (const size_t i : order) {
      if (missing == 0) break;  // what is doubled after the end begins anew: another test
      const std::string reason = host.Take(frames[i]);
      ASSERT_EQ(there[i] ? "kIpFragmentDuplicate" : "kConsumed", reason) << "round " << round;
      missing -= !there[i];
      there[i] = true;
      EXPECT_EQ(missing == 0, host.has_datagram());
    }
    ASSERT_EQ(payload, host.TakeDatagram()) << "round " << round;
  }
}

// RFC 5722 §4, RFC 1858 §4 (tiny overlapping), teardrop: whatever the order, nothing is delivered, and nothing is said.
TEST(Reassembly, OverlapsInAllOrders) {
  // There is a hole besides, so that no order is complete before it is wrong.
  struct Part {
    size_t offset, length;
    bool more;
  };
  struct {
    const char* name;
    std::vector<Part> parts;
  } const cases[] = {
      {"the second begins in the first", {{0, 24, true}, {16, 24, true}, {56, 8, false}}},
      {"teardrop: the second lies in the first", {{0, 40, true}, {8, 8, true}, {56, 8, false}}},
      {"the second holds the first", {{8, 8, true}, {0, 40, true}, {56, 8, false}}},
      {"the same place, other bytes", {{0, 24, true}, {0, 24, true}, {40, 8, false}}},
      {"the last begins before the end of others", {{0, 24, true}, {16, 16, false}, {24, 8, true}}},
      {"the last ends before others", {{0, 40, true}, {8, 8, false}, {40, 8, true}}},
      {"two different ends", {{0, 16, true}, {24, 8, false}, {24, 16, false}}},
      {"beyond the end", {{0, 16, true}, {24, 8, false}, {32, 8, true}}},
  };
  for (const bool v4 : kBoth) {
    for (const auto& c : cases) {
      std::vector<size_t> order{0, 1, 2};
      do {
        SCOPED_TRACE(absl::StrCat(c.name, v4 ? ", IPv4, order " : ", IPv6, order ", order[0], order[1], order[2]));
        FragmentHost host;
        bool refused = false;
        for (const size_t i : order) {
          Bytes bytes(c.parts[i].length, std::byte(i));  // so that what overlaps differs
          if (c.parts[i].offset == 0) Put16(bytes, 4, 48);
          const std::string reason =
              host.Take(Fragment({.v4 = v4, .offset = c.parts[i].offset, .more = c.parts[i].more}, bytes));
          EXPECT_TRUE(reason == "kConsumed" || reason == "kIpFragmentOverlap") << reason;
          EXPECT_FALSE(refused && reason == "kConsumed") << "taken after the refusal";
          refused |= reason == "kIpFragmentOverlap";
        }
        EXPECT_TRUE(refused);
        EXPECT_EQ(0u, host.reassembly().frames_held());
        // Those not yet received go too.
        EXPECT_EQ("kIpFragmentOverlap", host.Take(Fragment({.v4 = v4, .offset = 64, .more = true}, Filler(8))));
        host.Advance(61 * kSecond);
        EXPECT_FALSE(host.has_sent());
        EXPECT_EQ(0u, host.reassembly().datagrams());
      } while (std::ranges::next_permutation(order).found);
    }
  }
}

// The same bytes however they are cut are duplicates; one different bit is an overlap.
TEST(Reassembly, Duplicates) {
  for (const bool v4 : kBoth) {
    const Bytes packet = Datagram(v4, Filler(3000));
    const auto part = [&](size_t offset, size_t n) {
      return Fragment({.v4 = v4, .offset = offset, .more = true}, View(packet).subspan(offset, n));
    };
    FragmentHost host;
    EXPECT_EQ("kConsumed", host.Take(part(0, 800)));
    EXPECT_EQ("kConsumed", host.Take(part(800, 1400)));
    EXPECT_EQ("kIpFragmentDuplicate", host.Take(part(0, 800)));
    EXPECT_EQ("kIpFragmentDuplicate", host.Take(part(8, 16)));
    EXPECT_EQ("kIpFragmentDuplicate", host.Take(part(400, 1200)));
    EXPECT_EQ("kConsumed", host.Take(Fragment({.v4 = v4, .offset = 2200}, View(packet).subspan(2200))));
    EXPECT_EQ(Filler(3000), host.TakeDatagram());

    EXPECT_EQ("kConsumed", host.Take(part(0, 800)));
    Bytes other = part(0, 800);
    other.back() ^= std::byte{1};
    EXPECT_EQ("kIpFragmentOverlap", host.Take(other));
  }
}

TEST(Reassembly, Timeout) {
  struct {
    const char* name;
    bool v4;
    size_t offset;
    uint8_t protocol;
    const char* sent;
  } const cases[] = {
      {"IPv4 (RFC 792)", true, 0, 17, "icmp type 11 code 1 10.0.0.1 > 10.0.0.2"},
      {"IPv4, not the first (RFC 1122 §3.3.2)", true, 1400, 17, ""},
      {"IPv4, an ICMP error (RFC 1122 §3.2.2)", true, 0, 1, ""},
      {"IPv6 (RFC 8200 §4.5)", false, 0, 17, "icmp6 3/1 fd00::1 > fd00::2 hop 64: 1232 bytes"},
      {"IPv6, not the first", false, 1400, 17, ""},
      {"IPv6, an ICMP error (RFC 4443 §2.4(e.1))", false, 0, 58, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    FragmentHost host;
    Bytes bytes(1400, std::byte{3});  // of ICMP: an error
    const FragmentSpec spec{.v4 = c.v4, .protocol = c.protocol, .offset = c.offset, .more = true};
    EXPECT_EQ("kConsumed", host.Take(Fragment(spec, bytes)));
    const Nanos timeout = c.v4 ? Reassembly::kTimeout4 : Reassembly::kTimeout6;
    host.Advance(timeout - kMillisecond);
    EXPECT_EQ(1u, host.reassembly().datagrams());
    EXPECT_FALSE(host.has_sent());
    host.Advance(2 * kMillisecond);
    EXPECT_EQ(0u, host.reassembly().datagrams());
    EXPECT_EQ(1u, host.counted(DropReason::kIpReassemblyTimeout));
    ASSERT_EQ(*c.sent != 0, host.has_sent());
    if (*c.sent != 0) EXPECT_EQ(c.sent, c.v4 ? host.Sent() : Describe6(host.TakeSent().frame));
    EXPECT_EQ(host.pool().size(), host.pool().free_count());
  }
}

// What tells datagrams apart: RFC 791 §3.2 (with the protocol), RFC 8200 §4.5 (without).
TEST(Reassembly, Keys) {
  FragmentHost host;
  const Bytes packet = Datagram(true, Filler(1600));
  const auto half = [&](FragmentSpec spec) {
    spec.offset = 800;
    return Fragment(spec, View(packet).subspan(800));
  };
  EXPECT_EQ("kConsumed", host.Take(Fragment({.more = true}, View(packet).first(800))));
  EXPECT_EQ("kConsumed", host.Take(half({.id = 2})));
  EXPECT_EQ("kConsumed", host.Take(half({.protocol = 6})));
  EXPECT_EQ("kConsumed", host.Take(Ethernet({}, Ipv4({.source = 0x0a000003, .id = 1, .fragment = 100},
                                                     View(packet).subspan(800)))));
  EXPECT_EQ(4u, host.reassembly().datagrams());
  EXPECT_FALSE(host.has_datagram());
  EXPECT_EQ("kConsumed", host.Take(half({})));
  EXPECT_EQ(Filler(1600), host.TakeDatagram());

  const Bytes packet6 = Datagram(false, Filler(1600));
  EXPECT_EQ("kConsumed", host.Take(Fragment({.v4 = false, .more = true}, View(packet6).first(800))));
  // Next Header values of later fragments are ignored.
  EXPECT_EQ("kConsumed", host.Take(Fragment({.v4 = false, .protocol = 6, .offset = 800}, View(packet6).subspan(800))));
  EXPECT_EQ(Filler(1600), host.TakeDatagram());
}

// RFC 6946 §4: a packet of one fragment is complete, and nothing that waits under its identification matters.
TEST(Reassembly, AtomicFragments) {
  FragmentHost host;
  const Bytes packet = Datagram(false, Filler(1600));
  EXPECT_EQ("kConsumed", host.Take(Fragment({.v4 = false, .more = true}, View(packet).first(800))));
  EXPECT_EQ("kConsumed", host.Take(Fragment({.v4 = false}, Datagram(false, Filler(77)))));
  EXPECT_EQ(Filler(77), host.TakeDatagram());
  EXPECT_EQ("kConsumed", host.Take(Fragment({.v4 = false, .offset = 800}, View(packet).subspan(800))));
  EXPECT_EQ(Filler(1600), host.TakeDatagram());
}

// RFC 7112 §5: all headers in the first fragment, or it is discarded; the source may be told.
TEST(Reassembly, IncompleteHeaderChain) {
  // Destination options with nothing but PadN, before UDP, in `n` bytes.
  const auto options = [](size_t n) {
    Bytes bytes{std::byte{17}, {}, std::byte{1}, std::byte{4}};
    bytes.resize(n);
    return bytes;
  };
  const struct {
    const char* name;
    uint8_t protocol;
    Bytes bytes;
    bool taken;
  } cases[] = {
      {"8 bytes of UDP", 17, Bytes(8), true},
      {"16 bytes of TCP", 6, Bytes(16), false},
      {"24 bytes of TCP", 6, Bytes(24), true},
      {"8 bytes of ICMPv6", 58, Bytes(8), true},
      {"destination options and nothing", 60, options(8), false},
      {"destination options of 16 bytes, cut at 8", 60, {std::byte{17}, std::byte{1}, {}, {}, {}, {}, {}, {}}, false},
      {"destination options, UDP", 60, options(16), true},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    FragmentHost host;
    const std::string reason = host.Take(Fragment({.v4 = false, .protocol = c.protocol, .more = true}, c.bytes));
    EXPECT_EQ(c.taken ? "kConsumed" : "kIpFragmentMalformed", reason);
    ASSERT_EQ(!c.taken, host.has_sent());
    if (!c.taken) EXPECT_EQ("icmp6 4/3", Describe6(host.TakeSent().frame).substr(0, 9));
  }
}

// Headers behind the Fragment header, and what is wrong with them: pointers are from the beginning of the first
// fragment as it was received, which is what is quoted.
TEST(Reassembly, ExtensionHeadersOfTheWhole) {
  const auto chain = [](uint8_t option) {
    Bytes bytes{std::byte{17}, {}, std::byte{option}, std::byte{4}, {}, {}, {}, {}};
    Append(bytes, Datagram(false, Filler(1500)));
    return bytes;
  };
  FragmentHost host;
  for (const Bytes& frame : Cut({.v4 = false, .protocol = 60}, chain(1), 800)) EXPECT_EQ("kConsumed", host.Take(frame));
  EXPECT_EQ(Filler(1500), host.TakeDatagram());
  const std::vector<Bytes> frames = Cut({.v4 = false, .protocol = 60}, chain(0x80), 800);
  EXPECT_EQ("kConsumed", host.Take(frames[0]));
  EXPECT_EQ("kIpOptions", host.Take(frames[1]));
  const Bytes error = host.TakeSent().frame;
  EXPECT_EQ("icmp6 4/2", Describe6(error).substr(0, 9));
  EXPECT_EQ(48u + 2, Get32(error, 58));
  EXPECT_TRUE(std::equal(frames[0].begin() + 14, frames[0].end(), error.begin() + 62));
}

// RFC 3168 §5.3.
TEST(Reassembly, Ecn) {
  struct {
    uint8_t first, second;
    int whole;  // -1: dropped
  } const cases[] = {{0, 0, 0}, {2, 2, 2}, {2, 3, 3},  {3, 1, 3}, {3, 3, 3},
                     {0, 2, 0}, {2, 0, 2}, {3, 0, -1}, {0, 3, -1}};
  for (const auto& c : cases) {
    FragmentHost host;
    const Bytes echo = IcmpEcho(8, 1, 2, Filler(1600));
    EXPECT_EQ("kConsumed", host.Take(Fragment({.protocol = 1, .more = true, .tos = c.first}, View(echo).first(1000))));
    const std::string reason =
        host.Take(Fragment({.protocol = 1, .offset = 1000, .tos = c.second}, View(echo).subspan(1000)));
    EXPECT_EQ(c.whole < 0 ? "kIpFragmentOverlap" : "kConsumed", reason);
    ASSERT_EQ(c.whole >= 0, host.has_sent());
    if (c.whole >= 0) EXPECT_EQ(c.whole, std::to_integer<int>(host.TakeSent().frame[15]));
    host.Sent();
  }
}

// A TCP segment may come in fragments, too: its frames are taken one after the other, the FIN with the last.
TEST(Reassembly, Tcp) {
  for (const bool v4 : kBoth) {
    for (const size_t size : {24, 800, 1400}) {
      FragmentHost host;
      netstack::TcpListenSock listener;
      ASSERT_EQ(0, TcpListen(host.inet().tcp, listener, {{}, 80}, 4));
      uint32_t id = 0;
      const auto send = [&](const TcpSpec& spec, View payload, bool wrong = false) {
        Bytes segment = v4 ? Tcp(spec, payload) : Tcp6(spec, payload);
        if (wrong) segment.back() ^= std::byte{1};
        for (const Bytes& frame : Cut({.v4 = v4, .id = ++id, .protocol = 6}, segment, size)) (void)host.Take(frame);
        return std::string(netstack::kDropReasonNames[static_cast<size_t>(host.last())]);
      };
      EXPECT_EQ("kConsumed", send({.seq = 100, .flags = 2, .options = Bytes(40, std::byte{1})}, {}));
      const uint32_t iss = Get32(host.TakeSent().frame, v4 ? 38 : 58);
      EXPECT_EQ("kConsumed", send({.seq = 101, .ack = iss + 1, .flags = 16}, {}));
      netstack::TcpSock* sock = TcpAccept(listener);
      ASSERT_NE(nullptr, sock);
      sock->owner = &host;
      EXPECT_EQ("kTcpChecksum", send({.seq = 101, .ack = iss + 1, .flags = 17}, Filler(4000), /*wrong=*/true));
      EXPECT_EQ("kConsumed", send({.seq = 101, .ack = iss + 1, .flags = 17}, Filler(4000)));
      EXPECT_EQ(netstack::TcpState::kCloseWait, sock->state);
      runtime::FrameChain chain;
      TcpRecvmsg(*sock, chain);
      Bytes bytes(chain.size());
      chain.CopyTo(bytes);
      EXPECT_EQ(Filler(4000), bytes);
      // A reset in fragments is one reset.
      EXPECT_EQ("kTcpReset", send({.seq = 4102, .ack = iss + 1, .flags = 20}, Filler(4000)));
      EXPECT_EQ(EPIPE, sock->error);  // in CLOSE-WAIT, as Linux
      TcpClose(*sock, host.now());
      TcpUnlisten(host.inet().tcp, listener, host.now());
      while (host.has_sent()) host.TakeSent();
    }
  }
}

// A flood of first fragments, later ones and whole small datagrams: the table and the frames stay within their bounds,
// the oldest go, others are served all the while, and in the end everything is back.
TEST(Reassembly, Flood) {
  testing::Random random;
  FragmentHost host;
  const uint32_t eighth = host.pool().size() / 8;
  for (uint32_t i = 0; i < 20000; ++i) {
    const bool v4 = random.OneIn(2);
    const size_t offset = 1400 * random.Below(4);
    (void)host.Take(Fragment({.v4 = v4, .id = static_cast<uint32_t>(random.Below(1 << 15)), .offset = offset,
                              .more = !random.OneIn(4)},
                             Filler(1400)));
    ASSERT_GE(Reassembly::kMaxDatagrams, host.reassembly().datagrams());
    ASSERT_GE(eighth, host.reassembly().frames_held());
    ASSERT_LE(host.pool().size() - eighth, host.pool().free_count());
    if (i % 100 == 0) {
      const FragmentSpec other{.v4 = v4, .id = 1 << 15 | i / 100};
      for (const Bytes& frame : Cut(other, Datagram(v4, Filler(4000)), 1400)) (void)host.Take(frame);
      ASSERT_EQ(Filler(4000), host.TakeDatagram());
    }
    while (host.has_sent()) host.TakeSent();
  }
  EXPECT_LT(0u, host.counted(DropReason::kIpReassemblyFull));
  EXPECT_EQ(0u, host.lost_for_frames());
  host.Advance(61 * kSecond);
  EXPECT_EQ(0u, host.reassembly().datagrams());
  EXPECT_EQ(0u, host.reassembly().frames_held());
  host.Sent();
}

// Refused datagrams hold no frames, and the table is bounded all the same.
TEST(Reassembly, FloodOfOverlaps) {
  FragmentHost host;
  for (uint32_t id = 0; id < 1000; ++id) {
    EXPECT_EQ("kConsumed", host.Take(Fragment({.id = id, .more = true}, Filler(800))));
    EXPECT_EQ("kIpFragmentOverlap", host.Take(Fragment({.id = id, .offset = 8, .more = true}, Filler(800))));
  }
  EXPECT_EQ(Reassembly::kMaxDatagrams, host.reassembly().datagrams());
  EXPECT_EQ(0u, host.reassembly().frames_held());
}

// With the pool's reserve in use elsewhere no half datagram is kept.
TEST(Reassembly, NoneOfTheReserve) {
  FragmentHost host({.frames = 128});
  EXPECT_EQ("kConsumed", host.Take(Fragment({.id = 1, .more = true}, Filler(800))));
  std::vector<runtime::Frame*> taken;
  while (host.pool().free_count() > 16) taken.push_back(host.pool().Alloc());
  EXPECT_EQ("kIpReassemblyFull", host.Take(Fragment({.id = 2, .more = true}, Filler(800))));
  EXPECT_EQ(0u, host.reassembly().datagrams());
  for (runtime::Frame* frame : taken) runtime::Unref(frame);
}

}  // namespace
}  // namespace weir::testing_support
