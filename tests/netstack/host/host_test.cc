// Host and Shard on kernel sockets: several shards, calls between them, errors, and the end.
#include "netstack/host/host.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "netstack/host/submit.h"
#include "runtime/core/sleep.h"

namespace weir {
namespace {

HostOptions Shards(int count) {
  HostOptions options;
  options.shards = count;
  options.frames = 1024;
  return options;
}

// Each shard asks every one, itself included, for what only that one's thread has.
TEST(Host, CallsBetweenShards) {
  constexpr int kShards = 3, kRounds = 200;
  thread_local int mine = -1;
  std::atomic<int> wrong = 0, calls = 0, finished = 0;
  const ShardMain main = [&](Shard& shard) -> Task<absl::Status> {
    mine = shard.index();
    EXPECT_EQ(shard.shards(), kShards);
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < kShards; ++i) {
        const int answer = co_await shard.SubmitTo(shard.peer(i), [] { return mine; });
        // A shard whose main has not begun yet says -1.
        if (answer != i && !(round == 0 && answer == -1)) ++wrong;
        if (mine != shard.index()) ++wrong;  // resumed at home
        co_await shard.SubmitTo(shard.peer(i), [&calls] { ++calls; });
      }
    }
    // Results that can only be moved.
    const std::unique_ptr<std::string> text = co_await shard.SubmitTo(
        shard.peer(0), [] { return std::make_unique<std::string>("from another thread"); });
    EXPECT_EQ(*text, "from another thread");
    ++finished;
    co_return absl::OkStatus();
  };
  const absl::Status status = Host::Run(Shards(kShards), main);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(calls, kShards * kShards * kRounds);
  EXPECT_EQ(finished, kShards);
}

TEST(Host, SeveralShardsKeepToOneProcessorEach) {
  const ShardMain main = [](Shard&) -> Task<absl::Status> {
    cpu_set_t set;
    EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    EXPECT_EQ(CPU_COUNT(&set), 1);
    co_return absl::OkStatus();
  };
  // On threads of its own: shard 0 is the calling thread, which then keeps to its processor.
  std::thread([&] { EXPECT_TRUE(Host::Run(Shards(2), main).ok()); }).join();
}

// The error of one main ends them all, and is what Run returns.
TEST(Host, AnErrorEndsAllShards) {
  std::atomic<int> stopped = 0;
  const ShardMain main = [&](Shard& shard) -> Task<absl::Status> {
    if (shard.index() == 1) co_return absl::InternalError("no luck");
    const absl::Status slept = co_await Sleep(std::chrono::hours(1));
    if (absl::IsCancelled(slept)) ++stopped;
    co_return slept;
  };
  const absl::Status status = Host::Run(Shards(3), main);
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_EQ(status.message(), "no luck");
  EXPECT_EQ(stopped, 2);
}

// What a socket gave may be read and dropped on another shard, and longer than its host is there.
TEST(Host, BuffersGoHomeAndOutliveTheHost) {
  RecvBuffer kept;
  const ShardMain main = [&](Shard& shard) -> Task<absl::Status> {
    if (shard.index() != 0) co_return absl::OkStatus();
    UdpSocket socket = *shard.BindUdp({IpAddress::V4(0x7f000001), 0});
    const auto message = [&socket]() -> Task<RecvBuffer> {
      const std::string text = "from the kernel";
      const iovec slice{const_cast<char*>(text.data()), text.size()};
      EXPECT_TRUE((co_await socket.Sendmsg(std::span(&slice, 1), socket.local())).ok());
      absl::StatusOr<Datagram> got = co_await socket.Recvmsg();
      EXPECT_TRUE(got.ok()) << got.status();
      co_return std::move(got->data);
    };
    RecvBuffer away = co_await message();
    const uint32_t free = shard.pool().free_count();
    const size_t size = co_await shard.SubmitTo(shard.peer(1), [&away] { return std::exchange(away, {}).size(); });
    EXPECT_EQ(size, 15u);
    while (shard.pool().free_count() == free) co_await Yield();
    EXPECT_EQ(shard.pool().free_count(), free + 1);
    kept = co_await message();
    co_return absl::OkStatus();
  };
  EXPECT_TRUE(Host::Run(Shards(2), main).ok());
  ASSERT_EQ(kept.buffers().size(), 1u);
  EXPECT_EQ(std::string(static_cast<const char*>(kept.buffers()[0].iov_base), kept.size()), "from the kernel");
  std::thread([last = std::move(kept)] {}).join();
}

}  // namespace
}  // namespace weir
