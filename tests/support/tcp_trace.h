// TcpTrace: a TCP test that reads like a packet trace. A raw peer (10.0.0.2) talks to an InetTestHost (10.0.0.1) in
// virtual time; each line is one packet: when, which way, flags, sequence range, ack, window, options.
//
//   TcpTrace t;
//   t.Listen(80);
//   t.In (0, "S  0:0          win 65535 <mss 1460, wscale 7>");
//   t.Out(0, "SA 0:0    ack 1 win 65535 <mss 1460, wscale 7>");
//   t.In (1, "A  1:1    ack 1 win 512");
//   t.Accept();
//   t.In (2, "A  1:101  ack 1 win 512");      // 100 bytes of the peer's stream
//   t.Out(2, "A  1:1    ack 101");
//   t.Read(100);
//
// Options are "mss 1460", "wscale 7", "sackOK", "ts 5 ecr 3" and "sack 101:201 301:401" (tcp_options_text.h). SACK
// blocks count like sequence numbers. A timestamp of the host counts from its SYN's, one of the peer in ms from the
// trace's beginning. Once agreed, In() adds what a peer would send unless the line has "ts" or is <none>, and Out()
// looks at the values only where the line has them.
//
// Times are milliseconds since the trace began. Sequence numbers count from each side's initial one: the SYN is 0, the
// first byte of data 1; a:b are the first byte and the one behind the last, SYN and FIN not counted: "S 0:5" has 5 bytes. Flags are S F R P
// A U E (ECE) W (CWR). `win` is the field as it lies on the wire, not scaled; an Out line may leave it away. `urg`
// is the urgent pointer, `ecn` are the two bits of the IP header, where they are not 0.
//
// The bytes of both streams are a fixed pattern of their position, made and checked everywhere by itself. Besides what
// a line says, every packet of the host is checked for right lengths and checksums, for a right window edge that never
// moves left, and for data that keeps within the peer's window. A packet that no line expects fails the test.
#ifndef TESTS_SUPPORT_TCP_TRACE_H_
#define TESTS_SUPPORT_TCP_TRACE_H_

#include <initializer_list>
#include <map>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "netstack/tcp/tcp_sock.h"
#include "runtime/buffer/frame_chain.h"
#include "tests/support/inet_test_host.h"

namespace weir::testing_support {

// Byte `offset` of every stream in these tests.
inline std::byte PatternAt(uint64_t offset) { return std::byte(offset * 131 + (offset >> 8) * 7 + 11); }
Bytes Pattern(uint64_t offset, size_t n);

class TcpTrace {
 public:
  using Where = std::source_location;
  struct Options {
    InetTestHost::Options host;
    uint32_t peer_isn = 1'000'000;
  };

  explicit TcpTrace(const Options& options);
  TcpTrace() : TcpTrace(Options{}) {}
  // Aborts and closes what is left, and checks that nothing is: packets, frames, timers, control blocks.
  ~TcpTrace();

  // The packets. In(): the peer sends. InBurst(): several within one turn of the host. Out(): the next packet of the
  // host. Quiet(): the host sends nothing until then.
  void In(double ms, absl::string_view line, Where where = Where::current());
  void InBurst(double ms, std::initializer_list<absl::string_view> lines, Where where = Where::current());
  void Out(double ms, absl::string_view line, Where where = Where::current());
  void Quiet(double ms, Where where = Where::current());
  // Takes whatever the host sends until `ms`, or has sent by now, with the checks that hold for every packet; the
  // lines, with times.
  std::vector<std::string> Drain(double ms = 0, Where where = Where::current());
  // The peer port that the following lines are about; 40000 at first. The host's port is the listener's.
  void From(uint16_t peer_port) { port_ = peer_port; }
  // Of the host's packets from now on; 64 at first.
  void ExpectTtl(uint8_t ttl) { ttl_ = ttl; }

  // The program on the host. Each call is followed by the rest of a turn.
  void Listen(uint16_t port, int backlog = 16, int fast_open = 0);
  void Unlisten();
  void Connect(uint16_t peer_port, const netstack::TcpConnectOptions& options = {});
  // Takes the connection from the accept queue; it must be there.
  void Accept(Where where = Where::current());
  // The program sends the next `n` bytes of the pattern; they must all be taken.
  void Send(size_t n, Where where = Where::current());
  // The program reads exactly `n` bytes that are there, copied or as frames; the pattern is checked.
  void Read(size_t n, Where where = Where::current());
  void ReadFrames(runtime::FrameChain& chain);
  void Shutdown();
  void Close();
  void Abort();

  // Listen, three segments and Accept, at 0 ms: MSS 1460 and the given window on both sides, no window scale unless
  // `wscale` says so. After it the peer's window is `window` and the next time is 0. Quick ACKs are used up, so that
  // ACKs are delayed, unless `quick`.
  struct Handshake {
    uint16_t window = 65535;
    std::optional<uint8_t> wscale;
    uint16_t mss = 1460;
    bool quick = false;
    double rtt = 0;  // ms that the third segment comes later; the next time is then this
    bool timestamps = false;
    bool sack = false;
  };
  void Establish(const Handshake& handshake);
  void Establish() { Establish(Handshake{}); }

  netstack::TcpSock& sock() { return *flow().sock; }
  netstack::TcpListenSock& listener() { return listener_; }
  bool has_sock() { return flow().sock != nullptr; }
  InetTestHost& host() { return host_; }
  netstack::TcpContext& tcp() { return host_.inet().tcp; }
  netstack::DropReason last() const { return host_.last(); }
  // The host's initial sequence number, as its last SYN said it.
  uint32_t iss() { return flow().iss.value(); }
  uint8_t TakeEvents() { return std::exchange(flow().events, 0); }
  // No connection and no timer is left.
  void ExpectGone(Where where = Where::current());
  uint64_t window_edges_checked() const { return window_edges_checked_; }

  // A start time with which the first connection from port 40000 to port 80 gets this initial sequence number.
  static Nanos StartForIss(uint32_t iss);

 private:
  static constexpr uint32_t kPeerClock = 0xfffff000;  // so that it wraps after four seconds
  struct Flow {
    netstack::TcpSock* sock = nullptr;
    uint16_t host_port = 80;
    std::optional<uint32_t> iss;  // the host's
    uint32_t isn = 0;             // the peer's
    int host_wscale = -1;         // as offered; -1: not
    int peer_wscale = -1;
    std::optional<uint32_t> right_edge;  // of the host's receive window, absolute
    std::optional<uint32_t> peer_edge;   // of the peer's
    std::optional<uint16_t> syn_window;  // of the peer's SYN
    std::optional<uint32_t> host_clock;  // TSval of the host's SYN
    uint32_t host_last_clock = 0;
    bool peer_timestamps = false;  // in the peer's SYN
    uint64_t sent = 0;  // by the program
    uint64_t read = 0;
    uint8_t events = 0;
  };
  struct Line;

  Flow& flow();
  Bytes Build(absl::string_view line);
  Bytes PeerOptions(Flow& f, absl::string_view text, uint8_t flags);
  void NoteClock(Flow& f, View options, uint8_t flags, const Where& where);
  void Note(char direction, absl::string_view text);
  // Lets time pass to `ms`; a packet that the host sends meanwhile is a failure.
  void PassTo(double ms, const Where& where);
  // The next packet that is not ARP (which is answered), waiting for it until `limit_ns`.
  std::optional<Departure> Next(Nanos limit_ns);
  std::string Show(const Packet& packet, const Where& where);
  void Check(Flow& f, const Packet& packet, const Where& where);
  void Fail(const Where& where, const std::string& message);
  void Attach(netstack::TcpSock& sock, Flow& f);
  double Ms(Nanos at_ns) const { return static_cast<double>(at_ns - start_ns_) / 1e6; }
  Nanos AtMs(double ms) const;

  InetTestHost host_;
  Nanos start_ns_;
  uint32_t peer_isn_;
  uint16_t port_ = 40000;
  uint8_t ttl_ = 64;
  netstack::TcpListenSock listener_;
  bool listening_ = false;
  std::map<uint16_t, Flow> flows_;
  std::vector<std::string> history_;
  uint64_t window_edges_checked_ = 0;
};

}  // namespace weir::testing_support

#endif  // TESTS_SUPPORT_TCP_TRACE_H_
