#include "tests/netstack/tcp/two_hosts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "runtime/buffer/send_buffer.h"
#include "tests/support/scoreboard_check.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {

using netstack::TcpState;

namespace {

constexpr Nanos kStart = kSecond;
constexpr uint32_t kIps[] = {kHostIp, kPeerIp};
constexpr Mac kMacs[] = {kHostMac, kPeerMac};

}  // namespace

TwoHosts::TwoHosts(const Options& options) : options_(options), random_(options.seed), now_ns_(kStart) {
  // A fifth of the links is perfect: what is in order is what header prediction is for.
  const bool perfect = Below(5) == 0;
  loss_permille_ = options.loss_permille.value_or(perfect ? 0 : static_cast<uint32_t>(Below(120)));
  double_permille_ = perfect ? 0 : static_cast<uint32_t>(Below(50));
  reorder_permille_ = perfect ? 0 : static_cast<uint32_t>(Below(100));
  delay_ns_ = kMicrosecond * static_cast<Nanos>(10 + Below(Below(2) == 0 ? 1000 : 100000));
  jitter_ns_ = perfect ? 1 : 1 + static_cast<Nanos>(Below(2)) * delay_ns_ / 2;
  for (int i = 0; i < 2; ++i) {
    constexpr uint32_t kMtus[] = {1500, 1500, 576, 1400};
    InetTestHost::Options host{.ip = kIps[i], .mac = kMacs[i], .mtu = kMtus[Below(4)], .start_ns = kStart};
    host.frames = static_cast<uint32_t>(Below(4) == 0 ? 128 : 2048);
    host.tcp.receive_buffer = static_cast<uint32_t>(2000 + Below(Below(2) == 0 ? 20000 : 500000));
    host.tcp.send_buffer = static_cast<uint32_t>(2000 + Below(200000));
    host.tcp.prediction = options.prediction;
    host.tcp.timestamps = Below(4) != 0 && options.options;
    host.tcp.sack = Below(4) != 0 && options.options;
    host.tcp.ecn = static_cast<uint8_t>(Below(3));
    host.tcp.fastopen = Below(2) == 0 ? 0x207 : 0;  // RFC 7413, without cookies: there is but one connection
    if (Below(2) == 0) host.tcp.congestion_control = netstack::TcpCongestionControl::kReno;
    host.hold_tx = Below(4) == 0;
    if (options.bulk) Bulk(host);
    Side& side = sides_[i];
    side.host = std::make_unique<InetTestHost>(host);
    side.to_send = Below(4) == 0 ? Below(3) : Below(200000);
    side.by_frames = Below(2) == 0;
    side.read_chance = static_cast<uint32_t>(Below(2) == 0 || options.bulk ? 1 : 1 + Below(20));
    if (options.bulk) side.to_send = i * 2'000'000;
  }
  EXPECT_EQ(0, TcpListen(sides_[0].host->inet().tcp, listener_, {{}, 80}, 4));
  listener_.fast_open_max = 4;
  int error = 0;
  sides_[1].sock = TcpConnect(sides_[1].host->inet().tcp, {IpAddress::V4(kHostIp), 80}, kStart, &error,
                              {.fast_open = true});
  sides_[1].sock->owner = this;
}

// 20 ms away, with buffers for that and nothing in the way but the loss.
void TwoHosts::Bulk(InetTestHost::Options& host) {
  delay_ns_ = 10 * kMillisecond;
  jitter_ns_ = 1;
  reorder_permille_ = double_permille_ = 0;
  host.mtu = 1500;
  host.frames = 4096;
  host.hold_tx = false;
  host.tcp.receive_buffer = host.tcp.send_buffer = 500'000;
  host.tcp.sack = host.tcp.timestamps = options_.options;
}

TwoHosts::~TwoHosts() {
  TcpUnlisten(sides_[0].host->inet().tcp, listener_, now_ns_);
  for (Side& side : sides_) {
    if (side.sock == nullptr) continue;
    TcpAbort(*side.sock, now_ns_);
    TcpClose(*side.sock, now_ns_);
  }
}

std::string TwoHosts::Describe() const {
  std::string text = absl::StrCat("seed ", options_.seed, ": loss ", loss_permille_, "‰, doubled ", double_permille_,
                                  "‰, reordered ", reorder_permille_, "‰, delay ", delay_ns_ / 1000, " µs ±",
                                  jitter_ns_ / 1000, ", at ", (now_ns_ - kStart) / 1000000, " ms");
  for (const Side& side : sides_) {
    absl::StrAppend(&text, "; sent ", side.sent, " of ", side.to_send, ", received ", side.received, ", state ",
                    side.sock == nullptr ? -1 : static_cast<int>(side.sock->state), ", frames free ",
                    side.host->pool().free_count(), ", sockets ", side.host->inet().tcp.connections(), ", timers ",
                    side.host->timers().armed());
  }
  return text;
}

// A router that is congested marks what may be marked: ECT(0) becomes CE (RFC 3168 §5), and the header's sum follows.
void Mark(Bytes& frame) {
  if (Get16(frame, 12) != 0x0800 || (Get16(frame, 14) & 3) != 2) return;
  frame[15] |= std::byte{3};
  const uint32_t sum = static_cast<uint16_t>(~Get16(frame, 24)) + 1u;
  Put16(frame, 24, static_cast<uint16_t>(~(sum + (sum >> 16))));
}

// Puts on the link what the host has sent.
void TwoHosts::Transmit(int from) {
  InetTestHost& host = *sides_[from].host;
  while (host.has_sent()) {
    Departure departure = host.TakeSent();
    ++frames_;
    if (options_.record) {
      absl::StrAppend(&record_, departure.at_ns, " ", from, " ");
      record_.append(reinterpret_cast<const char*>(departure.frame.data()), departure.frame.size());
    }
    if (!options_.bulk && Below(20) == 0) Mark(departure.frame);
    const int copies = (Below(1000) >= loss_permille_) + (Below(1000) < double_permille_);
    for (int i = 0; i < copies; ++i) {
      Nanos at_ns = std::max(departure.at_ns, now_ns_) + delay_ns_ + static_cast<Nanos>(Below(jitter_ns_));
      if (Below(1000) < reorder_permille_) at_ns += static_cast<Nanos>(Below(4 * delay_ns_));
      link_.push({at_ns, order_++, 1 - from, departure.frame});
    }
  }
}

void TwoHosts::Send(Side& side) {
  netstack::TcpSock& sock = *side.sock;
  while (side.sent < side.to_send) {
    const size_t n = std::min<uint64_t>(1 + Below(5000), side.to_send - side.sent);
    const Bytes bytes = Pattern(side.sent, n);
    if (!side.by_frames) {
      const iovec from{const_cast<std::byte*>(bytes.data()), n};
      size_t taken = 0;
      const bool all = TcpSendmsg(sock, {&from, 1}, &taken);
      side.sent += taken;
      if (!all) return;
      continue;
    }
    runtime::FramePool& pool = side.host->pool();
    if (pool.free_count() <= pool.size() / 8) return;  // the socket layer's rule
    SendBuffer buffer = SendBuffer::Allocate(pool, n, sock.snd.mss);
    size_t filled = 0;
    for (const iovec& slice : buffer.writable()) {
      std::copy_n(bytes.data() + filled, slice.iov_len, static_cast<std::byte*>(slice.iov_base));
      filled += slice.iov_len;
    }
    const bool all = TcpSendFrames(sock, buffer);
    side.sent += filled - buffer.size();
    if (!all) return;
  }
  if (!std::exchange(side.shut, true)) TcpShutdown(sock);
}

void TwoHosts::Read(Side& side) {
  if (Below(side.read_chance) != 0) return;
  Bytes bytes;
  if (side.by_frames) {
    runtime::FrameChain chain;
    TcpRecvmsg(*side.sock, chain);
    bytes.resize(chain.size());
    chain.CopyTo(bytes);
  } else {
    bytes.resize(1 + Below(20000));
    const iovec into{bytes.data(), bytes.size()};
    bytes.resize(TcpRecvmsg(*side.sock, {&into, 1}));
  }
  EXPECT_EQ(Pattern(side.received, bytes.size()), bytes) << Describe();
  side.received += bytes.size();
  if (!bytes.empty()) done_ns_ = now_ns_ - kStart;
  TcpCleanupRbuf(*side.sock);
}

// What the program on this side does with a turn.
void TwoHosts::Program(Side& side) {
  if (side.sock == nullptr && !side.done && &side == &sides_[0]) {
    side.sock = TcpAccept(listener_);
    if (side.sock != nullptr) side.sock->owner = this;
  }
  if (side.sock == nullptr) return;
  const auto& fast_open = side.sock->fast_open;
  if (side.sock->state == TcpState::kSynSent && !fast_open.early) return;
  if (side.sock->state == TcpState::kSynReceived && !fast_open.early && !fast_open.pending) return;
  EXPECT_EQ(0, side.sock->error) << Describe();
  Read(side);
  Send(side);
  // Through heavy loss a program waits for its FIN's acknowledgment (SO_LINGER): an orphan is given up too early.
  const bool lingers = options_.loss_permille.has_value() && side.sock->state != TcpState::kClosed &&
                       side.sock->snd.una != side.sock->snd.write_seq;
  if (side.shut && !lingers && side.sock->receive_queue.empty() &&
      (side.sock->rcv.fin || side.sock->state == TcpState::kClosed)) {
    EXPECT_EQ(sides_[&side == &sides_[0]].to_send, side.received) << Describe();
    TcpClose(*std::exchange(side.sock, nullptr), now_ns_);
    side.done = true;
  }
}

bool TwoHosts::Over() const {
  for (const Side& side : sides_) {
    if (!side.done || side.host->inet().tcp.connections() != 0 || side.host->timers().armed() != 0) return false;
  }
  return link_.empty();
}

// Goes to the next thing that happens. False when nothing ever will.
bool TwoHosts::Step() {
  Nanos next_ns = std::min(sides_[0].host->timers().NextDeadline(), sides_[1].host->timers().NextDeadline());
  if (!link_.empty()) next_ns = std::min(next_ns, link_.top().at_ns);
  // Programs that read slowly look again every few milliseconds.
  const bool reading = !sides_[0].done || !sides_[1].done;
  if (reading) next_ns = std::min(next_ns, now_ns_ + 5 * kMillisecond);
  if (next_ns == kNever) return false;
  now_ns_ = std::max(now_ns_ + 1, next_ns);
  for (int i = 0; i < 2; ++i) {
    Side& side = sides_[i];
    side.host->AdvanceTo(now_ns_);
    std::vector<Bytes> burst;
    while (!link_.empty() && link_.top().at_ns <= now_ns_ && link_.top().side == i) {
      burst.push_back(link_.top().frame);
      link_.pop();
    }
    if (Below(3) != 0) side.host->CompleteTx();
    side.host->Receive(burst);
    Program(side);
    side.host->Turn();
    if (side.sock != nullptr) EXPECT_EQ("", ScoreboardProblem(*side.sock)) << Describe();
    Transmit(i);
  }
  return true;
}

bool TwoHosts::Run() {
  constexpr Nanos kLimit = 4 * 3600 * kSecond;
  while (!Over() && now_ns_ < kLimit && !::testing::Test::HasFailure()) {
    if (!Step()) break;
  }
  for (Side& side : sides_) side.host->CompleteTx();
  const bool frames_back = sides_[0].host->pool().outstanding() == 0 && sides_[1].host->pool().outstanding() == 0;
  if (Over() && frames_back && !::testing::Test::HasFailure()) return true;
  ADD_FAILURE() << (Over() ? "" : "not over; ") << (frames_back ? "" : "frames are missing; ") << Describe();
  return false;
}

}  // namespace weir::testing_support
