// Monitor: watches the segments of both hosts from the link, and knows nothing but what it sees there. It fails a run
// in which a host
// - sends beyond the window that the peer has advertised to it (RFC 9293 §3.8.4),
// - moves the right edge of its own window left, or its acknowledgment back (RFC 9293 §3.8.6),
// - sends other bytes at a sequence number than the program's, or a FIN at two places,
// - sends the same thing again and again.
#ifndef TESTS_SIM_MONITOR_H_
#define TESTS_SIM_MONITOR_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "runtime/base/time.h"
#include "tests/sim/tcp_view.h"
#include "tests/sim/verdict.h"

namespace weir::sim {

inline constexpr uint16_t kServerPort = 80;
// The i-th connection of a run, when both hosts open it, goes from this port, plus i, to the same one of the other.
inline constexpr uint16_t kFirstMeetingPort = 1000;

// What identifies a connection: the host that connected, and its port; when both did, host A counts.
using ConnectionKey = std::pair<int, uint16_t>;
// Of a segment that host `from` sends.
inline ConnectionKey KeyOf(int from, uint16_t source_port, uint16_t destination_port) {
  if (source_port == destination_port) return {0, source_port};
  return destination_port == kServerPort ? ConnectionKey{from, source_port} : ConnectionKey{1 - from, destination_port};
}

class Monitor {
 public:
  // More transmissions of one segment than that are a loop: the link's patience, twice for each of the two timeouts a
  // lost acknowledgment takes, with all that a go-back-N after each timeout sends once more.
  static constexpr uint32_t kMaxTransmissions = 64;

  explicit Monitor(Verdict& verdict, Nanos start_ns) : verdict_(verdict), start_ns_(start_ns) {}

  // The stream from `from` of this connection has these bytes.
  void Expect(const ConnectionKey& key, int from, uint64_t pattern, uint64_t bytes);
  // A host sent, or received, an intact frame.
  void Sent(int from, Nanos at_ns, const Bytes& frame);
  void Received(int to, Nanos at_ns, const Bytes& frame);
  // Keeps the line for the end of a failed run.
  void Note(int from, Nanos at_ns, const Bytes& frame, const std::string& fate);

  // The last packets, as text.
  std::string Tail() const;
  Nanos last_tcp_ns() const { return last_tcp_ns_; }
  uint64_t segments() const { return segments_; }
  uint64_t data_bytes() const { return data_bytes_; }
  // Connections whose SYNs, and whose FINs, passed each other on the way.
  uint64_t crossed_syns() const { return crossed_syns_; }
  uint64_t crossed_fins() const { return crossed_fins_; }

 private:
  static constexpr size_t kKept = 60;

  // One direction of a connection.
  struct Flow {
    std::optional<uint32_t> iss;
    bool reborn = false;              // another SYN: an old duplicate has opened it again, after the end
    int wscale = -1;                  // offered
    std::optional<uint32_t> edge;     // right edge of its receive window, as it told the peer
    std::optional<uint32_t> allowed;  // right edge of the peer's, as the peer's segments that arrived told it
    std::optional<uint32_t> ack;
    std::optional<uint32_t> fin;
    bool asked = false, answered = false;  // a SYN without, and then with an ACK
    std::optional<uint16_t> peer_syn_window;  // which counts from its own first number
    uint64_t pattern = 0, bytes = 0;
    std::unordered_map<uint32_t, uint32_t> transmissions;
  };
  struct Record {
    Nanos at_ns;
    int from;
    Bytes frame;
    std::string fate;
  };
  struct Seen {
    TcpView tcp;
    Flow& flow;
    Flow& peer;
  };

  std::optional<Seen> Find(int from, const Bytes& frame);
  void CheckAck(const Seen& seen);
  void CheckData(const Seen& seen);
  uint32_t Edge(const Seen& seen) const;
  void Fail(const std::string& what, const Seen& seen);

  Verdict& verdict_;
  const Nanos start_ns_;
  std::map<std::pair<ConnectionKey, int>, Flow> flows_;  // by the sender
  std::deque<Record> records_;
  Nanos last_tcp_ns_ = 0;
  uint64_t segments_ = 0, data_bytes_ = 0, crossed_syns_ = 0, crossed_fins_ = 0;
};

}  // namespace weir::sim

#endif  // TESTS_SIM_MONITOR_H_
