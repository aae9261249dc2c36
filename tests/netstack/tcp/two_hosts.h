// TwoHosts: two InetTestHosts and a link between them that loses, doubles, delays and reorders by seed, in virtual
// time. On each side a program sends a stream of the pattern, reads the other's, shuts down, and closes after the
// other's end. The same seed gives the same run, to the byte and the nanosecond.
#ifndef TESTS_NETSTACK_TCP_TWO_HOSTS_H_
#define TESTS_NETSTACK_TCP_TWO_HOSTS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "netstack/tcp/tcp_sock.h"
#include "tests/support/inet_test_host.h"

namespace weir::testing_support {

class TwoHosts {
 public:
  struct Options {
    uint64_t seed = 0;
    bool prediction = true;
    bool record = false;  // keep what was on the link, for comparison
    // Of a thousand; else by the seed, and at most 120: beyond that the limits on retries (8 for an orphan) end a
    // connection in one of some thousand runs, rightly.
    std::optional<uint32_t> loss_permille;
    bool options = true;  // SACK and timestamps by the seed, else none
    bool bulk = false;    // one side sends much, over a path that takes it
  };
  explicit TwoHosts(const Options& options);
  ~TwoHosts();

  // Runs until both streams arrived and everything is over; false, with a test failure, when that does not happen.
  bool Run();
  // Every frame that a host sent, with its time, in order.
  const std::string& record() const { return record_; }
  // What the seed means, for a failure's message.
  std::string Describe() const;
  uint64_t frames() const { return frames_; }
  // When the last byte of both streams was read, from the beginning.
  Nanos done_ns() const { return done_ns_; }
  const netstack::TcpCounters& counters(int side) const { return sides_[side].host->inet().tcp.counters; }

 private:
  struct Side {
    std::unique_ptr<InetTestHost> host;
    netstack::TcpSock* sock = nullptr;
    uint64_t to_send = 0, sent = 0, received = 0;
    bool by_frames = false;  // sends SendBuffers and reads frames, rather than copying
    uint32_t read_chance = 1;  // reads at one in so many chances
    bool shut = false, done = false;
  };
  struct Arrival {
    Nanos at_ns;
    uint64_t order;
    int side;
    Bytes frame;
    bool operator<(const Arrival& other) const {
      return at_ns != other.at_ns ? at_ns > other.at_ns : order > other.order;
    }
  };

  uint64_t Below(uint64_t n) { return random_() % n; }
  void Bulk(InetTestHost::Options& host);
  void Transmit(int from);
  bool Step();
  void Program(Side& side);
  void Read(Side& side);
  void Send(Side& side);
  bool Over() const;

  Options options_;
  std::mt19937_64 random_;
  uint32_t loss_permille_, double_permille_, reorder_permille_;
  Nanos delay_ns_, jitter_ns_;
  Side sides_[2];
  netstack::TcpListenSock listener_;
  std::priority_queue<Arrival> link_;
  uint64_t order_ = 0, frames_ = 0;
  Nanos now_ns_ = 0;
  Nanos done_ns_ = 0;
  std::string record_;
};

}  // namespace weir::testing_support

#endif  // TESTS_NETSTACK_TCP_TWO_HOSTS_H_
