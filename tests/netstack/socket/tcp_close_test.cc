// TcpStream::Close with a time, over both stacks: SO_LINGER as Linux has it (sk_stream_wait_close), awaited.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>

#include "tests/netstack/socket/tcp_fixture.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Pattern;
using testing::RecvText;
using testing::SendText;

class TcpCloseTest : public testing::TcpSocketTest {
 protected:
  static constexpr size_t kMuch = 100'000;
  // The client's buffer takes kMuch at once, the server's only a part of it.
  static Task<void> SendMuch(TcpStream& client) {
    EXPECT_TRUE(client.SetSendBuffer(3 * kMuch).ok());
    const absl::Status sent = co_await WithTimeout(SendText(client, Pattern(kMuch)), seconds(1));
    EXPECT_TRUE(sent.ok()) << sent;
  }
  static void SmallBuffer(TcpListener& listener) { EXPECT_TRUE(listener.SetReceiveBuffer(5000).ok()); }
  static Task<void> ExpectMuch(TcpStream& server) {
    const absl::StatusOr<std::string> got = co_await RecvText(server, kMuch + 1);
    EXPECT_TRUE(got.ok()) << got.status();
    if (got.ok()) EXPECT_EQ(*got, Pattern(kMuch));
  }
};

// All is acknowledged, whether the peer's program has read it or not, and though it has not closed.
TEST_P(TcpCloseTest, WaitsForAcknowledgments) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(client, "last words")).ok());
    const absl::Status closed = co_await client.Close(seconds(10));
    EXPECT_TRUE(closed.ok()) << closed;
    EXPECT_EQ(server.Info()->state, TcpState::kCloseWait);
    EXPECT_EQ(*co_await RecvText(server, 100), "last words");
    // The other end, whose FIN is the last thing (LAST-ACK).
    const absl::Status other = co_await server.Close(seconds(10));
    EXPECT_TRUE(other.ok()) << other;
  });
}

TEST_P(TcpCloseTest, WaitsForASlowReader) {
  Run(
      [](TcpStream& client, TcpStream& server) -> Task<void> {
        co_await SendMuch(client);
        AsyncScope scope(co_await CurrentContext());
        scope.Spawn(ExpectMuch(server));
        const absl::Status closed = co_await client.Close(seconds(60));
        EXPECT_TRUE(closed.ok()) << closed;
        co_await scope.Join();
      },
      &SmallBuffer);
}

// The time passes, and what was sent still gets there.
TEST_P(TcpCloseTest, GoesOnWhenTheTimeIsOver) {
  Run(
      [](TcpStream& client, TcpStream& server) -> Task<void> {
        co_await SendMuch(client);
        EXPECT_EQ((co_await client.Close(milliseconds(30))).code(), absl::StatusCode::kDeadlineExceeded);
        co_await ExpectMuch(server);
      },
      &SmallBuffer);
}

TEST_P(TcpCloseTest, GoesOnWhenCancelled) {
  Run(
      [](TcpStream& client, TcpStream& server) -> Task<void> {
        co_await SendMuch(client);
        AsyncScope scope(co_await CurrentContext());
        absl::Status closed;
        scope.Spawn([](TcpStream& stream, absl::Status& status) -> Task<void> {
          status = co_await stream.Close(seconds(60));
        }(client, closed));
        EXPECT_TRUE((co_await Sleep(milliseconds(10))).ok());
        EXPECT_TRUE(closed.ok()) << closed;  // not yet
        scope.RequestStop();
        co_await scope.Join();
        EXPECT_EQ(closed.code(), absl::StatusCode::kCancelled);
        co_await ExpectMuch(server);
      },
      &SmallBuffer);
}

// RFC 9293 §3.6.1, RFC 2525 §2.17.
TEST_P(TcpCloseTest, ResetsWhenDataIsUnread) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(server, "unread")).ok());
    EXPECT_TRUE((co_await Sleep(milliseconds(50))).ok());
    Refused(co_await client.Close(seconds(10)), absl::StatusCode::kAborted, "ECONNABORTED");
    Refused((co_await RecvText(server, 1)).status(), absl::StatusCode::kAborted, "ECONNRESET");
  });
}

// What comes afterwards nobody will read either (RFC 2525 §2.16).
TEST_P(TcpCloseTest, ResetsWhenDataComes) {
  Run(
      [](TcpStream& client, TcpStream& server) -> Task<void> {
        co_await SendMuch(client);
        AsyncScope scope(co_await CurrentContext());
        absl::Status closed;
        scope.Spawn([](TcpStream& stream, absl::Status& status) -> Task<void> {
          status = co_await stream.Close(seconds(60));
        }(client, closed));
        EXPECT_TRUE((co_await Sleep(milliseconds(10))).ok());
        EXPECT_TRUE((co_await SendText(server, "too late")).ok());
        co_await scope.Join();
        Refused(closed, absl::StatusCode::kAborted, "ECONNRESET");
      },
      &SmallBuffer);
}

TEST_P(TcpCloseTest, SaysThatThePeerReset) {
  Run(
      [](TcpStream& client, TcpStream& server) -> Task<void> {
        co_await SendMuch(client);
        AsyncScope scope(co_await CurrentContext());
        absl::Status closed;
        scope.Spawn([](TcpStream& stream, absl::Status& status) -> Task<void> {
          status = co_await stream.Close(seconds(60));
        }(client, closed));
        EXPECT_TRUE((co_await Sleep(milliseconds(10))).ok());
        server.Reset();
        co_await scope.Join();
        Refused(closed, absl::StatusCode::kAborted, "ECONNRESET");
      },
      &SmallBuffer);
}

// SO_LINGER with a time of 0.
TEST_P(TcpCloseTest, WithoutATime) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await client.Close(seconds(0))).ok());
    Refused((co_await RecvText(server, 1)).status(), absl::StatusCode::kAborted, "ECONNRESET");
  });
}

// Not awaited, it is Close().
TEST_P(TcpCloseTest, NotAwaited) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE((co_await SendText(client, "last words")).ok());
    { Task<absl::Status> closed = client.Close(seconds(10)); }
    EXPECT_EQ(*co_await RecvText(server, 100), "last words");
  });
}

// Over already: both ends were shut before.
TEST_P(TcpCloseTest, AfterTheEnd) {
  Run([](TcpStream& client, TcpStream& server) -> Task<void> {
    EXPECT_TRUE(client.ShutdownWrite().ok());
    EXPECT_EQ(*co_await RecvText(server, 1), "");
    EXPECT_TRUE(server.ShutdownWrite().ok());
    EXPECT_EQ(*co_await RecvText(client, 1), "");
    EXPECT_TRUE((co_await client.Close(seconds(10))).ok());
    EXPECT_TRUE((co_await server.Close(seconds(10))).ok());
  });
}

INSTANTIATE_TEST_SUITE_P(Stacks, TcpCloseTest, ::testing::Bool(), testing::TcpSocketTest::Name);

}  // namespace
}  // namespace weir
