// Fragments that are malformed, or nearly so: RFC 791 §3.2, RFC 8200 §4.5.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/netstack/ip/fragment_host.h"

namespace weir::testing_support {
namespace {

constexpr bool kBoth[] = {true, false};

TEST(Reassembly, Malformed) {
  for (const bool v4 : kBoth) {
    struct {
      const char* name;
      size_t offset, length;
      bool more;
      const char* icmp6;  // what an IPv6 source is told (RFC 8200 §4.5): code and pointer
      bool v4_too = true;
    } const cases[] = {
        {"no bytes, first", 0, 0, true, nullptr},
        {"no bytes, middle", 800, 0, true, nullptr},
        {"no bytes, last", 800, 0, false, nullptr},
        {"fewer than eight bytes, middle", 800, 7, true, "0/4"},
        {"odd length, first", 0, 1001, true, "0/4", false},
        {"odd length, middle", 800, 12, true, "0/4", false},
        {"ping of death", 65528, 64, false, "0/42"},
        {"ping of death by one byte", 65528, 8, false, "0/42"},
        {"beyond, with more to come", 65528, 8, true, "0/42"},
    };
    for (const auto& c : cases) {
      if (v4 && !c.v4_too) continue;
      SCOPED_TRACE(absl::StrCat(v4 ? "IPv4, " : "IPv6, ", c.name));
      FragmentHost host;
      const Bytes frame = Fragment({.v4 = v4, .offset = c.offset, .more = c.more}, Filler(c.length));
      const std::string reason = host.Take(frame);
      // The first of IPv6 without bytes lacks its headers (RFC 7112 §5).
      EXPECT_EQ("kIpFragmentMalformed", reason);
      EXPECT_EQ(0u, host.reassembly().datagrams());
      if (!v4 && c.icmp6 != nullptr) {
        const Bytes error = host.TakeSent().frame;
        EXPECT_EQ("icmp6 4/0 fd00::1 > fd00::2 hop 64: " + std::to_string(frame.size() - 14) + " bytes",
                  Describe6(error));
        EXPECT_EQ(c.icmp6, absl::StrCat(std::to_integer<int>(error[55]), "/", Get32(error, 58)));
      } else if (!v4 && c.length == 0 && c.offset == 0) {
        EXPECT_EQ("icmp6 4/3 fd00::1 > fd00::2 hop 64: 48 bytes", Describe6(host.TakeSent().frame));
      }
      EXPECT_EQ("", host.Sent());
    }
  }
}

// Of IPv4 what does not fill the last eight bytes is cut off, as by ip_frag_queue; the next begins there.
TEST(Reassembly, OddLengths) {
  FragmentHost host;
  const Bytes packet = Datagram(true, Filler(1600));
  EXPECT_EQ("kConsumed", host.Take(Fragment({.more = true}, View(packet).first(807))));
  EXPECT_EQ("kConsumed", host.Take(Fragment({.offset = 1200}, View(packet).subspan(1200))));
  EXPECT_EQ("kConsumed", host.Take(Fragment({.offset = 800, .more = true}, View(packet).subspan(800, 401))));
  EXPECT_EQ(Filler(1600), host.TakeDatagram());
}

// What ends the datagram that it belongs to (ip_frag_queue, ip6_frag_queue), and what is as if it had not come, because
// RFC 8200 §4.5 speaks of the fragment alone.
TEST(Reassembly, MalformedEndsTheDatagram) {
  struct {
    const char* name;
    bool v4;
    size_t offset, length;
    bool more, ends;
  } const cases[] = {
      {"IPv4, no bytes", true, 1600, 0, true, true},
      {"IPv4, fewer than eight", true, 1600, 5, true, true},
      {"IPv4, ping of death", true, 65528, 64, false, true},
      {"IPv6, no bytes", false, 1600, 0, true, true},
      {"IPv6, odd length", false, 1600, 5, true, false},
      {"IPv6, ping of death", false, 65528, 64, false, false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    FragmentHost host;
    const Bytes packet = Datagram(c.v4, Filler(1600));
    const std::vector<Bytes> frames = Cut({.v4 = c.v4}, packet, 800);
    EXPECT_EQ("kConsumed", host.Take(frames[0]));
    EXPECT_EQ("kIpFragmentMalformed",
              host.Take(Fragment({.v4 = c.v4, .offset = c.offset, .more = c.more}, Filler(c.length))));
    while (host.has_sent()) host.TakeSent();
    EXPECT_EQ(c.ends ? 0u : 1u, host.reassembly().datagrams());
    EXPECT_EQ(c.ends ? 0u : 1u, host.reassembly().frames_held());
    EXPECT_EQ("kConsumed", host.Take(frames[1]));
    EXPECT_EQ("kConsumed", host.Take(frames[2]));
    EXPECT_EQ(c.ends ? Bytes() : Filler(1600), host.TakeDatagram());
    if (!c.ends) continue;
    EXPECT_EQ("kConsumed", host.Take(frames[0])) << "another of the same identification";
    EXPECT_EQ(Filler(1600), host.TakeDatagram());
  }
}

// The last byte that there may be: 65,535 of them.
TEST(Reassembly, LargestPacket) {
  FragmentHost host;
  for (const Bytes& frame : Cut({.v4 = true, .protocol = 99}, Filler(65515), 1480)) (void)host.Take(frame);
  EXPECT_STREQ("kIpProtocol", netstack::kDropReasonNames[static_cast<size_t>(host.last())]);
  for (const Bytes& frame : Cut({.v4 = false, .protocol = 99}, Filler(65535), 1448)) (void)host.Take(frame);
  EXPECT_STREQ("kIpProtocol", netstack::kDropReasonNames[static_cast<size_t>(host.last())]);
}

TEST(Reassembly, EveryTruncation) {
  for (const bool v4 : kBoth) {
    FragmentHost host;
    const Bytes frame = Fragment({.v4 = v4, .offset = 80, .more = true}, Filler(16));
    for (size_t length = 14; length < frame.size(); ++length) {
      EXPECT_EQ("kIpTruncated", host.Take(Bytes(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(length))));
      // The same with the length field as short.
      Bytes cut(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(length));
      if (length < (v4 ? 34u : 54u)) continue;
      Put16(cut, v4 ? 16 : 18, static_cast<uint16_t>(length - (v4 ? 14 : 54)));
      if (v4) Put16(cut, 24, 0);
      if (v4) Put16(cut, 24, static_cast<uint16_t>(~NaiveSum(View(cut).subspan(14, 20))));
      const std::string reason = host.Take(cut);
      EXPECT_TRUE(reason == "kIpFragmentMalformed" || reason == "kConsumed" || reason == "kIpTruncated" ||
                  reason == "kIpFragmentDuplicate" || reason == "kIpFragmentOverlap")
          << reason;
    }
    while (host.has_sent()) host.TakeSent();
  }
}

}  // namespace
}  // namespace weir::testing_support
