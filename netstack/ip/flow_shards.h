// FlowShards: which of a host's shards a flow is for, when several serve the same addresses. All shards have one, and the
// same one, so whichever of them a frame comes to knows where it belongs.
//
// A flow's home is what a keyed hash of its endpoints names, so that peers cannot heap flows upon one shard. It is there
// unless its local port is in use on other shards alone: what a program opened on one shard works for every peer. Linux:
// reuseport_select_sock, RPS.
//
// The table of ports is the one thing that shards share: written when a port is opened or closed, read for each frame that
// came in, with an ordinary load. A shard that reads what is being changed sends a frame where it would have gone a moment
// earlier or later; whoever gets it without having a socket for it passes it on (PeerShards::PassOn).
#ifndef NETSTACK_IP_FLOW_SHARDS_H_
#define NETSTACK_IP_FLOW_SHARDS_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <vector>

#include "runtime/base/ip_address.h"
#include "runtime/base/siphash.h"

namespace weir::netstack {

// kPing: the identifiers of echo requests that programs send.
enum class PortSpace : uint8_t { kTcp, kUdp, kPing };
inline constexpr size_t kPortSpaces = 3;

// A set of shards: bit n is shard n.
using ShardSet = uint64_t;

class FlowShards {
 public:
  // As many as a ShardSet has bits.
  static constexpr int kMaxShards = 64;

  FlowShards(const runtime::SipKey& key, int shards);

  int shards() const { return shards_; }
  ShardSet all() const { return all_; }

  // By the endpoints alone: where a connection that we open must come back to.
  int Home(const Endpoint& local, const Endpoint& remote) const { return static_cast<int>(Hash(local, remote) % count()); }
  // Where the packets from `remote` to `local` go.
  int Choose(PortSpace space, const Endpoint& local, const Endpoint& remote) const;

  // The shards on which something uses the port: a listener, a connection, a socket.
  ShardSet Users(PortSpace space, uint16_t port) const { return Cell(space, port).load(std::memory_order_relaxed); }
  // `shard` uses the port from now on, or no more; returns the users before that. From any thread.
  ShardSet AddUser(PortSpace space, uint16_t port, int shard) {
    return Cell(space, port).fetch_or(ShardSet{1} << shard, std::memory_order_relaxed);
  }
  ShardSet RemoveUser(PortSpace space, uint16_t port, int shard) {
    return Cell(space, port).fetch_and(~(ShardSet{1} << shard), std::memory_order_relaxed);
  }

 private:
  static constexpr size_t kPorts = 65536;

  uint32_t count() const { return static_cast<uint32_t>(shards_); }
  uint64_t Hash(const Endpoint& local, const Endpoint& remote) const;
  std::atomic<ShardSet>& Cell(PortSpace space, uint16_t port) { return users_[static_cast<size_t>(space) * kPorts + port]; }
  const std::atomic<ShardSet>& Cell(PortSpace space, uint16_t port) const {
    return users_[static_cast<size_t>(space) * kPorts + port];
  }

  const runtime::SipKey key_;
  const int shards_;
  const ShardSet all_;
  std::vector<std::atomic<ShardSet>> users_;  // 1.5 MiB
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_FLOW_SHARDS_H_
