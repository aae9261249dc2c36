#include "bench/micro/tcp_sides.h"

#include <algorithm>
#include <utility>

#include "netstack/link/ethernet_rcv.h"
#include "netstack/tcp/tcp_output.h"
#include "tests/support/packets.h"

namespace weir::bench {

namespace packets = testing_support;

WeirTcpSide::WeirTcpSide(const TcpSideOptions& options)
    : echo_(options.echo), keepers_(options.keepers), pool_(*runtime::FramePool::Create({.frames = options.frames})),
      inet_(Options(), {.max_sockets = options.max_sockets}, *pool_, scheduler_.timers()), stack_(inet_, scheduler_),
      listener_(*TcpListener::Listen(stack_, {.port = TcpPeer::kServerPort}, {.backlog = 4096})),
      scope_(TaskContext{&scheduler_, {}}) {
  scope_.Spawn(Accept());
  scheduler_.RunReady();
  Fill();
}

WeirTcpSide::~WeirTcpSide() {
  scope_.RequestStop();
  while (scope_.live() > 0) scheduler_.RunReady();
  for (runtime::Frame* frame : burst_) runtime::Unref(frame);
}

netstack::IpOptions WeirTcpSide::Options() {
  netstack::InterfaceOptions interface{.addresses = {{IpAddress::V4(packets::kHostIp), 24}},
                                       .gateways = {IpAddress::V4(packets::kPeerIp)}};
  interface.device.mac.bytes = packets::kHostMac;
  return {.interfaces = {interface}, .secret = {17, 42}};
}

Task<void> WeirTcpSide::Accept() {
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener_.Accept();
    if (!stream.ok()) co_return;
    scope_.Spawn(accepted_++ < keepers_ ? Keep(*std::move(stream)) : Serve(*std::move(stream)));
  }
}

Task<void> WeirTcpSide::Serve(TcpStream stream) {
  for (;;) {
    absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
    if (!got.ok() || got->empty()) co_return;
    bytes_ += got->size();
    if (echo_ && !(co_await stream.Sendmsg(*std::move(got))).ok()) co_return;
  }
}

Task<void> WeirTcpSide::Keep(TcpStream stream) {
  absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
  if (!got.ok() || got->empty()) co_return;
  got->Consume(1);
  ++keeping_;
  static_cast<void>(co_await stream.Recvmsg());  // nothing comes until the end
}

void WeirTcpSide::Fill() {
  count_ = 0;
  for (runtime::Frame*& frame : burst_) {
    if (frame == nullptr) frame = pool_->Alloc(kRingHeadroom);
  }
}

void WeirTcpSide::Turn() {
  netstack::ReceiveBurst(inet_, *inet_.ip.interfaces.front(), std::span(burst_).first(count_), scheduler_.now_ns());
  stack_.RunWakeups();
  scheduler_.RunReady();
  scheduler_.timers().Advance(scheduler_.now_ns());
  netstack::TcpFlush(inet_.tcp, scheduler_.now_ns());
}

void WeirTcpSide::Drain(TcpPeer& peer) {
  std::fill_n(burst_.begin(), count_, nullptr);
  netstack::NetDevice& device = inet_.ip.interfaces.front()->device;
  while (!device.tx_empty()) {
    runtime::Frame* frame = device.TxPop();
    peer.OnFrame(frame->bytes());
    runtime::Unref(frame);
  }
  scheduler_.set_now_ns(scheduler_.now_ns() + 20 * kMicrosecond);
  Fill();
}

LwipTcpSide::LwipTcpSide(const TcpSideOptions& options)
    : host_(packets::kHostMac, packets::kHostIp, packets::kPeerIp), server_(host_, TcpPeer::kServerPort, options.echo) {
  sent_.reserve(4 * kBurst);
  host_.set_on_sent([this](std::span<const std::byte> frame) {
    Sent& sent = sent_.emplace_back();
    sent.size = std::min(frame.size(), sent.bytes.size());
    std::copy_n(frame.data(), sent.size, sent.bytes.data());
  });
}

void LwipTcpSide::Turn() { host_.Receive(std::span(burst_).first(count_)); }

void LwipTcpSide::Drain(TcpPeer& peer) {
  for (const Sent& sent : sent_) peer.OnFrame(std::span(sent.bytes).first(sent.size));
  sent_.clear();
  count_ = 0;
}

}  // namespace weir::bench
