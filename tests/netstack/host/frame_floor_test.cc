// Programs keep every buffer they can get, of UDP and of TCP, and yet the device has frames to receive into and there are
// some for acknowledgments, so that another connection goes on (XdpLink::kTxReserve, and the bounds of
// netstack/tcp/tcp_memory.h and netstack/udp/udp_queue_rcv.h above it). On a veth pair, with a kernel's sockets at the
// other end. Needs root.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "netstack/host/xdp_stack.h"
#include "netstack/socket/tcp_listener.h"
#include "netstack/socket/tcp_stream.h"
#include "netstack/socket/udp_socket.h"
#include "runtime/base/time.h"
#include "runtime/base/unique_fd.h"
#include "runtime/core/async_scope.h"
#include "tests/support/veth.h"

namespace weir {
namespace {

using runtime::UniqueFd;
using testing_support::NamespaceScope;
using testing_support::RunCommand;
using testing_support::VethPair;
using xdp::XdpLink;

constexpr uint32_t kFrames = 8192;
constexpr uint16_t kEchoPort = 7, kKeptPort = 8, kFirstUdp = 1000;
constexpr size_t kUdpSockets = 4, kStreams = 4;
constexpr Nanos kPatience = 60 * kSecond;

class FrameFloorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = VethPair::Available(); !reason.empty()) GTEST_SKIP() << "SKIPPED: " << reason;
    auto pair = VethPair::Create();
    ASSERT_TRUE(pair.ok()) << pair.status();
    pair_ = *std::move(pair);
    const absl::Status addressed = RunCommand(
        absl::StrCat("ip -n ", pair_->client(), " address add 10.0.0.1/24 dev ", VethPair::kDevice));
    ASSERT_TRUE(addressed.ok()) << addressed;
    const NamespaceScope in_server(pair_->server());
    HostOptions options{.stack = StackKind::kXdp, .interfaces = {VethPair::kDevice}, .frames = kFrames};
    options.addresses = {{.prefix = {*IpAddress::Parse("10.0.0.2"), 24}}};
    pool_ = *runtime::FramePool::Create({.frames = kFrames});
    options_ = options;
    auto shared = XdpShared::Create(options_, [](void*, int, int) {}, nullptr);
    ASSERT_TRUE(shared.ok()) << shared.status();
    shared_ = *std::move(shared);
    auto stack = XdpStack::Create(options_, *shared_, 0, *pool_, scheduler_);
    ASSERT_TRUE(stack.ok()) << stack.status();
    stack_ = *std::move(stack);
    const absl::Status started = stack_->Start();
    ASSERT_TRUE(started.ok()) << started;
  }
  void TearDown() override {
    stack_.reset();
    if (pool_ != nullptr) EXPECT_EQ(pool_->free_count(), pool_->size());
  }

  // As a shard's.
  void Turn() {
    const Nanos now_ns = MonotonicNow();
    scheduler_.set_now_ns(now_ns);
    stack_->Receive(now_ns);
    scheduler_.RunReady();
    scheduler_.timers().Advance(now_ns);
    stack_->Transmit(now_ns);
  }
  bool RunUntil(const std::function<bool()>& done) {
    for (const Nanos limit = MonotonicNow() + kPatience; !done();) {
      if (MonotonicNow() > limit) return false;
      Turn();
    }
    return true;
  }
  XdpLink::Counters counters() { return stack_->ports().front()->LinkCounters(); }

  // A socket of the client's kernel, connected, or about to be, to ours.
  UniqueFd Client(int type, uint16_t port) {
    const NamespaceScope in_client(pair_->client());
    UniqueFd fd(socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "10.0.0.2", &to.sin_addr);
    const int result = connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to);
    EXPECT_TRUE(result == 0 || errno == EINPROGRESS) << std::strerror(errno);
    return fd;
  }

  Task<void> KeepDatagrams(UdpSocket& socket) {
    for (;;) {
      absl::StatusOr<Datagram> got = co_await socket.Recvmsg();
      if (!got.ok()) co_return;
      kept_.push_back(std::move(got->data));
    }
  }
  Task<void> KeepStream(TcpStream stream) {
    for (;;) {
      absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
      if (!got.ok() || got->empty()) co_return;
      kept_.push_back(*std::move(got));
    }
  }
  static Task<void> Echo(TcpStream stream) {
    for (;;) {
      absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
      if (!got.ok() || got->empty() || !(co_await stream.Sendmsg(*std::move(got))).ok()) co_return;
    }
  }
  Task<void> Accept(AsyncScope& scope, TcpListener& listener, bool keep) {
    for (;;) {
      absl::StatusOr<TcpStream> stream = co_await listener.Accept();
      if (!stream.ok()) co_return;
      scope.Spawn(keep ? KeepStream(*std::move(stream)) : Echo(*std::move(stream)));
    }
  }

  std::unique_ptr<VethPair> pair_;
  runtime::Scheduler scheduler_{MonotonicNow()};
  runtime::FramePool::Ptr pool_;
  HostOptions options_;
  std::unique_ptr<XdpShared> shared_;
  std::unique_ptr<XdpStack> stack_;
  std::vector<RecvBuffer> kept_;
};

TEST_F(FrameFloorTest, KeepingEverythingLeavesFramesForTheDevice) {
  std::vector<UdpSocket> sockets;
  for (size_t i = 0; i < kUdpSockets; ++i) {
    const Endpoint at{{}, static_cast<uint16_t>(kFirstUdp + i)};
    sockets.push_back(*UdpSocket::Bind(stack_->stack(), at, {.receive_queue = UdpBindOptions::kMaxReceiveQueue}));
  }
  TcpListener echo = *TcpListener::Listen(stack_->stack(), {{}, kEchoPort});
  TcpListener keep = *TcpListener::Listen(stack_->stack(), {{}, kKeptPort});
  AsyncScope scope(TaskContext{&scheduler_, {}});
  for (UdpSocket& socket : sockets) scope.Spawn(KeepDatagrams(socket));
  scope.Spawn(Accept(scope, echo, /*keep=*/false));
  scope.Spawn(Accept(scope, keep, /*keep=*/true));
  scheduler_.RunReady();

  std::array<UniqueFd, kUdpSockets> udp;
  for (size_t i = 0; i < kUdpSockets; ++i) udp[i] = Client(SOCK_DGRAM, static_cast<uint16_t>(kFirstUdp + i));
  std::array<UniqueFd, kStreams> streams;
  for (UniqueFd& stream : streams) stream = Client(SOCK_STREAM, kKeptPort);
  const std::string bytes(1400, 'k');
  const auto flood = [&] {
    for (const UniqueFd& fd : udp) static_cast<void>(send(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT));
    for (const UniqueFd& fd : streams) {
      static_cast<void>(send(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
    }
  };
  // Until nothing more can be had, for as many datagrams as there are frames.
  size_t most = 0;
  ASSERT_TRUE(RunUntil([&, still = size_t{0}]() mutable {
    flood();
    still = kept_.size() > most ? 0 : still + kUdpSockets;
    most = std::max(most, kept_.size());
    return most > 0 && still > kFrames;
  }));
  const uint32_t fill = counters().fill_depth;
  EXPECT_GT(pool_->charged() + fill, kFrames - kFrames / 8) << "not all that can be had is kept";
  EXPECT_LT(XdpLink::kTxReserve, pool_->free_count());

  // Another connection goes on, while the others still send.
  const uint64_t empty = counters().kernel_fill_ring_empty, starved = counters().fill_starved;
  const UniqueFd client = Client(SOCK_STREAM, kEchoPort);
  std::string text(200'000, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 + i / 251);
  std::string back;
  size_t sent = 0;
  EXPECT_TRUE(RunUntil([&] {
    flood();
    const ssize_t n = send(client.get(), text.data() + sent, text.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) sent += static_cast<size_t>(n);
    char buffer[4096];
    for (ssize_t got; (got = recv(client.get(), buffer, sizeof buffer, MSG_DONTWAIT)) > 0;) {
      back.append(buffer, static_cast<size_t>(got));
    }
    return back.size() == text.size();
  })) << back.size() << " of " << text.size() << " bytes came back";
  EXPECT_TRUE(back == text);
  EXPECT_EQ(empty, counters().kernel_fill_ring_empty) << "the driver had no frame to receive into";
  EXPECT_EQ(starved, counters().fill_starved);
  EXPECT_LT(XdpLink::kTxReserve, pool_->free_count());

  kept_.clear();
  scope.RequestStop();
  EXPECT_TRUE(RunUntil([&] { return scope.live() == 0; }));
  for (UniqueFd& fd : streams) fd.Reset();
}

}  // namespace
}  // namespace weir
