// RecvReader against std::string, over chains that are cut at every place.
#include "runtime/buffer/recv_reader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "runtime/buffer/recv_buffer.h"
#include "tests/support/random.h"

namespace weir {
namespace {

class RecvReaderTest : public ::testing::Test {
 protected:
  // `text` in slices of `cut` bytes; a chain has at most kMaxSlices.
  RecvBuffer Chain(const std::string& text, size_t cut) {
    RecvBuffer chain;
    for (size_t at = 0; at < text.size(); at += cut) {
      runtime::Frame* frame = pool_->Alloc();
      const size_t n = std::min(cut, text.size() - at);
      std::memcpy(frame->data, text.data() + at, n);
      chain.Append(frame, {frame->data, n});
    }
    return chain;
  }
  runtime::FramePool::Ptr pool_ = *runtime::FramePool::Create({.frames = 256});
};

TEST_F(RecvReaderTest, NumbersInNetworkOrderWhereverTheyAreCut) {
  const std::string text("\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32", 15);
  for (size_t cut = 1; cut <= text.size(); ++cut) {
    const RecvBuffer chain = Chain(text, cut);
    RecvReader reader(chain);
    EXPECT_EQ(reader.Peek<uint32_t>(), 0x01234567u);
    EXPECT_EQ(reader.Read<uint8_t>(), 0x01);
    EXPECT_EQ(reader.Read<uint16_t>(), 0x2345);
    EXPECT_EQ(reader.Read<uint32_t>(), 0x6789abcdu);
    EXPECT_EQ(reader.position(), 7u);
    EXPECT_EQ(reader.left(), 8u);
    EXPECT_EQ(reader.Peek<uint64_t>(), 0xeffedcba98765432u);
    EXPECT_TRUE(reader.Skip(1));
    EXPECT_EQ(reader.Read<uint64_t>(), std::nullopt);  // a byte is missing
    EXPECT_FALSE(reader.Skip(8));
    EXPECT_EQ(reader.position(), 8u);
    EXPECT_EQ(reader.Read<uint32_t>(), 0xfedcba98u);
    EXPECT_TRUE(reader.Skip(3));
    EXPECT_EQ(reader.Peek<uint8_t>(), std::nullopt);
    EXPECT_TRUE(reader.Skip(0));
    EXPECT_EQ(reader.position(), text.size());
  }
}

TEST_F(RecvReaderTest, Lines) {
  const std::string text = "GET / HTTP/1.0\r\nHost: a\n\r\n\nno end\r";
  for (size_t cut = 1; cut <= text.size(); ++cut) {
    const RecvBuffer chain = Chain(text, cut);
    RecvReader reader(chain);
    char scratch[16];
    EXPECT_EQ(reader.ReadLine(scratch), "GET / HTTP/1.0");
    EXPECT_EQ(reader.ReadLine(scratch), "Host: a");
    EXPECT_EQ(reader.ReadLine(scratch), "");
    EXPECT_EQ(reader.ReadLine(scratch), "");
    EXPECT_EQ(reader.ReadLine(scratch), std::nullopt);
    EXPECT_EQ(reader.left(), 7u);  // less than the scratch: an end may come
  }
}

TEST_F(RecvReaderTest, ALineIsInPlaceWhereItCanBe) {
  const RecvBuffer chain = Chain("in place\n", 100);
  RecvReader reader(chain);
  char scratch[16] = {};
  EXPECT_EQ(reader.ReadLine(scratch)->data(), chain.buffers().front().iov_base);
  EXPECT_EQ(scratch[0], '\0');
}

// However it is cut, the same lines are too long.
TEST_F(RecvReaderTest, LinesThatAreTooLong) {
  for (size_t cut = 1; cut <= 9; ++cut) {
    const RecvBuffer fits = Chain("1234567\n", cut), longer = Chain("12345678\n", cut);
    char scratch[8];
    RecvReader reader(fits);
    EXPECT_EQ(reader.ReadLine(scratch), "1234567");
    RecvReader other(longer);
    EXPECT_EQ(other.ReadLine(scratch), std::nullopt);
    EXPECT_EQ(other.position(), 0u);
    EXPECT_GE(other.left(), sizeof scratch);
  }
}

TEST_F(RecvReaderTest, Empty) {
  const RecvBuffer none = {};
  RecvReader reader(none);
  char scratch[8];
  EXPECT_EQ(reader.ReadLine(scratch), std::nullopt);
  EXPECT_EQ(reader.ReadLine({}), std::nullopt);
  EXPECT_EQ(reader.Read<uint8_t>(), std::nullopt);
  EXPECT_TRUE(reader.Peek(std::span<std::byte>()));
}

TEST_F(RecvReaderTest, RandomReadsAgreeWithAString) {
  testing::Random random;
  for (int round = 0; round < 300; ++round) {
    std::string text(random.Below(600), ' ');
    for (char& c : text) c = random.OneIn(9) ? '\n' : static_cast<char>('a' + random.Below(26));
    RecvBuffer chain = Chain(text, 10 + random.Below(50));
    const size_t gone = random.Below(text.size() + 1);
    chain.Consume(gone);
    text.erase(0, gone);
    RecvReader reader(chain);
    size_t at = 0;
    for (int step = 0; step < 30; ++step) {
      char scratch[40];
      const size_t n = random.Below(80);
      if (random.OneIn(3)) {
        const size_t end = text.find('\n', at);
        const bool there = end != text.npos && end - at + 1 <= sizeof scratch;
        const std::optional<std::string_view> line = reader.ReadLine(scratch);
        ASSERT_EQ(line.has_value(), there);
        if (!there) continue;
        ASSERT_EQ(*line, text.substr(at, end - at));
        at = end + 1;
      } else if (random.OneIn(2)) {
        std::string out(n, '?');
        const bool read = reader.Read(std::as_writable_bytes(std::span(out)));
        ASSERT_EQ(read, n <= text.size() - at);
        if (read) ASSERT_EQ(out, text.substr(at, n));
        if (read) at += n;
      } else {
        const bool skipped = reader.Skip(n);
        ASSERT_EQ(skipped, n <= text.size() - at);
        if (skipped) at += n;
      }
      ASSERT_EQ(reader.position(), at);
      ASSERT_EQ(reader.left(), text.size() - at);
    }
  }
}

}  // namespace
}  // namespace weir
