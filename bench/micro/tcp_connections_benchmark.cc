// What a connection costs that is open, and what it costs that many are: weir's stack in memory (tcp_sides.h) with 1, 1000
// and 1,000,000 established connections, each with a coroutine that waits in TcpStream::Recvmsg.
//
//   tcp_connections_benchmark [CONNECTIONS...]
//
// Memory is what malloc and the recycler gave out while they were opened: control blocks, socket objects, coroutine frames, hash slots and
// timers. The time is for a segment of 64 B, from the Ethernet frame to the resumed coroutine, ACKs included, in bursts of
// 64: of the same connection where there is one, else of as many that are drawn at random, so that what a connection keeps
// in memory has left the caches before its turn comes.
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "bench/micro/tcp_peer.h"
#include "bench/micro/tcp_sides.h"
#include "runtime/base/check.h"
#include "runtime/base/recycler.h"
#include "runtime/base/time.h"

namespace weir::bench {
namespace {

constexpr size_t kPayload = 64;
constexpr size_t kTurns = 20000;

size_t BytesInUse() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd + runtime::Recycler::ThisThread().bytes();
}

Nanos TimedTurn(WeirTcpSide& side, TcpPeer& peer) {
  const Nanos before = MonotonicNow();
  side.Turn();
  const Nanos took = MonotonicNow() - before;
  side.Drain(peer);
  return took;
}

// A burst of SYNs, then of ACKs.
void Connect(WeirTcpSide& side, TcpPeer& peer) {
  for (size_t first = 0; first < peer.size(); first += kBurst) {
    const size_t last = std::min(first + kBurst, peer.size());
    for (size_t i = first; i < last; ++i) side.Add(peer.Syn(i, side.Next()));
    TimedTurn(side, peer);
    for (size_t i = first; i < last; ++i) side.Add(peer.Ack(i, side.Next()));
    TimedTurn(side, peer);
  }
  WEIR_CHECK(peer.established() == peer.size());
}

// In a process of its own, whose recycler has nothing yet.
void Run(size_t connections) {
  TcpPeer peer(connections);
  const size_t before = BytesInUse();
  WeirTcpSide side({.max_sockets = static_cast<uint32_t>(connections)});
  const size_t without = BytesInUse() - before;
  side.Add(TcpPeer::Arp(side.Next()));
  TimedTurn(side, peer);
  Connect(side, peer);
  const size_t open = BytesInUse() - before - without;

  std::mt19937_64 random(42);
  uint64_t sent = 0;
  std::vector<double> turns;
  for (size_t turn = 0; turn < kTurns; ++turn) {
    for (size_t n = 0; n < kBurst; ++n) {
      std::byte* at = side.Next();
      std::memset(at + TcpPeer::kHeaders, 'w', kPayload);
      side.Add(peer.Data(connections == 1 ? 0 : random() % connections, at, kPayload));
      sent += kPayload;
    }
    turns.push_back(static_cast<double>(TimedTurn(side, peer)));
  }
  WEIR_CHECK(side.bytes() == sent);
  std::ranges::nth_element(turns, turns.begin() + kTurns / 2);
  std::printf("%9zu connections: %6.0f bytes each, %6.1f ns a segment\n", connections,
              static_cast<double>(open) / static_cast<double>(connections) + 8, turns[kTurns / 2] / kBurst);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  std::vector<size_t> counts;
  for (int i = 1; i < argc; ++i) counts.push_back(std::strtoul(argv[i], nullptr, 10));
  if (counts.empty()) counts = {1, 1000, 1'000'000};
  std::puts("bytes: with 8 for the slot of the hash table");
  std::fflush(stdout);
  for (const size_t count : counts) {
    if (count == 0) {
      std::fprintf(stderr, "tcp_connections_benchmark: CONNECTIONS are numbers from 1 on\n");
      return 1;
    }
    const pid_t child = fork();
    if (child == 0) {
      weir::bench::Run(count);
      std::fflush(stdout);
      _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return 1;
  }
}
