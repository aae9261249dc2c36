#include "netstack/host/shard.h"

#include <poll.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "netstack/host/frame_sizing.h"
#include "netstack/host/host.h"
#include "netstack/host/metrics.h"
#include "netstack/host/privileges.h"

namespace weir {

// On --stack=xdp the shard's frames are the device's; what Unix sockets receive goes to others, 4 MiB of memory that
// is touched only when it is used.
static constexpr uint32_t kUnixFrames = 2048;

Shard::Shard(Host& host, int index)
    : host_(host), index_(index), scheduler_(MonotonicNow()), context_{&scheduler_, stop_.token()},
      idle_(host.options().poll) {}

// Sockets before what they stand on; the reactor after everything that may have an operation in the kernel.
Shard::~Shard() {
  root_.reset();
  if (xdp_ != nullptr) {
    if (index_ == 0) {
      for (const auto& port : xdp_->ports()) reactor_->Unwatch(port->shared().tap().fd());
    }
  }
  xdp_.reset();
  kernel_.reset();
  unix_frame_returns_.reset();
  frame_returns_.reset();
  mailbox_.reset();
  reactor_.reset();
}

const HostOptions& Shard::options() const { return host_.options(); }

Shard& Shard::peer(int index) { return *host_.shards()[index]; }

netstack::SocketStack& Shard::stack() {
  if (xdp_ != nullptr) return xdp_->stack();
  return *kernel_;
}

Shard::Counters Shard::counters() const {
  Counters counters = counters_;
  counters.spin_hits = idle_.spin_hits();
  return counters;
}

absl::Status Shard::BringUp() {
  const HostOptions& options = host_.options();
  const bool xdp = options.stack == StackKind::kXdp;
  const auto sizing = xdp ? FrameSizing(options, host_.xdp_shared_->interfaces()) : FrameSizing(options, {});
  absl::StatusOr<runtime::FramePool::Ptr> pool = runtime::FramePool::Create(sizing);
  if (!pool.ok()) return pool.status();
  pool_ = *std::move(pool);
  absl::StatusOr<std::unique_ptr<runtime::Reactor>> reactor = runtime::Reactor::Create(scheduler_);
  if (!reactor.ok()) return reactor.status();
  reactor_ = *std::move(reactor);
  absl::StatusOr<std::unique_ptr<runtime::Mailbox>> mailbox = runtime::Mailbox::Create(*reactor_);
  if (!mailbox.ok()) return mailbox.status();
  mailbox_ = *std::move(mailbox);
  frame_returns_ = std::make_unique<runtime::FrameReturns>(*pool_, *mailbox_);
  if (xdp) {
    absl::StatusOr<std::unique_ptr<XdpStack>> stack =
        XdpStack::Create(options, *host_.xdp_shared_, index_, *pool_, scheduler_);
    if (!stack.ok()) return stack.status();
    xdp_ = *std::move(stack);
    for (const auto& port : xdp_->ports()) {
      for (size_t i = 0; i < port->links().size(); ++i) frames_arrived_.push_back(std::make_unique<FramesArrived>());
      if (index_ != 0) continue;
      const auto readable = [](void* tap) { static_cast<netstack::PacketTap*>(tap)->SetReadable(); };
      reactor_->WatchReadable(port->shared().tap().fd(), readable, &port->shared().tap());
    }
    pool = runtime::FramePool::Create({.frames = kUnixFrames});
    if (!pool.ok()) return pool.status();
    unix_pool_ = *std::move(pool);
    unix_frame_returns_ = std::make_unique<runtime::FrameReturns>(*unix_pool_, *mailbox_);
  }
  absl::StatusOr<std::unique_ptr<netstack::KernelStack>> kernel = netstack::KernelStack::Create(
      *reactor_, xdp ? *unix_pool_ : *pool_, scheduler_, {.reuse_port = options.shards > 1});
  if (!kernel.ok()) return kernel.status();
  kernel_ = *std::move(kernel);
  root_ = std::make_unique<AsyncScope>(context_);
  return absl::OkStatus();
}

void Shard::Ready(const std::string& what) {
  const absl::Status dropped = DropCapabilities();
  if (!dropped.ok()) std::fprintf(stderr, "weir: %s\n", std::string(dropped.message()).c_str());
  host_.ShardReady(*this, what);
}

Task<void> Shard::RunMain(const ShardMain& main) {
  if (xdp_ != nullptr) result_ = co_await xdp_->Configured();
  if (result_.ok()) result_ = co_await main(*this);
  // A stop that came from outside is no error.
  if (result_.code() == absl::StatusCode::kCancelled && stop_.stop_requested()) result_ = absl::OkStatus();
  if (!result_.ok()) host_.StopAll();
  root_->RequestStop();  // what the host itself runs here, the metrics server
}

absl::Status Shard::Run(const ShardMain& main) {
  std::unique_ptr<MetricsServer> metrics;
  if (index_ == 0 && host_.options().metrics.has_value()) {
    absl::StatusOr<std::unique_ptr<MetricsServer>> server = MetricsServer::Create(host_, *this);
    if (!server.ok()) {
      host_.StopAll();
      host_.ShardEnded();
      host_.ShardQuiet();
      return server.status();
    }
    metrics = *std::move(server);
    root_->Spawn(metrics->Serve());
  }
  root_->Spawn(RunMain(main));
  {
    runtime::Reactor::LoopScope looping(*reactor_);
    while (root_->live() > 0) Turn();
    host_.ShardEnded();
    while (!host_.all_ended()) Turn();  // others may still want something of us
    Linger();
  }
  for (const auto& poll : frames_arrived_) reactor_->CancelAndDrain(*poll);
  return result_;
}

// One turn, in the order of DESIGN.md §2; timers come before the flush, so that what they send leaves in this turn.
void Shard::Turn() {
  const Nanos now_ns = MonotonicNow();
  scheduler_.set_now_ns(now_ns);
  ++counters_.turns;
  size_t work = xdp_ != nullptr ? xdp_->Receive(now_ns) : 0;
  const size_t resumed = scheduler_.RunReady();
  counters_.resumes += resumed;
  scheduler_.timers().Advance(now_ns);
  if (xdp_ != nullptr) xdp_->Transmit(now_ns);
  work += reactor_->Poll();
  work += mailbox_->Run();
  Idle(work + resumed > 0);
}

void Shard::Idle(bool worked) {
  const bool quiet = !scheduler_.has_ready() && (xdp_ == nullptr || xdp_->Quiet());
  const Nanos now_ns = scheduler_.now_ns();
  if (worked || !quiet) {
    idle_.Worked(now_ns);
  } else if (!idle_.Spin(now_ns) && (root_->live() > 0 || !host_.all_ended())) {
    ++counters_.sleeps;
    Sleep(std::min(scheduler_.timers().NextDeadline(), stop_deadline_ns_));
  }
  if (root_->live() > 0 && root_->context().stop.stop_requested() && now_ns > stop_deadline_ns_) {
    std::fprintf(stderr, "weir: %zu tasks did not end within %d s of the stop; giving up\n", root_->live(),
                 host_.options().drain_seconds);
    std::_Exit(1);
  }
}

// Frames are looked for every turn, so the poll is there only to end a sleep: armed once a sleep, it costs nothing while
// frames keep coming. It is level-triggered when armed, so a frame that came since the last look ends it at once.
void Shard::Sleep(Nanos deadline_ns) {
  if (xdp_ != nullptr) {
    auto poll = frames_arrived_.begin();
    for (const std::unique_ptr<XdpPort>& port : xdp_->ports()) {
      for (const std::unique_ptr<xdp::XdpLink>& link : port->links()) {
        FramesArrived& arrived = **poll++;
        if (!arrived.in_flight()) io_uring_prep_poll_add(reactor_->Prepare(arrived), link->fd(), POLLIN);
      }
    }
  }
  reactor_->Wait(deadline_ns);
}

void Shard::RequestStop() {
  if (root_ == nullptr || root_->context().stop.stop_requested()) return;
  stop_deadline_ns_ = MonotonicNow() + host_.options().drain_seconds * kSecond;
  stop_.RequestStop();
}

void Shard::Linger() {
  if (xdp_ == nullptr) return;
  // Long enough for a few retransmissions of a last FIN, and for groups to be left; TIME-WAIT is not waited for.
  LingerWhile([this] { return xdp_->inet().tcp.sockets > 0 || xdp_->ReportsDue(); });
  xdp_->addresses().Release();
  LingerWhile([this] { return xdp_->addresses().Releasing(); });
  // What others still wait for may come to a queue of ours.
  host_.ShardQuiet();
  LingerWhile([this] { return !host_.all_quiet(); }, 3 * kSecond);  // longer than both of that take
}

void Shard::LingerWhile(const std::function<bool()>& busy, Nanos limit_ns) {
  const Nanos deadline_ns = MonotonicNow() + limit_ns;
  for (Nanos now_ns = MonotonicNow(); now_ns < deadline_ns; now_ns = MonotonicNow()) {
    scheduler_.set_now_ns(now_ns);
    xdp_->Receive(now_ns);
    scheduler_.timers().Advance(now_ns);
    xdp_->Transmit(now_ns);
    if (!busy() && xdp_->TxEmpty()) return;
    if (xdp_->Quiet()) Sleep(std::min(deadline_ns, scheduler_.timers().NextDeadline()));
    reactor_->Poll();
    mailbox_->Run();
  }
}

}  // namespace weir
