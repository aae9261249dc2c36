// UDP from the frame in memory to the program, on weir's stack and on lwIP, in one run: a burst of 64 Ethernet frames,
// as an AF_XDP ring gives it, goes in, and the program has had every datagram when the iteration is over.
//
//   weir   ReceiveBurst -> EthernetRcv -> IpRcv -> UdpRcv -> socket -> a coroutine that awaits UdpSocket::Recvmsg in a
//          loop is resumed, holds the datagram's buffer and lets it go: once for each datagram
//   lwIP   netif->input (ethernet_input) -> a raw udp_recv callback, which gets the pbuf and frees it
//
// Both verify IP and UDP checksums, work on frames in place and lay them out alike. `per_datagram` is time;
// `mallocs` is allocations per datagram, which has to be 0 for weir. The ratios are printed at the end.
//
// "sockets": each datagram of a burst is for another of 64 sockets, and so resumes another coroutine. "senders": to one
// socket from 1000 addresses and ports in turn, each from a frame of its own.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/micro/ratio_reporter.h"
#include "bench/peers/lwip_udp.h"
#include "netstack/ip/filter_hook.h"
#include "netstack/ip/inet.h"
#include "netstack/link/ethernet_rcv.h"
#include "netstack/socket/inet_stack.h"
#include "netstack/socket/udp_socket.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/scheduler.h"
#include "tests/support/malloc_count.h"
#include "tests/support/packets.h"

namespace weir::bench {
namespace {

namespace packets = testing_support;

constexpr size_t kBurst = LwipHost::kBurst;
constexpr uint16_t kPort = 7;
// Where AF_XDP puts a received frame in its chunk (XDP_PACKET_HEADROOM).
constexpr uint32_t kRingHeadroom = 256;

struct Traffic {
  size_t payload = 64;
  size_t sockets = 1;  // to as many ports, from kPort on
  size_t senders = 1;  // with an address and a port each
};

// The frames that differ, in the order in which they come.
std::vector<packets::Bytes> Frames(const Traffic& traffic, bool corrupt) {
  std::vector<packets::Bytes> frames;
  for (size_t i = 0; i < std::max(traffic.sockets, traffic.senders); ++i) {
    const auto sender = static_cast<uint32_t>(i % traffic.senders);
    const auto port = static_cast<uint16_t>(kPort + i % traffic.sockets);
    const packets::Flow flow{.source = packets::kPeerIp + (sender << 8)};
    const auto from = static_cast<uint16_t>(40000 + sender);
    const packets::Bytes udp = packets::Udp(from, port, packets::Filler(traffic.payload), flow);
    frames.push_back(packets::Ethernet({}, packets::Ipv4({.source = flow.source}, udp)));
    if (corrupt) frames.back().back() ^= std::byte{1};
  }
  return frames;
}

// Every frame of the pool holds a datagram where the ring would have put it. Neither stack changes its bytes.
runtime::FramePool::Ptr FilledPool(const std::vector<packets::Bytes>& frames) {
  runtime::FramePool::Ptr pool = *runtime::FramePool::Create({.frames = 4096});
  for (uint32_t i = 0; i < pool->size(); ++i) {
    const packets::Bytes& bytes = frames[i % frames.size()];
    std::copy(bytes.begin(), bytes.end(), (*pool)[i].base + kRingHeadroom);
  }
  return pool;
}

// What both sides are to a benchmark: Turn() takes one burst all the way to the program.
class WeirSide {
 public:
  WeirSide(const Traffic& traffic, const std::vector<packets::Bytes>& frames)
      : size_(static_cast<uint32_t>(frames[0].size())), pool_(FilledPool(frames)),
        inet_(Options(), netstack::TcpSettings(), *pool_, scheduler_.timers()), stack_(inet_, scheduler_),
        scope_(TaskContext{&scheduler_, {}}) {
    // A freed frame is the next one to be taken, so a burst lies in the same 64 frames each time; more senders than
    // that have their frames here.
    for (size_t i = 0; traffic.senders > 1 && i < traffic.senders; ++i) row_.push_back(pool_->Alloc(kRingHeadroom));
    for (size_t i = 0; i < traffic.sockets; ++i) {
      sockets_.push_back(*UdpSocket::Bind(stack_, {.port = static_cast<uint16_t>(kPort + i)}));
    }
    for (UdpSocket& socket : sockets_) scope_.Spawn(Reader(socket));
    scheduler_.RunReady();
  }
  ~WeirSide() {
    scope_.RequestStop();
    while (scope_.live() > 0) scheduler_.RunReady();
    for (runtime::Frame* frame : row_) runtime::Unref(frame);
  }

  void Turn() {
    runtime::Frame* burst[kBurst];
    const size_t first = at_;
    if (row_.empty()) {
      for (runtime::Frame*& frame : burst) frame = pool_->Alloc(kRingHeadroom);
    } else {
      for (runtime::Frame*& frame : burst) frame = row_[Next(at_)];
    }
    for (runtime::Frame* frame : burst) frame->len = size_;
    netstack::ReceiveBurst(inet_, *inet_.ip.interfaces.front(), burst, scheduler_.now_ns());
    stack_.RunWakeups();
    scheduler_.RunReady();
    // The same frames, which are free again, in the same places.
    if (row_.empty()) return;
    for (size_t at = first; at != at_;) row_[Next(at)] = pool_->Alloc(kRingHeadroom);
  }
  uint64_t datagrams() const { return datagrams_; }
  uint64_t bytes() const { return bytes_; }

 protected:
  netstack::IpContext& ip() { return inet_.ip; }

 private:
  static netstack::IpOptions Options() {
    netstack::InterfaceOptions interface{.addresses = {{IpAddress::V4(packets::kHostIp), 24}}};
    interface.device.mac.bytes = packets::kHostMac;
    return {.interfaces = {interface}, .secret = {17, 42}};
  }
  // `at`, which moves on.
  size_t Next(size_t& at) const { return std::exchange(at, at + 1 == row_.size() ? 0 : at + 1); }
  Task<void> Reader(UdpSocket& socket) {
    for (;;) {
      absl::StatusOr<Datagram> got = co_await socket.Recvmsg();
      if (!got.ok()) co_return;
      ++datagrams_;
      bytes_ += got->data.size();
    }
  }

  uint32_t size_;
  uint64_t datagrams_ = 0;
  uint64_t bytes_ = 0;
  runtime::Scheduler scheduler_{kSecond};
  runtime::FramePool::Ptr pool_;
  netstack::Inet inet_;
  netstack::InetStack stack_;
  std::vector<UdpSocket> sockets_;
  std::vector<runtime::Frame*> row_;  // those of many senders; a burst takes the next ones
  size_t at_ = 0;
  AsyncScope scope_;
};

// The same behind a packet filter at LOCAL_IN, whose last of 16 rules is the one that matches. What hooks cost when there
// are none is in "weir": a look at a counter at each.
class FilteredWeirSide : public WeirSide {
 public:
  FilteredWeirSide(const Traffic& traffic, const std::vector<packets::Bytes>& frames)
      : WeirSide(traffic, frames), filter_(ip(), Rules()) {}

 private:
  static netstack::Filter Rules() {
    netstack::Filter filter;
    for (uint16_t port = kPort + 15; port >= kPort; --port) {
      filter.Add({.hook = netstack::Hook::kLocalIn, .protocol = 17, .destination_port = {{port, port}}});
    }
    filter.set_policy(netstack::Hook::kLocalIn, netstack::FilterVerdict::kDrop);
    return filter;
  }
  netstack::FilterHook filter_;
};

class LwipSide {
 public:
  LwipSide(const Traffic& traffic, const std::vector<packets::Bytes>& frames)
      : pool_(FilledPool(frames)), host_(packets::kHostMac, packets::kHostIp) {
    for (size_t i = 0; i < traffic.sockets; ++i) sinks_.emplace_back(host_, static_cast<uint16_t>(kPort + i));
    for (size_t i = 0; i < std::max(kBurst, traffic.senders) + kBurst; ++i) {
      const auto at = static_cast<uint32_t>(i % std::max(kBurst, traffic.senders));
      frames_.emplace_back((*pool_)[at].base + kRingHeadroom, frames[0].size());
    }
  }

  void Turn() {
    host_.Receive(std::span(frames_).subspan(at_, kBurst));
    at_ = (at_ + kBurst) % (frames_.size() - kBurst);
  }
  uint64_t datagrams() const { return Total(&LwipUdpSink::datagrams); }
  uint64_t bytes() const { return Total(&LwipUdpSink::bytes); }

 private:
  uint64_t Total(uint64_t (LwipUdpSink::*counter)() const) const {
    uint64_t total = 0;
    for (const LwipUdpSink& sink : sinks_) total += (sink.*counter)();
    return total;
  }

  runtime::FramePool::Ptr pool_;
  LwipHost host_;
  std::deque<LwipUdpSink> sinks_;
  std::vector<std::span<std::byte>> frames_;  // all of them, and the first burst again behind the last
  size_t at_ = 0;
};

// What an iteration runs. A function of its own, so that instructions.sh can have callgrind count only this.
template <typename Side>
[[gnu::noinline]] void MeasuredTurn(Side& side) {
  side.Turn();
}

template <typename Side>
bool RefusesCorruption(const Traffic& traffic) {
  Side side(traffic, Frames(traffic, /*corrupt=*/true));
  side.Turn();
  return side.datagrams() == 0;
}

template <typename Side, size_t kSockets = 1, size_t kSenders = 1>
void Receive(benchmark::State& state) {
  const auto payload = static_cast<size_t>(state.range(0));
  const Traffic traffic{.payload = payload, .sockets = kSockets, .senders = kSenders};
  if (!RefusesCorruption<Side>(traffic)) return state.SkipWithError("a wrong checksum was not noticed");
  Side side(traffic, Frames(traffic, /*corrupt=*/false));
  side.Turn();  // warm
  const uint64_t before = testing::MallocCount(), received = side.datagrams();
  for ([[maybe_unused]] auto _ : state) MeasuredTurn(side);
  const auto mallocs = static_cast<double>(testing::MallocCount() - before);
  const uint64_t datagrams = side.datagrams() - received;
  if (datagrams != state.iterations() * kBurst || side.bytes() != side.datagrams() * payload) {
    return state.SkipWithError("datagrams were lost");
  }
  state.counters["mallocs"] = mallocs / static_cast<double>(datagrams);
  state.counters["per_datagram"] = benchmark::Counter(
      static_cast<double>(datagrams), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(Receive<WeirSide>)->Name("weir")->Arg(64)->Arg(1472);
BENCHMARK(Receive<FilteredWeirSide>)->Name("weir_filtered")->Arg(64);
BENCHMARK(Receive<LwipSide>)->Name("lwip")->Arg(64)->Arg(1472);
BENCHMARK(Receive<WeirSide, 64>)->Name("sockets/weir")->Arg(64);
BENCHMARK(Receive<LwipSide, 64>)->Name("sockets/lwip")->Arg(64);
BENCHMARK(Receive<WeirSide, 1, 1000>)->Name("senders/weir")->Arg(64);
BENCHMARK(Receive<LwipSide, 1, 1000>)->Name("senders/lwip")->Arg(64);

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::RunWithRatios(argc, argv, "per_datagram"); }
