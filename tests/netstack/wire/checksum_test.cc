// The Internet checksum against RFC 1071's example and against a sum made word by word.
#include "netstack/wire/checksum.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"
#include "tests/support/random.h"

namespace weir::testing_support {
namespace {

using netstack::ChecksumOk;
using netstack::FinishChecksum;
using netstack::FoldSum;
using netstack::LoadChecksum;
using netstack::PseudoHeaderSum;
using netstack::SumBytes;

// The folded sum as a big-endian number, as RFC 1071 writes it.
uint16_t Folded(uint64_t sum) { return __builtin_bswap16(FoldSum(sum)); }

TEST(Checksum, TheExampleOfRfc1071) {  // RFC 1071 §3
  const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(0xddf2, Folded(SumBytes(std::as_bytes(std::span(bytes)))));
}

TEST(Checksum, Edges) {
  EXPECT_EQ(0, FoldSum(SumBytes({})));
  const std::byte one[] = {std::byte{0xab}};
  EXPECT_EQ(0xab00, Folded(SumBytes(one)));  // an odd byte is padded on its right
  const Bytes ones(65535, std::byte{0xff});
  EXPECT_EQ(NaiveSum(ones), Folded(SumBytes(ones)));
  EXPECT_EQ(0xffff, FoldSum(0xffff));
  EXPECT_EQ(0xffff, FoldSum(~uint64_t{0}));
  EXPECT_EQ(1, FoldSum(uint64_t{1} << 48));
  EXPECT_EQ(0, FinishChecksum(0xffff));
}

TEST(Checksum, AnyLengthAndAlignment) {
  testing::Random random;
  Bytes memory(2200);
  for (std::byte& byte : memory) byte = std::byte(random.Below(256));
  for (size_t length = 0; length < 200; ++length) {
    for (size_t at = 0; at < 32; ++at) {
      const View bytes = View(memory).subspan(at, length);
      ASSERT_EQ(NaiveSum(bytes), Folded(SumBytes(bytes))) << length << " at " << at;
    }
  }
  for (int i = 0; i < 5000; ++i) {
    const size_t at = random.Below(64), length = random.Below(2100);
    const View bytes = View(memory).subspan(at, length);
    ASSERT_EQ(NaiveSum(bytes), Folded(SumBytes(bytes))) << length << " at " << at;
  }
}

TEST(Checksum, PiecesAtEvenOffsetsAdd) {
  const Bytes bytes = Filler(1501);
  const View view(bytes);
  for (size_t cut = 0; cut <= bytes.size(); cut += 2) {
    ASSERT_EQ(FoldSum(SumBytes(view)), FoldSum(SumBytes(view.first(cut)) + SumBytes(view.subspan(cut))));
  }
}

TEST(Checksum, PseudoHeaders) {
  const IpAddress a = IpAddress::V4(0x0a000001), b = IpAddress::V4(0xc0a80102);
  Bytes header;
  Append32(header, 0x0a000001);
  Append32(header, 0xc0a80102);
  Append16(header, 17);
  Append16(header, 1234);
  EXPECT_EQ(NaiveSum(header), Folded(PseudoHeaderSum(a, b, 17, 1234)));

  // RFC 8200 §8.1: both addresses, a 32-bit length, three zero bytes, next header.
  const IpAddress c = IpAddress::Parse("fe80::1").value(), d = IpAddress::Parse("2001:db8::ff").value();
  Bytes header6;
  for (const std::array<uint8_t, 16>& address : {c.bytes(), d.bytes()}) Append(header6, std::as_bytes(std::span(address)));
  Append32(header6, 70000);
  Append32(header6, 6);
  EXPECT_EQ(NaiveSum(header6), Folded(PseudoHeaderSum(c, d, 6, 70000)));
}

// DESIGN §6: peers behind veth, tap or virtio leave just the pseudo-header's sum. Exactly that is accepted, and only
// where the device says so.
TEST(Checksum, PartialOnes) {
  const IpAddress peer = IpAddress::V4(kPeerIp), host = IpAddress::V4(kHostIp);
  for (size_t length : {0, 1, 2, 7, 100, 1452}) {
    Bytes segment = Tcp({.seq = 5, .flags = 0x10}, Filler(length));
    const auto pseudo = PseudoHeaderSum(peer, host, 6, static_cast<uint32_t>(segment.size()));
    for (bool partial_ok : {false, true}) EXPECT_TRUE(ChecksumOk(segment, 16, pseudo, partial_ok));
    netstack::StoreChecksum(segment.data() + 16, FoldSum(pseudo));
    EXPECT_TRUE(ChecksumOk(segment, 16, pseudo, true));
    EXPECT_FALSE(ChecksumOk(segment, 16, pseudo, false));
    for (int bit = 0; bit < 16; ++bit) {
      Bytes wrong = segment;
      wrong[16 + bit / 8] ^= std::byte(1 << bit % 8);
      EXPECT_FALSE(ChecksumOk(wrong, 16, pseudo, true)) << bit;
    }
  }
}

// What a sender left to a device is finished in place; a checksum that is there is not touched.
TEST(Checksum, PartialOnesAreCompleted) {
  const IpAddress peer = IpAddress::V4(kPeerIp), host = IpAddress::V4(kHostIp);
  for (size_t length : {0, 1, 2, 7, 100, 1452}) {
    const Bytes right = Tcp({.seq = 5, .flags = 0x10}, Filler(length));
    const auto pseudo = PseudoHeaderSum(peer, host, 6, static_cast<uint32_t>(right.size()));
    Bytes segment = right;
    netstack::StoreChecksum(segment.data() + 16, FoldSum(pseudo));
    netstack::CompletePartialChecksum(segment, 16, pseudo);
    EXPECT_EQ(right, segment) << length;
    netstack::CompletePartialChecksum(segment, 16, pseudo);
    EXPECT_EQ(right, segment) << length;
    Bytes wrong = right;
    wrong[17] ^= std::byte{1};
    const Bytes before = wrong;
    netstack::CompletePartialChecksum(wrong, 16, pseudo);
    EXPECT_EQ(before, wrong) << "a wrong checksum stays wrong, for the receiver to see";
  }
}

// Any single wrong bit is seen.
TEST(Checksum, EveryBitCounts) {
  const Bytes good = Tcp({.flags = 0x10}, Filler(33));
  const auto pseudo = PseudoHeaderSum(IpAddress::V4(kPeerIp), IpAddress::V4(kHostIp), 6,
                                      static_cast<uint32_t>(good.size()));
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes wrong = good;
    wrong[bit / 8] ^= std::byte(1 << bit % 8);
    ASSERT_FALSE(ChecksumOk(wrong, 16, pseudo, false)) << bit;
  }
}

}  // namespace
}  // namespace weir::testing_support
