// Unix stream sockets: names and what becomes of their files, connecting, data and ends, sharing between shards.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "netstack/socket/unix_stream.h"
#include "runtime/base/unique_fd.h"
#include "tests/netstack/socket/kernel_fixture.h"
#include "tests/support/random.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Echo;
using testing::KernelFixture;
using testing::Pattern;
using testing::RecvText;
using testing::SendText;

class UnixStreamTest : public KernelFixture {
 protected:
  explicit UnixStreamTest(const netstack::KernelStack::Options& options = {}) : KernelFixture(4096, options) {
    char name[] = "/tmp/weir_unix_XXXXXX";
    directory_ = mkdtemp(name);
  }
  ~UnixStreamTest() override {
    unlink(path().c_str());
    EXPECT_EQ(rmdir(directory_.c_str()), 0) << "something is left in " << directory_;
  }

  std::string path() const { return directory_ + "/socket"; }
  UnixAddress address() const { return *UnixAddress::Parse(path()); }
  bool exists() const { return access(path().c_str(), F_OK) == 0; }

  struct Ends {
    UnixStream client, server;
  };
  Task<Ends> Connected(UnixListener& listener) {
    Ends ends;
    absl::StatusOr<UnixStream> client = co_await UnixStream::Connect(*stack_, listener.local());
    EXPECT_TRUE(client.ok()) << client.status();
    absl::StatusOr<UnixStream> server = co_await listener.Accept();
    EXPECT_TRUE(server.ok()) << server.status();
    if (client.ok()) ends.client = *std::move(client);
    if (server.ok()) ends.server = *std::move(server);
    co_return ends;
  }

  std::string directory_;
};

Task<void> SendAll(Stream& stream, const std::string& text) {
  absl::Status sent = co_await SendText(stream, text);
  EXPECT_TRUE(sent.ok()) << sent;
}

TEST(UnixAddress, Forms) {
  EXPECT_EQ(UnixAddress::Parse("/run/x")->ToString(), "/run/x");
  EXPECT_TRUE(UnixAddress::Parse("x")->is_path());
  EXPECT_TRUE(UnixAddress::Parse("./@x")->is_path());
  EXPECT_TRUE(UnixAddress::Parse("@x")->is_abstract());
  EXPECT_EQ(UnixAddress::Parse("@x")->ToString(), "@x");
  EXPECT_EQ(UnixAddress().ToString(), "(unnamed)");
  for (const std::string& text : {std::string(), std::string("@"), std::string("a\0b", 3), std::string(108, 'a'),
                                  "@" + std::string(107, 'a')}) {
    EXPECT_FALSE(UnixAddress::Parse(text).ok()) << text;
  }
  for (const std::string& text : {std::string(107, 'a'), "@" + std::string(106, 'a'), std::string("@x"), std::string("p")}) {
    absl::StatusOr<UnixAddress> address = UnixAddress::Parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    const UnixAddress::Sockaddr raw = address->ToSockaddr();
    EXPECT_EQ(UnixAddress::FromSockaddr(raw.address, raw.length), *address);
  }
  EXPECT_TRUE(UnixAddress::FromSockaddr(UnixAddress().ToSockaddr().address, sizeof(sa_family_t)).is_unnamed());
}

// A kind of socket that cannot send by reference.
TEST_F(UnixStreamTest, LongChainsGoByCopy) {
  UnixListener listener = *UnixListener::Listen(*stack_, address());
  auto body = [&]() -> Task<void> {
    Ends ends = co_await Connected(listener);
    SendBuffer buffer = ends.client.NewSendBuffer(100'000);
    const std::string text = Pattern(buffer.size());
    size_t at = 0;
    for (const iovec& slice : buffer.writable()) at += text.copy(static_cast<char*>(slice.iov_base), slice.iov_len, at);
    EXPECT_TRUE((co_await ends.client.Sendmsg(std::move(buffer))).ok());
    EXPECT_TRUE(*co_await RecvText(ends.server, text.size()) == text);
  };
  loop_.Run(body());
  EXPECT_EQ(stack_->stats().zero_copy_refused, loop_.reactor().features().send_zc_report ? 1u : 0u);
  EXPECT_EQ(stack_->stats().zero_copy_sends, 0u);
}

TEST_F(UnixStreamTest, EchoOfRandomSizes) {
  testing::Random random;
  for (const char* name : {"", "@weir_unix_stream_test"}) {
    absl::StatusOr<UnixListener> listener =
        UnixListener::Listen(*stack_, *name == '\0' ? address() : *UnixAddress::Parse(name + std::to_string(getpid())));
    ASSERT_TRUE(listener.ok()) << listener.status();
    auto body = [&]() -> Task<void> {
      Ends ends = co_await Connected(*listener);
      absl::StatusOr<UnixStream::Credentials> peer = ends.server.peer_credentials();
      EXPECT_TRUE(peer.ok() && peer->pid == getpid() && peer->uid == geteuid() && peer->gid == getegid());
      AsyncScope scope(co_await CurrentContext());
      scope.Spawn(Echo(std::move(ends.server)));
      for (int i = 0; i < 30; ++i) {
        const std::string text = Pattern(1 + random.Below(i % 5 == 0 ? 500'000 : 5000), static_cast<uint32_t>(i));
        AsyncScope sender(co_await CurrentContext());
        sender.Spawn(SendAll(ends.client, text));
        EXPECT_TRUE(*co_await RecvText(ends.client, text.size()) == text);
        co_await sender.Join();
      }
      EXPECT_TRUE(ends.client.ShutdownWrite().ok());
      EXPECT_EQ(*co_await RecvText(ends.client, 1), "");
      co_await scope.Join();
    };
    loop_.Run(body());
  }
}

TEST_F(UnixStreamTest, FilesOfListeners) {
  {
    absl::StatusOr<UnixListener> listener = UnixListener::Listen(*stack_, address(), {.mode = 0600});
    ASSERT_TRUE(listener.ok()) << listener.status();
    struct stat now;
    ASSERT_EQ(lstat(path().c_str(), &now), 0);
    EXPECT_EQ(now.st_mode & 07777, 0600u);
    // In use.
    absl::Status second = UnixListener::Listen(*stack_, address()).status();
    EXPECT_EQ(second.code(), absl::StatusCode::kAlreadyExists) << second;
    EXPECT_TRUE(exists());
  }
  EXPECT_FALSE(exists()) << "its own file goes with the listener";

  // Left over by a process that was killed.
  {
    runtime::UniqueFd dead(socket(AF_UNIX, SOCK_STREAM, 0));
    const UnixAddress::Sockaddr to = address().ToSockaddr();
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<const sockaddr*>(&to.address), to.length), 0);
  }
  ASSERT_TRUE(exists());
  {
    absl::StatusOr<UnixListener> listener = UnixListener::Listen(*stack_, address());
    EXPECT_TRUE(listener.ok()) << listener.status();
    // Somebody else's by now: stays.
    unlink(path().c_str());
    std::ofstream(path()) << "precious";
  }
  EXPECT_TRUE(exists());
  absl::Status no_socket = UnixListener::Listen(*stack_, address()).status();
  EXPECT_EQ(no_socket.code(), absl::StatusCode::kAlreadyExists) << no_socket;
  std::string text;
  std::ifstream(path()) >> text;
  EXPECT_EQ(text, "precious");
  unlink(path().c_str());
  EXPECT_EQ(UnixListener::Listen(*stack_, *UnixAddress::Parse(directory_ + "/none/socket")).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(UnixListener::Listen(*stack_, UnixAddress()).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(UnixStreamTest, ConnectingToNobody) {
  auto body = [&]() -> Task<void> {
    EXPECT_EQ((co_await UnixStream::Connect(*stack_, address())).status().code(), absl::StatusCode::kNotFound);
    runtime::UniqueFd deaf(socket(AF_UNIX, SOCK_STREAM, 0));
    const UnixAddress::Sockaddr to = address().ToSockaddr();
    EXPECT_EQ(bind(deaf.get(), reinterpret_cast<const sockaddr*>(&to.address), to.length), 0);
    EXPECT_EQ((co_await UnixStream::Connect(*stack_, address())).status().code(), absl::StatusCode::kUnavailable);
  };
  loop_.Run(body());
}

// connect(2) says EAGAIN when the backlog is full: waited for, and cancelled like everything else.
TEST_F(UnixStreamTest, FullBacklog) {
  runtime::UniqueFd raw(socket(AF_UNIX, SOCK_STREAM, 0));
  const UnixAddress::Sockaddr to = address().ToSockaddr();
  ASSERT_EQ(bind(raw.get(), reinterpret_cast<const sockaddr*>(&to.address), to.length), 0);
  ASSERT_EQ(listen(raw.get(), 1), 0);
  auto body = [&]() -> Task<void> {
    std::vector<UnixStream> streams;
    for (;;) {
      absl::StatusOr<UnixStream> stream =
          co_await WithTimeout(UnixStream::Connect(*stack_, address()), milliseconds(20));
      if (!stream.ok()) {
        EXPECT_TRUE(absl::IsDeadlineExceeded(stream.status())) << stream.status();
        break;
      }
      streams.push_back(*std::move(stream));
      EXPECT_LT(streams.size(), 10u);
    }
    AsyncScope scope(co_await CurrentContext());
    bool connected = false;
    scope.Spawn([](netstack::KernelStack& stack, UnixAddress to, bool& done) -> Task<void> {
      absl::StatusOr<UnixStream> stream = co_await UnixStream::Connect(stack, to);
      EXPECT_TRUE(stream.ok()) << stream.status();
      done = stream.ok();
    }(*stack_, address(), connected));
    static_cast<void>(co_await Sleep(milliseconds(5)));
    EXPECT_FALSE(connected);
    runtime::UniqueFd accepted(accept(raw.get(), nullptr, nullptr));
    co_await scope.Join();
    EXPECT_TRUE(connected);
  };
  loop_.Run(body());
}

TEST_F(UnixStreamTest, EndsAndCancellation) {
  absl::StatusOr<UnixListener> listener = UnixListener::Listen(*stack_, address());
  ASSERT_TRUE(listener.ok());
  auto body = [&]() -> Task<void> {
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(listener->Accept(), milliseconds(2))).status()));
    Ends ends = co_await Connected(*listener);
    EXPECT_TRUE(absl::IsDeadlineExceeded((co_await WithTimeout(ends.server.Recvmsg(), milliseconds(2))).status()));
    // The peer vanishes: the end, then nobody to send to.
    ends.client.Close();
    EXPECT_EQ(*co_await RecvText(ends.server, 1), "");
    absl::Status sent = co_await SendText(ends.server, "x");
    EXPECT_TRUE(absl::IsAborted(sent)) << sent;
    // A peer that does not read: the send waits, is cancelled, and Reset ends what goes on.
    Ends slow = co_await Connected(*listener);
    const std::string much = Pattern(8'000'000);
    EXPECT_TRUE(absl::IsDeadlineExceeded(co_await WithTimeout(SendText(slow.client, much), milliseconds(20))));
    slow.client.Reset();
    EXPECT_TRUE(absl::IsAborted((co_await slow.client.Recvmsg()).status()));
    // What was sent before it is still there; then the end.
    absl::StatusOr<std::string> rest = co_await RecvText(slow.server, much.size());
    EXPECT_TRUE(!rest.ok() || rest->size() < much.size());
  };
  loop_.Run(body());
}

class SharedUnixTest : public UnixStreamTest {
 protected:
  SharedUnixTest() : UnixStreamTest({.reuse_port = true}) {}
};

// As several shards do: each has a listener at the same path, every connection goes to one of them, and the file stays
// until the last one is gone.
TEST_F(SharedUnixTest, SeveralListeners) {
  constexpr int kConnections = 40;
  absl::StatusOr<UnixListener> first = UnixListener::Listen(*stack_, address());
  absl::StatusOr<UnixListener> second = UnixListener::Listen(*stack_, address());
  ASSERT_TRUE(first.ok() && second.ok()) << second.status();
  auto body = [&]() -> Task<void> {
    int accepted = 0;
    const auto accept = [](UnixListener& listener, int& count) -> Task<void> {
      AsyncScope scope(co_await CurrentContext());
      for (;;) {
        absl::StatusOr<UnixStream> stream = co_await listener.Accept();
        if (!stream.ok()) break;
        ++count;
        scope.Spawn(Echo(*std::move(stream)));
      }
      co_await scope.Join();
    };
    AsyncScope servers(co_await CurrentContext());
    servers.Spawn(accept(*first, accepted));
    servers.Spawn(accept(*second, accepted));
    for (int i = 0; i < kConnections; ++i) {
      absl::StatusOr<UnixStream> stream = co_await UnixStream::Connect(*stack_, address());
      EXPECT_TRUE(stream.ok()) << stream.status();
      if (!stream.ok()) break;
      co_await SendAll(*stream, "ping");
      EXPECT_EQ(*co_await RecvText(*stream, 4), "ping");
    }
    EXPECT_EQ(accepted, kConnections);
    servers.RequestStop();
    co_await servers.Join();
  };
  loop_.Run(body());
  *first = UnixListener();
  EXPECT_TRUE(exists());
  auto again = [&]() -> Task<void> {
    static_cast<void>(co_await Sleep(milliseconds(5)));  // its accept has ended
    Ends ends = co_await Connected(*second);
    co_await SendAll(ends.client, "x");
    EXPECT_EQ(*co_await RecvText(ends.server, 1), "x");
  };
  loop_.Run(again());
  *second = UnixListener();
  EXPECT_FALSE(exists());
}

}  // namespace
}  // namespace weir
