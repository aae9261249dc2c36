#include "netstack/host/host.h"

#include <sched.h>

#include <csignal>
#include <cstdio>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/core/task_dump.h"
#include "runtime/io/signals.h"

namespace weir {
namespace {

// With several shards each keeps to one of the processors that the process may use.
void PinToProcessor(int index) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  const int count = CPU_COUNT(&allowed);
  int skip = index % count;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || skip-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

void OnSignal(int signal, void* host) {
  if (signal == SIGUSR1) return static_cast<Host*>(host)->DumpAllTasks();
  static_cast<Host*>(host)->StopAll();
}

// RFC 1122 §3.2.1.3: of IPv4, neither this network, loopback, multicast nor reserved, nor the network's own number or its
// broadcast address, which a /31 (RFC 3021) and a /32 do not have.
bool IsHostAddress(const IpPrefix& address) {
  if (!address.ip.is_v4()) return !address.ip.is_any() && !address.ip.is_multicast() && !address.ip.is_loopback();
  const uint32_t ip = address.ip.v4();
  const uint32_t first = ip >> 24;
  if (first == 0 || first == 127 || first >= 224) return false;
  if (address.length >= 31) return true;
  const uint32_t host_bits = 0xffffffffu >> address.length;
  return (ip & host_bits) != 0 && (ip & host_bits) != host_bits;
}

}  // namespace

absl::Status Host::Check(const HostOptions& options) {
  if (options.shards < 1 || options.shards > 1024) {
    return absl::InvalidArgumentError(absl::StrCat("--shards=", options.shards, ": 1 to 1024"));
  }
  if (options.frames != 0 && (options.frames < HostOptions::kLeastFrames || options.frames > HostOptions::kMostFrames)) {
    return absl::InvalidArgumentError(absl::StrCat("--frames=", options.frames, ": ", HostOptions::kLeastFrames, " to ",
                                                   HostOptions::kMostFrames, ", or 0 for as many as are needed"));
  }
  if (options.frame_size != 0 && options.frame_size != 2048 && options.frame_size != 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("--frame_size=", options.frame_size, ": 2048, 4096, or 0 for what the MTU needs"));
  }
  if (options.stack == StackKind::kXdp && options.shards > netstack::FlowShards::kMaxShards) {
    return absl::InvalidArgumentError(absl::StrCat("--shards=", options.shards, ": --stack=xdp runs at most ",
                                                   netstack::FlowShards::kMaxShards));
  }
  if (options.stack == StackKind::kKernel &&
      (!options.interfaces.empty() || !options.addresses.empty() || !options.pcap.empty() || !options.filter.empty() ||
       options.ip_forward || options.tcp != netstack::TcpSettings())) {
    return absl::InvalidArgumentError(
        "--interface, --address, --pcap, --filter, --ip_forward and --tcp belong to --stack=xdp");
  }
  for (const HostOptions::Address& address : options.addresses) {
    if (address.kind != AddressKind::kStatic) continue;
    if (!IsHostAddress(address.prefix)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--address=", address.prefix.ToString(), ": no address that a host can have"));
    }
    for (const HostOptions::Route& route : options.routes) {
      if (route.gateway == address.prefix.ip) {
        return absl::InvalidArgumentError(
            absl::StrCat("--gateway=", route.gateway.ToString(), " is our own address"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Host::Run(const HostOptions& options, const ShardMain& main) {
  // Before there are threads: a signal then comes to shard 0 and not to whoever happens to run.
  absl::Status blocked = runtime::BlockTerminationSignals({SIGUSR1});
  if (!blocked.ok()) return blocked;
  absl::Status checked = Check(options);
  if (!checked.ok()) return checked;
  Host host(options);
  if (options.stack == StackKind::kXdp) {
    absl::StatusOr<std::unique_ptr<XdpShared>> shared = XdpShared::Create(options, &WakePeer, &host);
    if (!shared.ok()) return shared.status();
    host.xdp_shared_ = *std::move(shared);
  }
  std::vector<std::thread> threads;
  for (int i = 1; i < options.shards; ++i) threads.emplace_back([&host, &main, i] { host.RunShard(i, main); });
  host.RunShard(0, main);
  for (std::thread& thread : threads) thread.join();
  return host.status_;
}

void Host::RunShard(int index, const ShardMain& main) {
  if (options_.shards > 1) PinToProcessor(index);
  std::unique_ptr<Shard>& shard = shards_[index];
  shard.reset(new Shard(*this, index));
  absl::Status up = shard->BringUp();
  std::unique_ptr<runtime::Signals> signals;
  if (up.ok() && index == 0) {
    absl::StatusOr<std::unique_ptr<runtime::Signals>> created =
        runtime::Signals::Create(shard->reactor(), &OnSignal, this, {SIGUSR1});
    up = created.status();
    if (created.ok()) signals = *std::move(created);
  }
  // The last time, nobody posts to a shard that is gone, or looks at its frames.
  if (Arrive(up) && Arrive(shard->Start())) Arrive(shard->Run(main));
  signals.reset();
  shard.reset();
}

bool Host::Arrive(const absl::Status& status) {
  std::unique_lock lock(mutex_);
  status_.Update(status);
  if (++waiting_ == options_.shards) {
    waiting_ = 0;
    ++phase_;
    phase_ok_ = status_.ok();
    arrived_.notify_all();
  } else {
    arrived_.wait(lock, [this, phase = phase_] { return phase_ != phase; });
  }
  return phase_ok_;
}

void Host::StopAll() {
  for (const std::unique_ptr<Shard>& shard : shards_) {
    shard->mailbox().PostFunction([stopped = shard.get()] { stopped->RequestStop(); });
  }
}

void Host::OneLess(std::atomic<int>& shards) {
  if (shards.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  for (const std::unique_ptr<Shard>& shard : shards_) shard->mailbox().PostFunction([] {});  // wakes it
}

// The exchanges order what was handed over before them: who runs the message looks at its rings after that.
void Host::WakePeer(void* host, int from, int to) {
  Host& self = *static_cast<Host*>(host);
  PeerWake& wake = self.peer_wakes_[static_cast<size_t>(from * self.options_.shards + to)];
  if (!wake.posted.exchange(true)) self.shards_[static_cast<size_t>(to)]->mailbox().Post(wake);
}

void Host::DumpAllTasks() {
  for (const std::unique_ptr<Shard>& shard : shards_) {
    shard->mailbox().PostFunction([dumped = shard.get()] {
      std::fprintf(stderr, "weir: tasks of shard %d:\n", dumped->index());
      DumpTasks(stderr, dumped->reactor().scheduler());
    });
  }
}

void Host::ShardReady(const Shard& shard, const std::string& what) {
  std::lock_guard lock(mutex_);
  if (++ready_ != options_.shards) return;
  Shard& last = *shards_[shard.index()];
  const std::string stack = options_.stack == StackKind::kXdp ? last.xdp()->Describe() : "kernel sockets";
  std::printf("weir: ready: %s; %s; %d shard%s %s\n", what.c_str(), stack.c_str(), options_.shards,
              options_.shards == 1 ? " with" : "s, each with", last.pool().Describe().c_str());
  std::fflush(stdout);
}

}  // namespace weir
