// FrameFuzzer: an Inet with a listener, connections in every state, a UDP socket and a neighbour, and frames for it:
// valid ones of all kinds, close to what the connections expect, then changed: bits, bytes and fields, with the
// checksums made right again or not; cut, lengthened, doubled; and bytes out of nowhere. The same seed gives the same
// frames.
#ifndef TESTS_FUZZ_FRAME_FUZZER_H_
#define TESTS_FUZZ_FRAME_FUZZER_H_

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "netstack/tcp/tcp_sock.h"
#include "netstack/udp/udp_table.h"
#include "tests/support/inet_test_host.h"

namespace weir::testing_support {

class FrameFuzzer {
 public:
  explicit FrameFuzzer(uint64_t seed);
  ~FrameFuzzer();

  // Makes `n` frames and receives them, in bursts, while programs read, write and close, and time passes.
  void Run(uint64_t n);
  // Receives one frame as it is.
  void ReceiveRaw(std::span<const uint8_t> bytes);
  // What must hold at any time; a test failure otherwise. Returns false then.
  bool Check();
  void PrintOutcomes();
  uint64_t received() const { return received_; }
  InetTestHost& host() { return host_; }

 private:
  static constexpr size_t kConnections = 24;

  uint64_t Below(uint64_t n) { return random_() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  // A connection brought to some state by frames and calls that are right.
  void Connect(size_t slot);
  void Program(size_t slot);
  void Forget(netstack::TcpSock*& sock);
  Bytes Valid();
  Bytes ValidFragment();
  Bytes ValidIcmpError();
  Bytes ValidTcp();
  Bytes TcpOptionsFor(const netstack::TcpSock& sock);
  Bytes TcpSegmentFor(const netstack::TcpSock& sock);
  void Mutate(Bytes& frame);
  void FixChecksums(Bytes& frame);
  void Receive(const Bytes& frame);

  std::mt19937_64 random_;
  InetTestHost host_;
  netstack::TcpListenSock listener_;
  netstack::UdpSock udp_;
  netstack::TcpSock* socks_[kConnections] = {};
  uint16_t next_port_ = 10000;
  uint64_t received_ = 0;
};

}  // namespace weir::testing_support

#endif  // TESTS_FUZZ_FRAME_FUZZER_H_
