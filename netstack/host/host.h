// Host: a process with one Shard per thread. Run brings all of them up, runs a program's main coroutine on each, and
// returns when all have ended. SIGINT and SIGTERM request the stop of every task.
#ifndef NETSTACK_HOST_HOST_H_
#define NETSTACK_HOST_HOST_H_

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "netstack/host/host_options.h"
#include "netstack/host/shard.h"
#include "netstack/host/xdp_shared.h"
#include "runtime/io/mailbox.h"

namespace weir {

class Host {
 public:
  // The first error of any shard, or OK. Blocks; the calling thread becomes shard 0.
  static absl::Status Run(const HostOptions& options, const ShardMain& main);

  const HostOptions& options() const { return options_; }
  // From any thread.
  void StopAll();
  // Writes every live task, where it was spawned and what it waits for, to standard error (also on SIGUSR1).
  void DumpAllTasks();
  // While main runs; a shard is used on its own thread only, or through its mailbox.
  const std::vector<std::unique_ptr<Shard>>& shards() const { return shards_; }

 private:
  friend class Shard;
  // That frames of another shard wait for one. Posted once, and not again before it has run.
  struct PeerWake : runtime::Message {
    PeerWake() : Message([](Message& message) { static_cast<PeerWake&>(message).posted.exchange(false); }) {}
    std::atomic<bool> posted{false};
  };

  explicit Host(const HostOptions& options)
      : options_(options),
        peer_wakes_(options.stack == StackKind::kXdp ? static_cast<size_t>(options.shards * options.shards) : 0),
        shards_(options.shards),
        running_(options.shards),
        lingering_(options.shards) {}

  static absl::Status Check(const HostOptions& options);
  void RunShard(int index, const ShardMain& main);
  // Waits for all shards to get here; false when one of them failed.
  bool Arrive(const absl::Status& status);
  // A shard's tasks have ended. It goes on serving its mailbox until those of all have.
  void ShardEnded() { OneLess(running_); }
  bool all_ended() const { return running_.load(std::memory_order_acquire) == 0; }
  // A shard's connections have said goodbye. It goes on serving its queues until those of all have.
  void ShardQuiet() { OneLess(lingering_); }
  bool all_quiet() const { return lingering_.load(std::memory_order_acquire) == 0; }
  // Of those that `shards` counts; the last one wakes all.
  void OneLess(std::atomic<int>& shards);
  static void WakePeer(void* host, int from, int to);
  void ShardReady(const Shard& shard, const std::string& what);

  const HostOptions options_;
  std::unique_ptr<XdpShared> xdp_shared_;  // of --stack=xdp
  std::vector<PeerWake> peer_wakes_;       // by shard that wakes and shard that is woken
  std::vector<std::unique_ptr<Shard>> shards_;
  std::atomic<int> running_;    // shards whose tasks have not ended
  std::atomic<int> lingering_;  // shards whose connections have not
  std::mutex mutex_;
  std::condition_variable arrived_;
  int waiting_ = 0;
  int phase_ = 0;
  bool phase_ok_ = true;  // when it ended; a shard that wakes late must not see what went wrong later
  int ready_ = 0;
  absl::Status status_;
};

}  // namespace weir

#endif  // NETSTACK_HOST_HOST_H_
