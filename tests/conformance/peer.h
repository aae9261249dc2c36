// Peer: the other end of the connections of a script. It makes packets from the words of "in" lines, holds packets of the
// stack against the words of "out" lines, and shows them in the same notation. Numbers in lines count from each side's
// initial sequence number; see README.md.
#ifndef TESTS_CONFORMANCE_PEER_H_
#define TESTS_CONFORMANCE_PEER_H_

#include <map>
#include <optional>
#include <set>
#include <string>

#include "runtime/base/time.h"
#include "tests/conformance/script.h"
#include "tests/conformance/segment.h"

namespace weir::conformance {

// Byte `offset` of every stream.
inline std::byte PatternAt(uint64_t offset) { return std::byte(offset * 131 + (offset >> 8) * 7 + 11); }
Bytes Pattern(uint64_t offset, size_t n);

inline constexpr uint16_t kPeerPort = 40000;  // of flow 0; that of flow N is N more
inline constexpr uint16_t kTcpPort = 80, kUdpPort = 53;  // the stack's, unless it connects

class Peer {
 public:
  Peer(bool v6, Nanos start_ns) : v6_(v6), start_ns_(start_ns) {}

  // The frame of an "in" line. Nothing, with `*error`, when it says something that there is not.
  std::optional<Bytes> Build(const ScriptLine& line, Nanos now_ns, std::string* error);
  // To be called for every packet of the stack, before the others: what it tells of its connection.
  void Note(const Segment& segment, Nanos at_ns);
  // What is not as the line says, or "".
  std::string Compare(const ScriptLine& line, const Segment& segment, Nanos at_ns);
  std::string Show(const Segment& segment);
  // "flow#1 isn 5000": from now on the flow is another connection, with this initial number of the peer.
  std::string Reset(const ScriptLine& line);

 private:
  struct Flow {
    uint16_t peer_port = 0;
    uint16_t stack_tcp_port = kTcpPort, stack_udp_port = kUdpPort;
    uint32_t isn = 0;                       // the peer's
    uint32_t iss = 0;                       // the stack's; 0 until it said it
    bool stack_offers_ts = false, peer_offers_ts = false;
    std::optional<uint32_t> first_clock;    // TSval of the stack's first packet with one
    Nanos first_clock_ns = 0;
    uint32_t last_clock = 0;
    std::set<uint32_t> peer_clocks;         // TSvals that the peer has sent
    std::optional<Bytes> last_packet;       // of the stack, from the IP header on
  };
  struct Words;

  Flow& flow(int number);
  Flow* FlowOf(const Segment& segment);
  bool timestamps(const Flow& f) const { return f.stack_offers_ts && f.peer_offers_ts; }
  uint32_t Clock(Nanos now_ns) const { return kClockBase + static_cast<uint32_t>((now_ns - start_ns_) / kMillisecond); }
  std::optional<Bytes> BuildTcp(const ScriptLine& line, Nanos now_ns, std::string* error);
  std::optional<Bytes> BuildUdp(const ScriptLine& line, std::string* error);
  std::optional<Bytes> BuildIcmp(const ScriptLine& line, std::string* error);
  bool BuildOptions(Flow& f, const std::string& text, Nanos now_ns, Bytes* options, std::string* error);
  std::string CompareTcp(const ScriptLine& line, Flow& f, const Segment& s, Nanos at_ns);
  std::string CompareOptions(const Flow& f, const std::string* text, const Segment& s, Nanos at_ns);
  std::string CheckClock(const Flow& f, uint32_t value, uint32_t echo, Nanos at_ns) const;
  std::string CheckData(const Flow& f, const Segment& s) const;

  static constexpr uint32_t kClockBase = 1'000'000;
  const bool v6_;
  const Nanos start_ns_;
  std::map<int, Flow> flows_;
  Bytes cookie_;  // of Fast Open, the last that the stack gave
};

}  // namespace weir::conformance

#endif  // TESTS_CONFORMANCE_PEER_H_
