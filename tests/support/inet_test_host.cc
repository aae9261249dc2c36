#include "tests/support/inet_test_host.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "netstack/link/ethernet_rcv.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_output.h"

namespace weir::testing_support {

using netstack::DropReason;
using netstack::Inet;

namespace {

bool IsGroupReport(View packet) {
  const auto at = [&](size_t i) { return i < packet.size() ? std::to_integer<int>(packet[i]) : -1; };
  if (at(0) >> 4 == 4) return at(9) == 2;
  constexpr int kHopByHop = 0, kIcmp6 = 58;
  return at(0) >> 4 == 6 && at(6) == kHopByHop && at(40) == kIcmp6 && (at(48) == 131 || at(48) == 132 || at(48) == 143);
}

}  // namespace

runtime::Frame* ToFrames(runtime::FramePool& pool, View bytes) {
  constexpr uint32_t kXdpHeadroom = 256;
  const bool one = bytes.size() <= pool.frame_size() - runtime::kTxHeadroom;
  runtime::Frame *first = nullptr, *last = nullptr;
  do {
    runtime::Frame* frame = pool.Alloc(one ? runtime::kTxHeadroom : kXdpHeadroom);
    if (frame == nullptr) {
      while (first != nullptr) runtime::Unref(std::exchange(first, std::exchange(first->next, nullptr)));
      return nullptr;
    }
    const View piece = bytes.first(std::min<size_t>(bytes.size(), frame->tailroom()));
    std::copy(piece.begin(), piece.end(), frame->data);
    frame->len = static_cast<uint32_t>(piece.size());
    (first == nullptr ? first : last->next) = frame;
    last = frame;
    bytes = bytes.subspan(piece.size());
  } while (!bytes.empty());
  return first;
}

Bytes TakePacket(netstack::NetDevice& device) {
  Bytes bytes;
  for (bool continued = true; continued;) {
    continued = device.TxAt(0).continued();
    runtime::Frame* frame = device.TxPop();
    Append(bytes, frame->bytes());
    runtime::Unref(frame);
  }
  return bytes;
}

InetTestHost::InetTestHost(const Options& options)
    : options_(options),
      pool_(runtime::FramePool::Create({.frames = options.frames}).value()),
      timers_(options.start_ns),
      now_ns_(options.start_ns) {
  netstack::InterfaceOptions interface{.device = {.mac = {options.mac},
                                                  .mtu = options.mtu,
                                                  .vlan = options.vlan,
                                                  .partial_checksums = options.partial_checksums},
                                       .addresses = {{IpAddress::V4(options.ip), options.prefix_length}}};
  if (options.ip6.has_value()) interface.addresses.push_back(*options.ip6);
  if (options.gateway.has_value()) interface.gateways.push_back(IpAddress::V4(*options.gateway));
  const netstack::IpOptions ip{.interfaces = {interface}, .secret = {17, 42}};
  inet_.emplace(ip, options.tcp, *pool_, timers_);
}

InetTestHost::~InetTestHost() {
  // What is still connected goes with the Inet; what that sends nobody sees.
  while (!inet_->ip.ready.empty()) inet_->ip.ready.PopFront()->events = 0;
  while (!inet_->tcp.output.empty()) inet_->tcp.output.PopFront();
  while (!inet_->tcp.short_of_frames.empty()) inet_->tcp.short_of_frames.PopFront();
  CollectSent();
  CompleteTx();
  while (!interface().device.tx_empty()) runtime::Unref(interface().device.TxPop());
  inet_.reset();
  EXPECT_EQ(pool_->size(), pool_->free_count()) << "frames were not given back";
  EXPECT_EQ(0u, timers_.armed()) << "timers were left";
}

void InetTestHost::AdvanceTo(Nanos to_ns) {
  while (now_ns_ < to_ns) AdvanceToNextTimer(to_ns);
}

void InetTestHost::AdvanceToNextTimer(Nanos limit_ns) {
  now_ns_ = std::clamp(timers_.NextDeadline(), now_ns_ + 1, limit_ns);
  Turn();
}

void InetTestHost::Turn() {
  auto& ready = inet_->ip.ready;
  while (netstack::ReadySock* sock = ready.PopFront()) {
    const uint8_t events = std::exchange(sock->events, 0);
    if (sock->on_ready != nullptr) sock->on_ready(*sock, events);
  }
  timers_.Advance(now_ns_);
  TcpFlush(inet_->tcp, now_ns_);
  CollectSent();
}

void InetTestHost::CollectSent() {
  netstack::NetDevice& device = interface().device;
  while (!device.tx_empty()) {
    Bytes bytes;
    for (bool continued = true; continued;) {
      continued = device.TxAt(0).continued();
      runtime::Frame* frame = device.TxPop();
      Append(bytes, frame->bytes());
      if (options_.hold_tx) {
        ++frame->tx_pending;
        on_device_.push_back(frame);
      } else {
        runtime::Unref(frame);
      }
    }
    const size_t header = std::min(bytes.size(), netstack::EthernetHeaderSize(device.vlan()));
    if (options_.group_reports || !IsGroupReport(View(bytes).subspan(header))) sent_.push_back({now_ns_, std::move(bytes)});
  }
}

void InetTestHost::CompleteTx() {
  for (runtime::Frame* frame : on_device_) {
    --frame->tx_pending;
    runtime::Unref(frame);
  }
  on_device_.clear();
}

void InetTestHost::Receive(std::span<const Bytes> burst) {
  std::vector<runtime::Frame*> frames;
  for (const Bytes& bytes : burst) {
    if (runtime::Frame* frame = ToFrames(*pool_, bytes)) {
      frames.push_back(frame);
    } else {
      ++lost_for_frames_;
    }
  }
  if (frames.size() == 1 && inet_->ip.peers == nullptr) {
    // As ReceiveBurst, with the reason kept for last().
    if (frames[0]->next != nullptr) {
      last_ = ReceiveFrames(*inet_, interface(), *frames[0], now_ns_);
    } else {
      last_ = EthernetRcv(*inet_, interface(), *frames[0], now_ns_);
      runtime::Unref(frames[0]);
    }
    inet_->ip.outcomes.Count(last_);
  } else {
    ReceiveBurst(*inet_, interface(), frames, now_ns_);
  }
  Turn();
}

void InetTestHost::Learn(uint32_t ip, const Mac& mac) {
  Receive(Ethernet({.destination = kBroadcast, .source = mac, .type = 0x0806},
                   Arp({.sender_mac = mac, .sender_ip = ip, .target_ip = options_.ip})));
  ASSERT_EQ(DropReason::kConsumed, last_);
  ASSERT_EQ(1u, sent_.size());
  sent_.clear();
  learnt_.push_back(ip);
}

Departure InetTestHost::TakeSent() {
  Departure departure = std::move(sent_.front());
  sent_.pop_front();
  return departure;
}

std::string InetTestHost::Sent() {
  std::string all;
  while (!sent_.empty()) {
    if (!all.empty()) all += "; ";
    all += Describe(Parse(TakeSent().frame));
  }
  return all;
}

uint64_t InetTestHost::counted_total() const {
  uint64_t total = 0;
  for (size_t i = 0; i < netstack::kDropReasons; ++i) total += counted(static_cast<DropReason>(i));
  return total;
}

size_t InetTestHost::armed_timers() {
  size_t neighbours = 0;
  for (uint32_t ip : learnt_) {
    const netstack::Neighbour* neighbour = interface().neighbours.Find(IpAddress::V4(ip));
    neighbours += neighbour != nullptr && neighbour->armed();
  }
  return timers_.armed() - neighbours;
}

}  // namespace weir::testing_support
