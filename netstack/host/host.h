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
  explicit Host(const HostOptions& options) : options_(options), shards_(options.shards), running_(options.shards) {}

  static absl::Status Check(const HostOptions& options);
  void RunShard(int index, const ShardMain& main);
  // Waits for all shards to get here; false when one of them failed.
  bool Arrive(const absl::Status& status);
  // A shard's tasks have ended. It goes on serving its mailbox until those of all have.
  void ShardEnded();
  bool all_ended() const { return running_.load(std::memory_order_acquire) == 0; }
  void ShardReady(const Shard& shard, const std::string& what);

  const HostOptions options_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::atomic<int> running_;  // shards whose tasks have not ended
  std::mutex mutex_;
  std::condition_variable arrived_;
  int waiting_ = 0;
  int phase_ = 0;
  int ready_ = 0;
  absl::Status status_;
};

}  // namespace weir

#endif  // NETSTACK_HOST_HOST_H_
