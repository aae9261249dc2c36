// What a seed of the simulator stands for: the link, the two hosts, and what the programs on them do.
#ifndef TESTS_SIM_PARAMS_H_
#define TESTS_SIM_PARAMS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "netstack/tcp/tcp_context.h"
#include "runtime/base/time.h"

namespace weir::sim {

// What a seed may draw.
struct Switches {
  // A narrow link drops packets and says nothing, which only packetization layer path MTU discovery (RFC 4821) finds.
  bool black_holes = true;
};

// One direction of the link. Rates are per mille of the TCP segments and ICMP errors; ARP and neighbour discovery have
// only the delay, since what they do about losses is not the subject.
struct LinkParams {
  uint32_t loss = 0, duplicate = 0, corrupt = 0, overtake = 0;
  Nanos delay_ns = 0, jitter_ns = 0;
  bool in_order = true;           // jitter does not reorder; overtake does
  uint64_t bytes_per_second = 0;  // 0: no limit
  uint64_t queue_bytes = 0;       // of what waits for a link with a limit; more is dropped
};

struct MtuChange {
  Nanos at_ns;
  uint32_t mtu;
};

struct HostParams {
  uint32_t mtu = 1500;
  uint32_t frames = 1024;
  netstack::TcpSettings tcp = {.max_sockets = 1024};
  bool hold_tx = false;  // sent frames come back late
  uint32_t fast_open_queue = 0;  // of its listener
};

enum class ReadMode : uint8_t { kCopy, kDirect, kFrames, kHoldFrames };
// How a program ends its part of a connection.
enum class Ending : uint8_t {
  kShutdown,     // FIN behind its data; closes at the peer's FIN
  kAfterPeer,    // goes on sending after the peer's FIN, and closes behind that
  kCloseAtOnce,  // closes behind its data and never hears of the peer's FIN; the peer sends nothing
  kAbort,        // RST somewhere in the middle
};

struct AppParams {
  uint64_t bytes = 0;
  size_t max_write = 1, max_read = 1;
  ReadMode read = ReadMode::kCopy;
  bool send_frames = false;
  bool nodelay = false;
  uint32_t pause_one_in = 0;  // after a call; 0: never
  Nanos max_pause_ns = 0;
  Ending ending = Ending::kShutdown;
  uint64_t abort_after = 0;  // bytes sent and received
  Nanos shut_ns = 0;  // not shut before, from the start of the run: when both have the same, they close at once
};

struct ConnectionParams {
  int client = 0;          // the host that connects
  bool both_open = false;  // or each connects to the other's port, at once (RFC 9293 §3.5, figure 7)
  Nanos start_ns = 0;
  bool fast_open = false;
  AppParams apps[2];  // by host
  bool aborts() const { return apps[0].ending == Ending::kAbort || apps[1].ending == Ending::kAbort; }
};

struct Params {
  uint64_t seed = 0;
  bool v4 = true;
  bool wraps = false;  // the sequence numbers of the first connection
  bool black_hole = false;
  Nanos start_ns = kSecond;
  LinkParams links[2];  // by sender
  std::vector<MtuChange> mtu_changes;
  HostParams hosts[2];
  std::vector<ConnectionParams> connections;

  uint64_t bytes() const;
  // Calls that write them, about; what is given in frames goes in as many segments.
  uint64_t writes() const;
  std::string ToString() const;
};

Params DrawParams(uint64_t seed, const Switches& switches = {});

}  // namespace weir::sim

#endif  // TESTS_SIM_PARAMS_H_
