// Queries on a TCP connection: several in a piece, one in several, answers larger than a frame, lengths that cannot be.
#include "examples/dns_server/tcp_answers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "runtime/base/byte_order.h"
#include "tests/examples/dns_server/dns_fixture.h"

namespace dns_server {
namespace {

using Next = TcpAnswers::Next;

class TcpAnswersTest : public ::testing::Test {
 protected:
  TcpAnswersTest() {
    std::string text = kHead;
    for (int i = 0; i < 200; ++i) absl::StrAppend(&text, "big TXT ", i, " \"", std::string(100, 'x'), "\"\n");
    for (int i = 0; i < 20; ++i) absl::StrAppend(&text, "middle TXT ", i, "\n");
    table_ = TableOf({text});
  }

  static Bytes Framed(const Bytes& message) {
    Bytes framed(2);
    weir::runtime::StoreBe16(framed.data(), static_cast<uint16_t>(message.size()));
    framed.insert(framed.end(), message.begin(), message.end());
    return framed;
  }
  // As they would be received: a frame for each piece of at most `piece` bytes.
  void Receive(const Bytes& bytes, size_t piece) {
    for (size_t at = 0; at < bytes.size(); at += piece) {
      weir::runtime::Frame* frame = pool_->Alloc();
      frame->len = static_cast<uint32_t>(std::min(piece, bytes.size() - at));
      std::memcpy(frame->data, &bytes[at], frame->len);
      in_.Append(frame, frame->bytes());
    }
  }
  Next Step() {
    weir::SendBuffer out;
    const Next next = answers_.Answer(new_buffer_, in_, &out);
    const size_t at = sent_.size();
    sent_.resize(at + out.size());
    out.CopyTo(std::span(sent_).subspan(at));
    return next;
  }

  const weir::runtime::FramePool::Ptr pool_ = *weir::runtime::FramePool::Create({.frames = 512});
  AnswerTable table_;
  TcpAnswers answers_{table_};
  size_t per_frame_ = 1024;
  bool frames_ = true;
  const TcpAnswers::NewBuffer new_buffer_ = [this](size_t bytes) {
    return frames_ ? weir::SendBuffer::Allocate(*pool_, bytes, per_frame_) : weir::SendBuffer();
  };
  weir::RecvBuffer in_;
  Bytes sent_;
};

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_F(TcpAnswersTest, SeveralInOnePieceAndOneInSeveral) {
  const Bytes first = MakeQuery("ns1.example.com", "A"), second = MakeQuery("nope.example.com", "A", 1232);
  const Bytes expected =
      Framed(Respond(table_, first, Transport::kTcp)) + Framed(Respond(table_, second, Transport::kTcp));
  for (const size_t piece : {1000, 50, 7, 3}) {
    sent_.clear();
    Receive(Framed(first) + Framed(second), piece);
    EXPECT_EQ(Next::kReceive, Step());
    EXPECT_EQ(expected, sent_) << piece;
    EXPECT_TRUE(in_.empty());
  }
  EXPECT_EQ(0u, pool_->outstanding());
}

TEST_F(TcpAnswersTest, WaitsForTheRest) {
  const Bytes query = Framed(MakeQuery("ns1.example.com", "A"));
  for (size_t have = 1; have < query.size(); ++have) {
    sent_.clear();
    Receive(Bytes(query.begin(), query.begin() + static_cast<ptrdiff_t>(have)), 1000);
    EXPECT_EQ(Next::kReceive, Step());
    EXPECT_TRUE(sent_.empty());
    EXPECT_EQ(have, in_.size());
    Receive(Bytes(query.begin() + static_cast<ptrdiff_t>(have), query.end()), 1000);
    EXPECT_EQ(Next::kReceive, Step());
    EXPECT_FALSE(sent_.empty());
  }
}

TEST_F(TcpAnswersTest, LargeAnswersInOrder) {
  const Bytes small = MakeQuery("ns1.example.com", "A"), middle = MakeQuery("middle.example.com", "TXT"),
              big = MakeQuery("big.example.com", "TXT");
  for (const size_t per_frame : {1024, 300, 64}) {
    per_frame_ = per_frame;
    sent_.clear();
    Bytes expected;
    for (const Bytes& query : {small, middle, middle, big, small}) {
      Receive(Framed(query), 1000);
      expected = expected + Framed(Respond(table_, query, Transport::kTcp));
    }
    if (expected.size() > per_frame * weir::SendBuffer::kMaxSlices) break;
    for (int i = 0; Step() != Next::kReceive; ++i) ASSERT_GT(20, i);
    EXPECT_EQ(expected, sent_);
  }
  in_.Clear();
  EXPECT_EQ(0u, pool_->outstanding());
}

TEST_F(TcpAnswersTest, LengthsThatCannotBe) {
  for (const size_t length : {0, 11, 4097, 65535}) {
    Bytes bytes(2);
    weir::runtime::StoreBe16(bytes.data(), static_cast<uint16_t>(length));
    Receive(bytes, 1000);
    EXPECT_EQ(Next::kClose, Step()) << length;
    in_.Clear();
  }
}

TEST_F(TcpAnswersTest, NoFrames) {
  const Bytes query = MakeQuery("ns1.example.com", "A");
  frames_ = false;
  Receive(Framed(query), 1000);
  EXPECT_EQ(Next::kNoFrames, Step());
  frames_ = true;
  EXPECT_EQ(Next::kReceive, Step());
  EXPECT_EQ(Framed(Respond(table_, query, Transport::kTcp)), sent_);
}

TEST_F(TcpAnswersTest, AResponseIsNoQuery) {
  Bytes response = MakeQuery("ns1.example.com", "A");
  response[2] |= std::byte{0x80};
  Receive(Framed(response), 1000);
  EXPECT_EQ(Next::kReceive, Step());
  EXPECT_TRUE(sent_.empty() && in_.empty());
}

}  // namespace
}  // namespace dns_server
