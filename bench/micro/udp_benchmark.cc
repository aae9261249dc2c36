// UDP from the frame in memory to the program, on weir's stack and on lwIP, in one run: a burst of 64 Ethernet frames,
// as an AF_XDP ring gives it, goes in, and the program has had every datagram when the iteration is over.
//
//   weir   ReceiveBurst -> EthernetRcv -> IpRcv -> UdpRcv -> socket -> a coroutine that awaits UdpSocket::Recvmsg in a
//          loop is resumed, holds the datagram's buffer and lets it go: once for each datagram
//   lwIP   netif->input (ethernet_input) -> a raw udp_recv callback, which gets the pbuf and frees it
//
// Both verify IP and UDP checksums, work on frames in place and lay them out alike. `per_datagram` is time;
// `mallocs` is allocations per datagram, which has to be 0 for weir. The ratios are printed at the end.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
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

packets::Bytes DatagramFrame(size_t payload) {
  return packets::Ethernet({}, packets::Ipv4({}, packets::Udp(40000, kPort, packets::Filler(payload))));
}

// Every frame of the pool holds the same datagram where the ring would have put it. Neither stack changes its bytes.
runtime::FramePool::Ptr FilledPool(const packets::Bytes& bytes) {
  runtime::FramePool::Ptr pool = *runtime::FramePool::Create({.frames = 4096});
  for (uint32_t i = 0; i < pool->size(); ++i) {
    std::copy(bytes.begin(), bytes.end(), (*pool)[i].base + kRingHeadroom);
  }
  return pool;
}

// What both sides are to a benchmark: Turn() takes one burst all the way to the program.
class WeirSide {
 public:
  explicit WeirSide(const packets::Bytes& frame)
      : size_(static_cast<uint32_t>(frame.size())), pool_(FilledPool(frame)),
        inet_(Options(), netstack::TcpSettings(), *pool_, scheduler_.timers()), stack_(inet_, scheduler_),
        socket_(*UdpSocket::Bind(stack_, {.port = kPort})), scope_(TaskContext{&scheduler_, {}}) {
    scope_.Spawn(Reader());
    scheduler_.RunReady();
  }
  ~WeirSide() {
    scope_.RequestStop();
    while (scope_.live() > 0) scheduler_.RunReady();
  }

  void Turn() {
    runtime::Frame* burst[kBurst];
    for (runtime::Frame*& frame : burst) {
      frame = pool_->Alloc(kRingHeadroom);
      frame->len = size_;
    }
    netstack::ReceiveBurst(inet_, *inet_.ip.interfaces.front(), burst, scheduler_.now_ns());
    stack_.RunWakeups();
    scheduler_.RunReady();
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
  Task<void> Reader() {
    for (;;) {
      absl::StatusOr<Datagram> got = co_await socket_.Recvmsg();
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
  UdpSocket socket_;
  AsyncScope scope_;
};

// The same behind a packet filter at LOCAL_IN, whose last of 16 rules is the one that matches. What hooks cost when there
// are none is in "weir": a look at a counter at each.
class FilteredWeirSide : public WeirSide {
 public:
  explicit FilteredWeirSide(const packets::Bytes& frame) : WeirSide(frame), filter_(ip(), Rules()) {}

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
  explicit LwipSide(const packets::Bytes& frame)
      : pool_(FilledPool(frame)), host_(packets::kHostMac, packets::kHostIp), sink_(host_, kPort) {
    for (uint32_t i = 0; i < kBurst; ++i) burst_.emplace_back((*pool_)[i].base + kRingHeadroom, frame.size());
  }

  void Turn() { host_.Receive(burst_); }
  uint64_t datagrams() const { return sink_.datagrams(); }
  uint64_t bytes() const { return sink_.bytes(); }

 private:
  runtime::FramePool::Ptr pool_;
  std::vector<std::span<std::byte>> burst_;
  LwipHost host_;
  LwipUdpSink sink_;
};

// What an iteration runs. A function of its own, so that instructions.sh can have callgrind count only this.
template <typename Side>
[[gnu::noinline]] void MeasuredTurn(Side& side) {
  side.Turn();
}

template <typename Side>
bool RefusesCorruption(packets::Bytes frame) {
  frame.back() ^= std::byte{1};
  Side side(frame);
  side.Turn();
  return side.datagrams() == 0;
}

template <typename Side>
void Receive(benchmark::State& state) {
  const auto payload = static_cast<size_t>(state.range(0));
  const packets::Bytes frame = DatagramFrame(payload);
  if (!RefusesCorruption<Side>(frame)) return state.SkipWithError("a wrong checksum was not noticed");
  Side side(frame);
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

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::RunWithRatios(argc, argv, "per_datagram"); }
