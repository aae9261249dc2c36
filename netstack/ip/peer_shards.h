// PeerShards: what the stack of one shard knows of the others that serve the same addresses; there is none where the host
// has one shard. Who hands frames over is netstack/link/hand_over.h.
//
// Shard 0 speaks for the host: it answers ARP, neighbour solicitations and echo requests, has the leases, and hears routers.
// The others follow its addresses and routes (ip_config.h), and resolve neighbours for themselves.
#ifndef NETSTACK_IP_PEER_SHARDS_H_
#define NETSTACK_IP_PEER_SHARDS_H_

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "netstack/drop_reason.h"
#include "netstack/ip/flow_shards.h"
#include "runtime/base/time.h"
#include "runtime/buffer/frame.h"

namespace weir::netstack {

class Interface;

class PeerShards {
 public:
  PeerShards(FlowShards& flows, int self) : flows_(flows), self_(self) {
    for (std::vector<uint32_t>& uses : uses_) uses.resize(65536);
  }
  PeerShards(const PeerShards&) = delete;

  ShardSet here() const { return ShardSet{1} << self_; }
  // Shard 0, which answers for the host.
  bool speaks() const { return self_ == 0; }

  bool IsHome(const Endpoint& local, const Endpoint& remote) const { return flows_.Home(local, remote) == self_; }
  bool Owns(PortSpace space, const Endpoint& local, const Endpoint& remote) const {
    return flows_.Choose(space, local, remote) == self_;
  }

  // Something here uses the port, and no more; counted.
  void UsePort(PortSpace space, uint16_t port) {
    if (Uses(space, port)++ == 0) flows_.AddUser(space, port, self_);
  }
  void LeavePort(PortSpace space, uint16_t port) {
    if (--Uses(space, port) == 0) flows_.RemoveUser(space, port, self_);
  }
  // UsePort, unless the port is in use elsewhere: for one that is drawn, to which anybody may send. False: it is.
  bool UsePortAlone(PortSpace space, uint16_t port) {
    const bool alone = (flows_.AddUser(space, port, self_) & ~here()) == 0;
    if (alone) {
      ++Uses(space, port);
    } else if (Uses(space, port) == 0) {
      flows_.RemoveUser(space, port, self_);
    }
    return alone;
  }

  // A burst that a device of ours received: gives away what is another shard's, and takes in the rest.
  virtual void Spread(Interface& in, std::span<runtime::Frame* const> burst, Nanos now_ns) = 0;

  // `frame`, at its Ethernet header, is taken in from here on, in one frame; until End.
  void Begin(runtime::Frame& frame) { arrival_ = {&frame, frame.data, frame.len}; }
  void End() { arrival_.frame = nullptr; }
  // There is no socket here for the TCP segment or datagram to `port` that lies in `frame`. Gives it to another shard that
  // uses the port and has not had it, as it came, and returns what became of it; nothing, when there is none, or when the
  // packet did not come in one frame.
  std::optional<DropReason> PassOn(PortSpace space, uint16_t port, runtime::Frame& frame) {
    if (&frame != arrival_.frame) return std::nullopt;
    const ShardSet others = flows_.Users(space, port) & ~tried_ & ~here();
    if (others == 0) return std::nullopt;
    frame.data = arrival_.data;
    frame.len = arrival_.len;
    return GiveArrival(frame, std::countr_zero(others));
  }

  // What is taken in now came to several shards: shard 0 says what is to be said of it.
  bool silent() const { return shared_ && !speaks(); }

 protected:
  ~PeerShards() = default;
  // Gives `frame`, of which it takes a reference, to shard `to`.
  virtual DropReason GiveArrival(runtime::Frame& frame, int to) = 0;

  FlowShards& flows_;
  const int self_;
  ShardSet tried_ = 0;  // shards that had what is taken in now, and no socket for it
  bool shared_ = false;

 private:
  struct Arrival {
    runtime::Frame* frame = nullptr;
    std::byte* data = nullptr;
    uint32_t len = 0;
  };

  uint32_t& Uses(PortSpace space, uint16_t port) { return uses_[static_cast<size_t>(space)][port]; }

  Arrival arrival_;
  std::array<std::vector<uint32_t>, kPortSpaces> uses_;  // by PortSpace and port
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_PEER_SHARDS_H_
