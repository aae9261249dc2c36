// TCP from the frame in memory to the program and back, on weir's stack and on lwIP, in one run. A peer that loses nothing
// (TcpPeer) writes a burst of up to 64 Ethernet frames, as an AF_XDP ring gives it; one turn takes the burst to the program,
// lets it act, and puts what is to be sent on the device's queue. Only turns are timed.
//
//   stream/1/…    64 segments of 1448 B of one connection a turn, which wake its coroutine once
//   stream/64/…   one segment of 1448 B to each of 64 connections: 64 coroutines are resumed, each holds its buffer
//   turn/64/…     a request of 64 B to each of 64 connections, which is sent back
//   connect/64/…  64 connections are set up (SYN, ACK), end (FIN) and are gone; the time is for one, with its coroutine
//
// weir's side is coroutines that await TcpStream::Recvmsg, lwIP's its raw callbacks. Both verify all checksums. The time
// is for a segment, a request or a connection; `mallocs` is allocations for each, 0 for weir.
#include <benchmark/benchmark.h>

#include <cstring>

#include "bench/micro/ratio_reporter.h"
#include "bench/micro/tcp_peer.h"
#include "bench/micro/tcp_sides.h"
#include "runtime/base/check.h"
#include "runtime/base/time.h"
#include "tests/support/malloc_count.h"

namespace weir::bench {
namespace {

constexpr size_t kSegment = 1448;
constexpr size_t kRequest = 64;

// A stack with a peer that has `connections` to it.
template <typename Side>
class Bench {
 public:
  Bench(size_t connections, const TcpSideOptions& options) : peer_(connections), side_(options) {
    side_.Add(TcpPeer::Arp(side_.Next()));
    Turn();
  }

  // What one turn runs. A function of its own, so that instructions.sh can have callgrind count only this.
  [[gnu::noinline]] void MeasuredTurn() { side_.Turn(); }

  // From now on turns are what is measured, or they are not.
  void set_measured(bool measured) { measured_ = measured; }

  // Returns how long the stack took.
  Nanos Turn() {
    const Nanos before = MonotonicNow();
    if (measured_) {
      MeasuredTurn();
    } else {
      side_.Turn();
    }
    const Nanos took = MonotonicNow() - before;
    side_.Drain(peer_);
    return took;
  }
  // One frame of each connection.
  template <typename Write>
  Nanos ForAll(Write&& write) {
    Nanos took = 0;
    for (size_t i = 0; i < peer_.size();) {
      for (size_t n = 0; n < kBurst && i < peer_.size(); ++n, ++i) side_.Add(write(i, side_.Next()));
      took += Turn();
    }
    return took;
  }
  Nanos Connect() {
    Nanos took = ForAll([&](size_t i, std::byte* at) { return peer_.Syn(i, at); });
    took += ForAll([&](size_t i, std::byte* at) { return peer_.Ack(i, at); });
    WEIR_CHECK(peer_.established() == peer_.size());
    return took;
  }
  // The peer's FIN, the stack's, and the ACK of that.
  Nanos Close() {
    Nanos took = ForAll([&](size_t i, std::byte* at) { return peer_.Fin(i, at); });
    took += ForAll([&](size_t i, std::byte* at) { return peer_.Ack(i, at); });
    WEIR_CHECK(peer_.closed() == peer_.size());
    peer_.StartOver();
    return took;
  }
  void Reset() {
    ForAll([&](size_t i, std::byte* at) { return peer_.Rst(i, at); });
  }
  // A burst of segments, round the connections.
  Nanos Data(size_t payload, size_t frames = kBurst) {
    for (size_t n = 0; n < frames; ++n) {
      std::byte* at = side_.Next();
      std::memset(at + TcpPeer::kHeaders, 'w', payload);
      side_.Add(peer_.Data(n % peer_.size(), at, payload));
    }
    return Turn();
  }

  TcpPeer& peer() { return peer_; }
  Side& side() { return side_; }

 private:
  TcpPeer peer_;
  Side side_;
  bool measured_ = false;
};

// Counts mallocs of the measured time and reports both per item.
template <typename Side, typename Run>
void Measure(benchmark::State& state, Bench<Side>& bench, size_t items, Run&& run) {
  run();  // warm
  run();
  bench.set_measured(true);
  uint64_t mallocs = 0;
  for ([[maybe_unused]] auto _ : state) {
    const uint64_t before = testing::MallocCount();
    state.SetIterationTime(static_cast<double>(run()) / 1e9);
    mallocs += testing::MallocCount() - before;
  }
  bench.set_measured(false);
  const auto done = static_cast<double>(state.iterations() * items);
  state.counters["mallocs"] = static_cast<double>(mallocs) / done;
  state.counters["each"] = benchmark::Counter(done, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

template <typename Side>
void Stream(benchmark::State& state) {
  Bench<Side> bench(static_cast<size_t>(state.range(0)), {});
  bench.Connect();
  // Not more than the window of the SYN; what is scaled comes with the next ACK.
  bench.Data(kSegment, kBurst / 2);
  bench.Data(kSegment, kBurst / 2);
  const uint64_t before = bench.side().bytes();
  uint64_t sent = 0;
  Measure(state, bench, kBurst, [&] {
    sent += kBurst * kSegment;
    return bench.Data(kSegment);
  });
  if (bench.side().bytes() - before != sent) state.SkipWithError("bytes were lost");
  bench.Reset();
}

template <typename Side>
void Turn(benchmark::State& state) {
  Bench<Side> bench(static_cast<size_t>(state.range(0)), {.echo = true});
  bench.Connect();
  uint64_t sent = 0;
  Measure(state, bench, kBurst, [&] {
    sent += kBurst * kRequest;
    return bench.Data(kRequest);
  });
  if (bench.peer().received() != sent) state.SkipWithError("requests were not answered");
  bench.Reset();
}

template <typename Side>
void ConnectAndClose(benchmark::State& state) {
  Bench<Side> bench(static_cast<size_t>(state.range(0)), {});
  Measure(state, bench, bench.peer().size(), [&] {
    const Nanos connected = bench.Connect();
    return connected + bench.Close();
  });
}

#define BOTH(function, name, connections)                                                  \
  BENCHMARK(function<WeirTcpSide>)->Name(name "/weir")->Arg(connections)->UseManualTime();  \
  BENCHMARK(function<LwipTcpSide>)->Name(name "/lwip")->Arg(connections)->UseManualTime()
BOTH(Stream, "stream", 1);
BOTH(Stream, "stream", 64);
BOTH(Turn, "turn", 64);
BOTH(ConnectAndClose, "connect", 64);

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::RunWithRatios(argc, argv, "each"); }
