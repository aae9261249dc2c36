// Network: the link between two hosts, A and B, in virtual time. What a frame meets there is drawn from a seed.
//
// It is merciful in one thing: what begins at a sequence number is not lost more than kPatience times, nor is the same
// acknowledgment without data. So a connection that gives up has no excuse, however bad the link.
#ifndef TESTS_SIM_NETWORK_H_
#define TESTS_SIM_NETWORK_H_

#include <cstdint>
#include <functional>
#include <queue>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/sim/params.h"
#include "tests/sim/tcp_view.h"

namespace weir::sim {

class Network {
 public:
  // Data and its acknowledgment may each be lost so often: six attempts, and tcp_orphan_retries is 8. A SYN less, as
  // tcp_synack_retries is 5.
  static constexpr int kPatience = 3, kSynPatience = 2;
  // Of what fits through a black hole, less: its first six transmissions went into the hole.
  static constexpr int kHolePatience = 1;

  // `note` is told what becomes of each frame.
  using Note = std::function<void(int from, Nanos at_ns, const Bytes& frame, const std::string& fate)>;

  Network(const Params& params, Note note);

  void Send(int from, Nanos at_ns, const Bytes& frame);
  // kNever when it is empty.
  Nanos NextArrival() const { return arrivals_.empty() ? kNever : arrivals_.top().at_ns; }
  bool HasFor(int to, Nanos now_ns) const;

  struct Arrival {
    Nanos at_ns;
    uint64_t order;
    int to;
    bool intact;
    Bytes frame;
    bool operator<(const Arrival& other) const {
      return at_ns != other.at_ns ? at_ns > other.at_ns : order > other.order;
    }
  };
  // The next frame, which must be there.
  Arrival Take();

  uint64_t lost() const { return lost_; }
  uint64_t corrupted() const { return corrupted_; }
  uint64_t too_big() const { return too_big_; }
  uint64_t queue_drops() const { return queue_drops_; }

 private:
  struct Direction {
    Nanos busy_until_ns = 0;
    Nanos last_arrival_ns = 0;
    std::unordered_map<uint64_t, int> misses;  // of the same thing
  };

  uint64_t Below(uint64_t n) { return random_() % n; }
  bool Chance(uint32_t permille) { return Below(1000) < permille; }
  uint32_t Mtu(Nanos at_ns) const;
  bool Mercy(Direction& direction, const TcpView& tcp, bool would_miss);
  void SendTooBig(int to, Nanos at_ns, const Bytes& frame, uint32_t mtu);
  void Deliver(int from, Nanos at_ns, const Bytes& frame, bool intact, std::string fate);
  void Corrupt(Bytes& frame);

  const Params& params_;
  Note note_;
  std::mt19937_64 random_;
  Direction directions_[2];  // by sender
  std::priority_queue<Arrival> arrivals_;
  uint64_t order_ = 0, lost_ = 0, corrupted_ = 0, too_big_ = 0, queue_drops_ = 0;
};

}  // namespace weir::sim

#endif  // TESTS_SIM_NETWORK_H_
