// TCP options on the wire: RFC 7323 §3 and appendix A, RFC 2018 §2 and §3, in the order in which Linux sends them.
#include <gtest/gtest.h>

#include "netstack/wire/tcp.h"
#include "tests/support/packets.h"
#include "tests/support/random.h"

namespace weir::testing_support {
namespace {

using netstack::TcpOptions;
using netstack::TcpSackBlock;

Bytes Hex(std::initializer_list<int> values) {
  Bytes bytes;
  for (int value : values) bytes.push_back(std::byte(value));
  return bytes;
}

Bytes Emit(const TcpOptions& options) {
  Bytes out(TcpOptions::kMaxSize);
  out.resize(options.Emit(out.data()));
  return out;
}

TEST(TcpOptionsWire, OfASyn) {
  TcpOptions options{.has_mss = true,
                     .has_window_scale = true,
                     .sack_permitted = true,
                     .has_timestamps = true,
                     .mss = 1460,
                     .window_scale = 7,
                     .ts_val = 0x01020304,
                     .ts_ecr = 0};
  EXPECT_EQ(Hex({2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}), Emit(options));
  options.has_timestamps = false;
  EXPECT_EQ(Hex({2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7}), Emit(options));
  options.sack_permitted = false;
  options.has_timestamps = true;
  EXPECT_EQ(Hex({2, 4, 5, 0xb4, 1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}), Emit(options));
}

TEST(TcpOptionsWire, OfAnEstablishedConnection) {
  Bytes blocks(32);
  for (uint32_t i = 0; i < 4; ++i) TcpOptions::StoreSackBlock(&blocks[8 * i], {100 * i, 100 * i + 50});
  TcpOptions options{.has_timestamps = true, .ts_val = 1, .ts_ecr = 2};
  EXPECT_EQ(Hex({1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}), Emit(options));
  // RFC 2018 §3: three blocks beside the timestamps, four without.
  options.sack = blocks.data();
  options.sack_blocks = 4;
  Bytes out = Emit(options);
  ASSERT_EQ(40u, out.size());
  EXPECT_EQ(Hex({1, 1, 5, 26}), Bytes(out.begin() + 12, out.begin() + 16));
  options.has_timestamps = false;
  out = Emit(options);
  ASSERT_EQ(36u, out.size());
  EXPECT_EQ(Hex({1, 1, 5, 34, 0, 0, 0, 0, 0, 0, 0, 50, 0, 0, 0, 100}), Bytes(out.begin(), out.begin() + 16));
}

TEST(TcpOptionsWire, WhatIsEmittedIsParsed) {
  testing::Random random;
  for (int i = 0; i < 10000; ++i) {
    Bytes blocks(32);
    for (std::byte& byte : blocks) byte = std::byte(random.Below(256));
    TcpOptions in{.has_mss = random.OneIn(2), .has_window_scale = random.OneIn(2), .sack_permitted = random.OneIn(2),
                  .has_timestamps = random.OneIn(2), .mss = static_cast<uint16_t>(random.Below(65536)),
                  .window_scale = static_cast<uint8_t>(random.Below(15)),
                  .sack_blocks = static_cast<uint8_t>(random.Below(5)), .ts_val = static_cast<uint32_t>(i),
                  .ts_ecr = static_cast<uint32_t>(~i), .sack = blocks.data()};
    const Bytes bytes = Emit(in);
    ASSERT_EQ(0u, bytes.size() % 4);
    TcpOptions out;
    out.Parse(bytes);
    ASSERT_EQ(in.has_mss, out.has_mss);
    ASSERT_EQ(in.has_window_scale, out.has_window_scale);
    ASSERT_EQ(in.sack_permitted, out.sack_permitted);
    ASSERT_EQ(in.has_timestamps, out.has_timestamps);
    if (in.has_mss) ASSERT_EQ(in.mss, out.mss);
    if (in.has_timestamps) ASSERT_EQ(in.ts_val, out.ts_val);
    if (in.has_timestamps) ASSERT_EQ(in.ts_ecr, out.ts_ecr);
    ASSERT_GE(in.sack_blocks, out.sack_blocks);
    for (size_t block = 0; block < out.sack_blocks; ++block) ASSERT_EQ(in.sack_block(block), out.sack_block(block));
  }
}

struct Case {
  const char* name;
  Bytes bytes;
  bool timestamps, permitted;
  int blocks;
};

TEST(TcpOptionsWire, MalformedOnesAreIgnored) {
  const Case cases[] = {
      {"timestamps as they usually lie", Hex({1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9}), true, false, 0},
      {"not aligned", Hex({8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 1}), true, false, 0},
      {"timestamps of length 9", Hex({1, 1, 8, 9, 0, 0, 0, 7, 0, 0, 0, 1}), false, false, 0},
      {"timestamps beyond the end", Hex({1, 1, 1, 1, 8, 10, 0, 0, 0, 7, 0, 0}), false, false, 0},
      {"repeated: last counts", Hex({8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9}), true, false, 0},
      {"behind the end of the list", Hex({0, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9}), false, false, 0},
      {"permitted", Hex({1, 1, 4, 2}), false, true, 0},
      {"permitted of length 3", Hex({4, 3, 1, 1}), false, false, 0},
      {"one block", Hex({5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1}), false, false, 1},
      {"no block", Hex({5, 2, 1, 1}), false, false, 0},
      {"a block and a half", Hex({5, 14, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 1}), false, false, 0},
      {"blocks beyond the end", Hex({5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1}), false, false, 0},
      {"length 0 in front", Hex({99, 0, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2}), false, false, 0},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    TcpOptions options;
    options.Parse(c.bytes);
    EXPECT_EQ(c.timestamps, options.has_timestamps);
    EXPECT_EQ(c.permitted, options.sack_permitted);
    EXPECT_EQ(c.blocks, options.sack_blocks);
    if (c.timestamps) {
      EXPECT_EQ(7u, options.ts_val);
      EXPECT_EQ(9u, options.ts_ecr);
    }
    if (c.blocks == 1) EXPECT_EQ((TcpSackBlock{1, 2}), options.sack_block(0));
  }
}

}  // namespace
}  // namespace weir::testing_support
