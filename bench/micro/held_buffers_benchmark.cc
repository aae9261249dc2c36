// What 10,000 connections, each of which keeps one RecvBuffer that its program has read in part, cost one more connection:
// weir's stack in memory (tcp_sides.h), with them and next to a stack whose connections keep nothing, in turns. As on
// AF_XDP, 4096 of the 16,384 frames are not there, for they would be on the Fill ring.
//
//   held_buffers_benchmark [CONNECTIONS]
//
//   stream  64 segments of 1448 B of the one connection a turn
//   echo    one request of 64 B a turn, which is sent back
//
// The ratio is of the medians; it is meant to stay below 1.10.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "bench/micro/tcp_peer.h"
#include "bench/micro/tcp_sides.h"
#include "runtime/base/check.h"
#include "runtime/base/time.h"

namespace weir::bench {
namespace {

constexpr uint32_t kFrames = 16384, kFillRing = 4096;
constexpr size_t kRounds = 40, kTurns = 250;

class Bench {
 public:
  Bench(size_t connections, bool keep, bool echo)
      : peer_(connections + 1),
        side_({.echo = echo,
               .max_sockets = static_cast<uint32_t>(connections + 1),
               .frames = kFrames,
               .keepers = keep ? connections : 0}) {
    side_.Add(TcpPeer::Arp(side_.Next()));
    Turn();
    ForAll(peer_.size(), [&](size_t i, std::byte* at) { return peer_.Syn(i, at); });
    ForAll(peer_.size(), [&](size_t i, std::byte* at) { return peer_.Ack(i, at); });
    WEIR_CHECK(peer_.established() == peer_.size());
    while (on_ring_.size() < kFillRing) on_ring_.push_back(side_.pool().Alloc());
    ForAll(connections, [&](size_t i, std::byte* at) { return Data(i, at, 64); });
    ForAll(connections, [&](size_t i, std::byte* at) { return peer_.Ack(i, at); });  // of what came back
    WEIR_CHECK(side_.keeping() == (keep ? connections : 0));
  }
  ~Bench() {
    for (runtime::Frame* frame : on_ring_) runtime::Unref(frame);
  }

  // Bursts of the one connection; adds how long the stack took for each.
  void Run(size_t payload, size_t frames) {
    for (size_t turn = 0; turn < kTurns; ++turn) {
      for (size_t n = 0; n < frames; ++n) side_.Add(Data(peer_.size() - 1, side_.Next(), payload));
      turns_.push_back(static_cast<double>(Turn()) / static_cast<double>(frames));
    }
  }
  double Median() {
    std::ranges::nth_element(turns_, turns_.begin() + static_cast<std::ptrdiff_t>(turns_.size() / 2));
    return turns_[turns_.size() / 2];
  }
  WeirTcpSide& side() { return side_; }

 private:
  size_t Data(size_t i, std::byte* at, size_t payload) {
    std::memset(at + TcpPeer::kHeaders, 'w', payload);
    return peer_.Data(i, at, payload);
  }
  Nanos Turn() {
    const Nanos before = MonotonicNow();
    side_.Turn();
    const Nanos took = MonotonicNow() - before;
    side_.Drain(peer_);
    return took;
  }
  template <typename Write>
  void ForAll(size_t count, Write&& write) {
    for (size_t i = 0; i < count;) {
      for (size_t n = 0; n < kBurst && i < count; ++n, ++i) side_.Add(write(i, side_.Next()));
      Turn();
    }
  }

  TcpPeer peer_;
  WeirTcpSide side_;
  std::vector<runtime::Frame*> on_ring_;
  std::vector<double> turns_;
};

void Compare(const char* name, size_t connections, bool echo, size_t payload, size_t frames) {
  Bench keeping(connections, /*keep=*/true, echo), free(connections, /*keep=*/false, echo);
  // Not more than the window of the SYN at first.
  for (Bench* bench : {&keeping, &free}) bench->Run(payload, std::max<size_t>(frames / 2, 1));
  for (size_t round = 0; round < kRounds; ++round) {
    keeping.Run(payload, frames);
    free.Run(payload, frames);
  }
  std::printf("%-6s %zu connections that keep a buffer: %6.1f ns, that keep none: %6.1f ns, ratio %.3f; "
              "%u frames free of %u, %u in programs' hands, %u in the heap\n",
              name, connections, keeping.Median(), free.Median(), keeping.Median() / free.Median(),
              keeping.side().pool().free_count(), kFrames, keeping.side().pool().charged(),
              keeping.side().inet().ip.heap() != nullptr ? keeping.side().inet().ip.heap()->outstanding() : 0);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  const size_t connections = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 10'000;
  if (connections == 0) {
    std::fprintf(stderr, "held_buffers_benchmark: CONNECTIONS is a number from 1 on\n");
    return 1;
  }
  weir::bench::Compare("stream", connections, /*echo=*/false, 1448, weir::bench::kBurst);
  weir::bench::Compare("echo", connections, /*echo=*/true, 64, 1);
  return 0;
}
