// What Recvmsg and Sendmsg of a stream promise in stream.h, over both stacks and both versions of IP: flags, counts, what
// is copied, and buffers that are kept.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/core/sleep.h"
#include "tests/netstack/socket/socket_world.h"
#include "tests/support/shortage.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::Echo;
using testing::Pattern;
using testing::RecvText;
using testing::SendText;
using testing::SocketTest;
using testing::TextOf;

class StreamSemanticsTest : public SocketTest {
 protected:
  // What one call gives, "-" and the name of the code for an error.
  static Task<std::string> Recv(TcpStream& stream, size_t bytes, RecvFlags flags, milliseconds limit) {
    std::string text(bytes, '?');
    const iovec into[] = {{text.data(), bytes / 3}, {nullptr, 0}, {text.data() + bytes / 3, bytes - bytes / 3}};
    absl::StatusOr<size_t> n = co_await WithTimeout(stream.Recvmsg(into, flags), limit);
    if (!n.ok()) co_return "-" + absl::StatusCodeToString(n.status().code());
    co_return text.substr(0, *n);
  }
  static Task<std::string> Recv(TcpStream& stream, size_t bytes, RecvFlags flags = {}) {
    return Recv(stream, bytes, flags, milliseconds(5000));
  }
  static Task<void> SendInPieces(TcpStream& stream, std::string text, size_t pieces) {
    for (size_t i = 0; i < pieces; ++i) {
      const size_t each = text.size() / pieces;
      EXPECT_TRUE((co_await SendText(stream, text.substr(i * each, each))).ok());
      static_cast<void>(co_await Sleep(milliseconds(2)));
    }
  }
  static void Fill(const SendBuffer& buffer, const std::string& text) {
    size_t at = 0;
    for (const iovec& slice : buffer.writable()) {
      std::memcpy(slice.iov_base, text.data() + at, slice.iov_len);
      at += slice.iov_len;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Stacks, StreamSemanticsTest, ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         &SocketTest::Name);

TEST_P(StreamSemanticsTest, NoBytes) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    // Neither waits.
    EXPECT_EQ(*co_await server.Recvmsg(std::span<const iovec>()), 0u);
    EXPECT_EQ(co_await Recv(server, 0), "");
    EXPECT_EQ(co_await Recv(server, 0, {.peek = true}), "");
    EXPECT_EQ(co_await Recv(server, 0, {.wait_all = true}), "");
    EXPECT_TRUE((co_await client.Sendmsg(std::span<const iovec>())).ok());
    EXPECT_TRUE((co_await client.Sendmsg(SendBuffer())).ok());
    EXPECT_TRUE((co_await client.Sendmsg(SendBuffer(), {})).ok());
    // And the peer sees nothing of it.
    EXPECT_TRUE((co_await SendText(client, "first")).ok());
    EXPECT_EQ(co_await Recv(server, 100), "first");
  });
}

TEST_P(StreamSemanticsTest, SendBuffersAndManySlices) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    SendBuffer buffer = client.NewSendBuffer(10'000);
    EXPECT_EQ(buffer.size(), 10'000u);
    const std::string text = Pattern(10'000);
    Fill(buffer, text);
    EXPECT_TRUE((co_await client.Sendmsg(std::move(buffer))).ok());
    EXPECT_TRUE(*co_await RecvText(server, 10'000) == text);
    // More slices than one sendmsg takes, some of them empty.
    std::vector<iovec> slices;
    for (size_t i = 0; i < 10'000; i += 100) {
      slices.push_back({const_cast<char*>(text.data()) + i, 100});
      slices.push_back({nullptr, 0});
    }
    EXPECT_TRUE((co_await client.Sendmsg(slices)).ok());
    EXPECT_TRUE(*co_await RecvText(server, 10'000) == text);
    EXPECT_TRUE((co_await SendText(server, "hello world")).ok());
    EXPECT_EQ(co_await Recv(client, 100), "hello world");
  });
}

TEST_P(StreamSemanticsTest, PeekLeavesTheBytes) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    // One that waits is woken by what comes, and leaves it.
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(SendInPieces(client, "hello", 1));
    EXPECT_EQ(co_await Recv(server, 100, {.peek = true}), "hello");
    co_await scope.Join();
    EXPECT_EQ(co_await Recv(server, 3, {.peek = true}), "hel");
    EXPECT_EQ(co_await Recv(server, 1), "h");
    EXPECT_EQ(co_await Recv(server, 100, {.peek = true}), "ello");
    EXPECT_EQ(TextOf(*co_await server.Recvmsg()), "ello");
    EXPECT_EQ(co_await Recv(server, 9, {.peek = true}, milliseconds(5)), "-DEADLINE_EXCEEDED");
    // Over several frames.
    const std::string text = Pattern(20'000);
    EXPECT_TRUE((co_await SendText(client, text)).ok());
    EXPECT_TRUE(co_await Recv(server, text.size(), {.peek = true, .wait_all = true}) == text);
    EXPECT_TRUE(*co_await RecvText(server, text.size()) == text);
    // What does not come is not waited for when the end has come.
    EXPECT_TRUE((co_await SendText(client, "last")).ok());
    EXPECT_TRUE(client.ShutdownWrite().ok());
    EXPECT_EQ(co_await Recv(server, 100, {.peek = true, .wait_all = true}), "last");
    EXPECT_EQ(co_await Recv(server, 100, {.wait_all = true}), "last");
    EXPECT_EQ(co_await Recv(server, 100, {.peek = true}), "");
    EXPECT_EQ(co_await Recv(server, 100, {.wait_all = true}), "");
  });
}

TEST_P(StreamSemanticsTest, WaitAllFillsTheMemory) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    const std::string text = Pattern(3000);
    AsyncScope scope(co_await CurrentContext());
    // Some of it is there, the rest comes in pieces while the call waits.
    EXPECT_TRUE((co_await SendText(client, "there ")).ok());
    static_cast<void>(co_await Sleep(milliseconds(5)));
    scope.Spawn(SendInPieces(client, text, 6));
    EXPECT_TRUE(co_await Recv(server, 3006, {.wait_all = true}) == "there " + text);
    co_await scope.Join();
    // More than all buffers hold.
    const std::string much = Pattern(5'000'000);
    scope.Spawn(SendInPieces(client, much, 1));
    EXPECT_TRUE(co_await Recv(server, much.size(), {.wait_all = true}) == much);
    co_await scope.Join();
  });
}

// What was received when a call is stopped, or the connection fails, is given; the error comes next.
TEST_P(StreamSemanticsTest, WaitAllEndsEarly) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(client, "part")).ok());
    EXPECT_EQ(co_await Recv(server, 100, {.wait_all = true}, milliseconds(20)), "part");
    EXPECT_EQ(co_await Recv(server, 100, {.wait_all = true}, milliseconds(5)), "-DEADLINE_EXCEEDED");
    AsyncScope scope(co_await CurrentContext());
    auto send = [](TcpStream& stream) -> Task<void> {
      EXPECT_TRUE((co_await SendText(stream, "before the reset")).ok());
      static_cast<void>(co_await Sleep(milliseconds(5)));
      stream.Reset();
    };
    scope.Spawn(send(client));
    EXPECT_EQ(co_await Recv(server, 100, {.wait_all = true}), "before the reset");
    EXPECT_EQ(co_await Recv(server, 100, {.wait_all = true}), "-ABORTED");
    co_await scope.Join();
  });
}

TEST_P(StreamSemanticsTest, DataComesBeforeErrors) {
  RunWith([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(client, "data")).ok());
    static_cast<void>(co_await Sleep(milliseconds(5)));
    client.Reset();
    static_cast<void>(co_await Sleep(milliseconds(5)));
    EXPECT_EQ(co_await Recv(server, 100, {.peek = true}), "data");
    EXPECT_EQ(co_await Recv(server, 2), "da");
    EXPECT_EQ(TextOf(*co_await server.Recvmsg()), "ta");
    EXPECT_EQ(co_await Recv(server, 100), "-ABORTED");
    EXPECT_EQ(co_await Recv(server, 100, {.peek = true}), "-ABORTED");
  });
}

// A send that ends early tells what was taken, and exactly that arrives.
TEST_P(StreamSemanticsTest, TakenIsWhatArrives) {
  const std::string text = Pattern(20'000'000);
  RunWith([&](TcpStream& client, TcpStream& server) -> Task<void> {
    const iovec all{const_cast<char*>(text.data()), text.size()};
    size_t taken = 99;
    EXPECT_TRUE((co_await client.Sendmsg(std::span(&all, 1).first(0), &taken)).ok());
    EXPECT_EQ(taken, 0u);
    const iovec little{all.iov_base, 10};
    EXPECT_TRUE((co_await client.Sendmsg({&little, 1}, &taken)).ok());
    EXPECT_EQ(taken, 10u);
    EXPECT_EQ(*co_await RecvText(server, 10), text.substr(0, 10));
    size_t memory = 0, frames = 0;
    absl::Status sent = co_await WithTimeout(client.Sendmsg({&all, 1}, &memory), milliseconds(30));
    EXPECT_TRUE(absl::IsDeadlineExceeded(sent)) << sent;
    EXPECT_LT(0u, memory);
    EXPECT_GT(text.size(), memory);
    // Nobody reads, so little more is taken, of frames neither.
    SendBuffer buffer = client.NewSendBuffer(50'000);
    const size_t given = buffer.size();
    Fill(buffer, text.substr(memory));
    sent = co_await WithTimeout(client.Sendmsg(std::move(buffer), {}, &frames), milliseconds(30));
    EXPECT_LE(frames, given);
    EXPECT_TRUE(client.ShutdownWrite().ok());
    absl::StatusOr<std::string> got = co_await RecvText(server, text.size());
    EXPECT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->size(), memory + frames);
    EXPECT_TRUE(text.starts_with(*got));
    EXPECT_EQ(co_await Recv(server, 1), "");
    EXPECT_FALSE((co_await client.Sendmsg({&little, 1}, &taken)).ok());
    EXPECT_EQ(taken, 0u);
  });
}

// One call: a header that the program builds, what another connection received, and a part of a mapped file. Only the
// last is copied.
TEST_P(StreamSemanticsTest, HeaderForwardedBufferAndMappedFile) {
  char path[] = "/tmp/weir_stream_XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  const std::string file = Pattern(8192, 7);
  ASSERT_EQ(write(fd, file.data(), file.size()), 8192);
  auto* mapped = static_cast<char*>(mmap(nullptr, file.size(), PROT_READ, MAP_SHARED, fd, 0));
  ASSERT_NE(mapped, MAP_FAILED);
  unlink(path);
  close(fd);
  RunWith([&](TcpStream& client, TcpStream& server) -> Task<void> {
    const std::string body = Pattern(6000);
    EXPECT_TRUE((co_await SendText(client, body)).ok());
    static_cast<void>(co_await Sleep(milliseconds(5)));
    const uint64_t copied = world_->copied_bytes(true);
    RecvBuffer received = *co_await server.Recvmsg();
    while (received.size() < body.size()) received.Append(*co_await server.Recvmsg());
    SendBuffer out = server.NewSendBuffer(6);
    Fill(out, "HEADER");
    out.Append(std::move(received));
    EXPECT_EQ(out.size(), 6006u);
    const iovec slice{mapped + 1000, 5000};
    size_t taken = 0;
    EXPECT_TRUE((co_await server.Sendmsg(std::move(out), {&slice, 1}, &taken)).ok());
    EXPECT_EQ(taken, 11'006u);
    EXPECT_TRUE(*co_await RecvText(client, 11'006) == "HEADER" + body + file.substr(1000, 5000));
    EXPECT_EQ(server.Info()->copied_bytes, 0u);
    if (!kernel()) EXPECT_EQ(world_->copied_bytes(true) - copied, 5000u);  // else the kernel itself copies
  });
  munmap(mapped, file.size());
}

// DESIGN: what is received and forwarded is not copied. Counted for each connection, and all together.
TEST_P(StreamSemanticsTest, EchoAndProxyCopyNothing) {
  RunWith([this](TcpStream& client, TcpStream& front) -> Task<void> {
    TcpListener origin = Listen(/*server=*/false);
    Ends back = co_await Connected(origin, /*from_server=*/true);
    const uint64_t before = world_->copied_bytes(true);
    uint64_t front_copied = 1, back_copied = 1;
    auto pump = [](TcpStream& from, TcpStream& to) -> Task<void> {
      for (;;) {
        absl::StatusOr<RecvBuffer> msg = co_await from.Recvmsg();
        EXPECT_TRUE(msg.ok()) << msg.status();
        if (!msg.ok() || msg->empty()) break;
        EXPECT_TRUE((co_await to.Sendmsg(*std::move(msg))).ok());
      }
      EXPECT_TRUE(to.ShutdownWrite().ok());
    };
    auto ask = [](TcpStream& stream) -> Task<void> {
      const std::string text = Pattern(100'000);
      for (int i = 0; i < 10; ++i) {
        EXPECT_TRUE((co_await SendText(stream, text)).ok());
        EXPECT_TRUE(*co_await RecvText(stream, text.size()) == text);
      }
      EXPECT_TRUE(stream.ShutdownWrite().ok());
      EXPECT_EQ(*co_await RecvText(stream, 1), "");
    };
    {
      AsyncScope scope(co_await CurrentContext());
      scope.Spawn(pump(front, back.client));
      scope.Spawn(pump(back.client, front));
      scope.Spawn(Echo(std::move(back.server)));
      scope.Spawn(ask(client));
      co_await scope.Join();
      front_copied = front.Info()->copied_bytes;
      back_copied = back.client.Info()->copied_bytes;
    }
    EXPECT_EQ(front_copied, 0u);
    EXPECT_EQ(back_copied, 0u);
    if (!kernel()) EXPECT_EQ(world_->copied_bytes(true), before);
    EXPECT_LE(1'000'000u, world_->copied_bytes(false));  // who reads into memory
  });
}

// What cannot be sent as it lies is counted, for the connection that sent it: here a part of a frame that the program
// still holds. The kernel takes it from there.
TEST_P(StreamSemanticsTest, SharedFramesAreCopiedAndCounted) {
  RunWith([this](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(client, "hello world")).ok());
    RecvBuffer world = *co_await server.Recvmsg();
    RecvBuffer hello = world.Split(5);
    const uint64_t before = world_->copied_bytes(true);
    EXPECT_TRUE((co_await server.Sendmsg(std::move(hello))).ok());
    EXPECT_EQ(server.Info()->copied_bytes, kernel() ? 0u : 5u);
    EXPECT_EQ(world_->copied_bytes(true) - before, kernel() ? 0u : 5u);
    EXPECT_EQ(*co_await RecvText(client, 5), "hello");
    EXPECT_EQ(TextOf(world), " world");
  });
}

// Both sockets are gone; the buffer stays readable, and gives its frames back when it goes.
TEST_P(StreamSemanticsTest, BuffersOutliveTheirSocket) {
  RecvBuffer kept;
  RunWith([&](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(client, "kept")).ok());
    kept = *co_await server.Recvmsg();
    client.Close();
    server.Close();
    static_cast<void>(co_await Sleep(milliseconds(5)));
    EXPECT_EQ(TextOf(kept), "kept");
  });
  RunWith([&](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await server.Sendmsg(std::move(kept))).ok());
    EXPECT_EQ(*co_await RecvText(client, 4), "kept");
  });
}

TEST_P(StreamSemanticsTest, BuffersOutliveTheirStack) {
  RecvBuffer kept;
  RunWith([&](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(client, "kept")).ok());
    kept = *co_await server.Recvmsg();
  });
  world_->LeaveOut(1);
  world_.reset();
  EXPECT_EQ(TextOf(kept), "kept");
  RecvBuffer part = kept.Split(2);
  kept.Clear();
  EXPECT_EQ(TextOf(part), "ke");
}

// Without a free frame calls may wait, but they end when they are told to, and go on when frames are back.
TEST_P(StreamSemanticsTest, WithoutFrames) {
  RunWith([this](TcpStream& client, TcpStream& server) -> Task<void> {
    size_t taken = 0;
    absl::StatusOr<size_t> early = 0;
    std::string text = "hello", got(5, '?');
    {
      testing_support::Shortage none(world_->pool(true), 0), neither(world_->pool(false), 0);
      EXPECT_TRUE(server.NewSendBuffer(100).empty());
      EXPECT_TRUE(client.NewSendBuffer(100).empty());
      const iovec from{text.data(), text.size()}, into{got.data(), got.size()};
      absl::Status sent = co_await WithTimeout(client.Sendmsg({&from, 1}, &taken), milliseconds(20));
      EXPECT_TRUE(sent.ok() ? taken == 5 : absl::IsDeadlineExceeded(sent) && taken < 5) << sent << ", " << taken;
      early = co_await WithTimeout(server.Recvmsg({&into, 1}), milliseconds(20));
      EXPECT_TRUE(early.ok() || absl::IsDeadlineExceeded(early.status())) << early.status();
    }
    EXPECT_TRUE((co_await SendText(client, text.substr(taken))).ok());
    const size_t have = early.ok() ? *early : 0;
    EXPECT_EQ(got.substr(0, have) + *co_await RecvText(server, 5 - have), "hello");
    EXPECT_EQ(server.NewSendBuffer(100).size(), 100u);
  });
}

}  // namespace
}  // namespace weir
