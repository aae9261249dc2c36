#include "netstack/host/metrics.h"

#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "netstack/host/host.h"
#include "netstack/host/submit.h"
#include "runtime/buffer/recv_reader.h"
#include "runtime/core/sleep.h"

namespace weir {
namespace {

// What a scraper sends is far below it; more is not ours to read.
constexpr size_t kMaxRequest = 8192;
// So that a crowd at the metrics port takes nothing from the program.
constexpr size_t kMaxConnections = 16;
constexpr uint32_t kFrames = 512;

class Page {
 public:
  explicit Page(int shard) : shard_(shard) {}
  void Add(absl::string_view name, uint64_t value) {
    absl::StrAppend(&text_, "weir_", name, "{shard=\"", shard_, "\"", interface_, "} ", value, "\n");
  }
  void Add(absl::string_view name, absl::string_view label, absl::string_view label_value, uint64_t value) {
    absl::StrAppend(&text_, "weir_", name, "{shard=\"", shard_, "\"", interface_, ",", label, "=\"", label_value, "\"} ",
                    value, "\n");
  }
  // What follows is about one interface.
  void set_interface(const std::string& name) { interface_ = absl::StrCat(",interface=\"", name, "\""); }
  std::string Take() { return std::move(text_); }

 private:
  int shard_;
  std::string interface_;
  std::string text_;
};

void AddStack(Page& page, netstack::Inet& inet) {
  for (size_t i = 0; i < netstack::kDropReasons; ++i) {
    page.Add("packets_total", "outcome", netstack::kDropReasonNames[i] + 1,  // without the k
             inet.ip.outcomes[static_cast<netstack::DropReason>(i)]);
  }
  const netstack::TcpCounters& tcp = inet.tcp.counters;
  page.Add("tcp_predicted_data_total", tcp.predicted_data);
  page.Add("tcp_predicted_acks_total", tcp.predicted_acks);
  page.Add("tcp_coalesced_segments_total", tcp.coalesced);
  page.Add("tcp_slow_path_total", tcp.slow_path);
  page.Add("tcp_segments_out_total", tcp.segments_out);
  page.Add("tcp_retransmits_total", tcp.retransmits);
  page.Add("tcp_fast_recoveries_total", tcp.fast_recoveries);
  page.Add("tcp_timeouts_total", tcp.timeouts);
  page.Add("tcp_spurious_timeouts_total", tcp.spurious_timeouts);
  page.Add("tcp_undone_reductions_total", tcp.undone_reductions);
  page.Add("tcp_loss_probes_total", tcp.loss_probes);
  page.Add("tcp_mtu_black_holes_total", tcp.mtu_black_holes);
  page.Add("tcp_mtu_probes_total", tcp.mtu_probes);
  page.Add("tcp_mtu_probes_arrived_total", tcp.mtu_probes_arrived);
  page.Add("tcp_mtu_probes_lost_total", tcp.mtu_probes_lost);
  page.Add("tcp_resets_out_total", tcp.resets_out);
  page.Add("tcp_accepted_total", tcp.accepted);
  page.Add("tcp_syncookies_sent_total", tcp.syncookies_sent);
  page.Add("tcp_syncookies_received_total", tcp.syncookies_received);
  page.Add("tcp_syncookies_failed_total", tcp.syncookies_failed);
  page.Add("tcp_fast_open_accepted_total", tcp.fast_open_accepted);
  page.Add("tcp_fast_open_cookies_asked_total", tcp.fast_open_cookies_asked);
  page.Add("tcp_fast_open_cookies_wrong_total", tcp.fast_open_cookies_wrong);
  page.Add("tcp_fast_open_overflows_total", tcp.fast_open_overflows);
  page.Add("tcp_fast_open_active_total", tcp.fast_open_active);
  page.Add("tcp_fast_open_active_failed_total", tcp.fast_open_active_failed);
  page.Add("tcp_challenge_acks_total", tcp.challenge_acks);
  page.Add("tcp_acks_withheld_total", tcp.acks_withheld);
  page.Add("tcp_urgent_bytes_total", tcp.urgent_bytes);
  page.Add("tcp_orphans_reset_total", tcp.orphans_reset);
  page.Add("tcp_time_wait_recycled_total", tcp.time_wait_recycled);
  page.Add("tcp_time_wait_overflows_total", tcp.time_wait_overflows);
  page.Add("tcp_time_wait_reused_total", tcp.time_wait_reused);
  page.Add("tcp_direct_copied_bytes_total", tcp.direct_copied_bytes);
  page.Add("tcp_sockets", inet.tcp.connections());
  page.Add("tcp_orphans", inet.tcp.orphans);
  page.Add("tcp_time_wait", inet.tcp.time_wait.count());
  page.Add("copied_bytes_total", inet.ip.copied_bytes);
  page.Add("copied_out_bytes_total", inet.ip.copied_out_bytes);
  page.Add("heap_frames_used", inet.ip.heap() != nullptr ? inet.ip.heap()->outstanding() : 0);
  page.Add("forwarded_packets_total", inet.ip.forwarded);
}

void AddFilter(Page& page, const netstack::Filter& filter) {
  for (size_t hook = 0; hook < netstack::kHooks; ++hook) {
    int number = 0;  // rules may be written twice
    for (const netstack::FilterRule& rule : filter.rules(static_cast<netstack::Hook>(hook))) {
      const std::string name = absl::StrCat(++number, ": ", absl::CEscape(rule.text));
      page.Add("filter_packets_total", "rule", name, rule.packets);
      page.Add("filter_bytes_total", "rule", name, rule.bytes);
    }
  }
}

void AddHandOver(Page& page, const netstack::HandOver::Counters& counters) {
  page.Add("handed_over_frames_total", counters.given);
  page.Add("taken_over_frames_total", counters.taken);
  page.Add("sent_for_others_total", counters.sent_for);
  page.Add("peer_wakes_total", counters.wakes);
}

void AddLink(Page& page, const xdp::XdpLink::Counters& link_counters) {
  page.Add("link_rx_frames_total", link_counters.rx_frames);
  page.Add("link_tx_frames_total", link_counters.tx_frames);
  page.Add("link_tx_completed_total", link_counters.tx_completed);
  page.Add("link_tx_ring_full_total", link_counters.tx_ring_full);
  page.Add("link_fill_starved_total", link_counters.fill_starved);
  page.Add("link_fill_depth", link_counters.fill_depth);
  page.Add("link_doorbells_total", link_counters.doorbells);
  page.Add("link_rx_deepest", link_counters.rx_deepest);
  page.Add("link_tx_outstanding", link_counters.tx_outstanding);
  page.Add("link_kernel_rx_dropped_total", link_counters.kernel_rx_dropped);
  page.Add("link_kernel_rx_ring_full_total", link_counters.kernel_rx_ring_full);
  page.Add("link_kernel_fill_ring_empty_total", link_counters.kernel_fill_ring_empty);
}

void AddKernel(Page& page, const netstack::KernelStack::Stats& stats) {
  page.Add("kernel_sockets", stats.sockets);
  page.Add("kernel_accept_retries_total", stats.accept_retries);
  page.Add("kernel_accept_dropped_total", stats.accept_dropped);
  page.Add("kernel_out_of_buffers_total", stats.out_of_buffers);
  page.Add("kernel_recv_paused_total", stats.recv_paused);
  page.Add("kernel_recv_stalled_total", stats.recv_stalled);
  page.Add("kernel_zero_copy_sends_total", stats.zero_copy_sends);
  page.Add("kernel_zero_copy_copied_total", stats.zero_copy_copied);
  page.Add("kernel_zero_copy_refused_total", stats.zero_copy_refused);
  page.Add("kernel_copied_bytes_total", stats.copied_bytes);
  page.Add("kernel_datagrams_truncated_total", stats.datagrams_truncated);
}

// Whether the empty line is there that ends a request's head.
bool HeadIsWhole(const RecvBuffer& head) {
  RecvReader reader(head);
  char scratch[kMaxRequest];
  while (const std::optional<std::string_view> line = reader.ReadLine(scratch)) {
    if (line->empty()) return true;
  }
  return false;
}

}  // namespace

std::string RenderMetrics(Shard& shard) {
  Page page(shard.index());
  const Shard::Counters counters = shard.counters();
  page.Add("turns_total", counters.turns);
  page.Add("sleeps_total", counters.sleeps);
  page.Add("resumes_total", counters.resumes);
  page.Add("spin_hits_total", counters.spin_hits);
  page.Add("frames", shard.pool().size());
  page.Add("frames_free", shard.pool().free_count());
  page.Add("frames_exhausted_total", shard.pool().exhausted());
  page.Add("frames_held", shard.pool().charged());
  const runtime::Reactor::Stats reactor = shard.reactor().stats();
  page.Add("uring_syscalls_total", reactor.syscalls);
  page.Add("uring_sqes_total", reactor.sqes);
  page.Add("uring_cqes_total", reactor.cqes);
  page.Add("uring_cq_overflows_total", reactor.overflows);
  page.Add("uring_cq_deepest", reactor.cq_deepest);
  page.Add("uring_in_flight", shard.reactor().in_flight());
  page.Add("uring_notifications_pending", reactor.notifications_pending);
  page.Add("uring_fixed_files", shard.reactor().fixed_files().used());
  AddKernel(page, shard.kernel_sockets().stats());
  if (XdpStack* stack = shard.xdp()) {
    AddStack(page, stack->inet());
    if (stack->filter() != nullptr) AddFilter(page, stack->filter()->filter());
    if (stack->hand_over() != nullptr) AddHandOver(page, stack->hand_over()->counters());
    for (const std::unique_ptr<XdpPort>& port : stack->ports()) {
      page.set_interface(port->interface().device.name());
      AddLink(page, port->LinkCounters());
      if (shard.index() != 0) continue;  // the rest is of all shards
      const netstack::PacketTap::Counters tap = port->shared().tap().counters();
      page.Add("tap_frames_total", tap.frames);
      page.Add("tap_dropped_total", tap.dropped);
      for (const xdp::SteerProgram::Counter& counter : port->shared().program().Counters()) {
        page.Add("steer_frames_total", "action", counter.name, counter.value);
      }
    }
  }
  return page.Take();
}

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Create(Host& host, Shard& shard) {
  std::unique_ptr<MetricsServer> server(new MetricsServer(host, shard));
  absl::StatusOr<runtime::FramePool::Ptr> pool = runtime::FramePool::Create({.frames = kFrames});
  if (!pool.ok()) return pool.status();
  server->pool_ = *std::move(pool);
  absl::StatusOr<std::unique_ptr<netstack::KernelStack>> stack =
      netstack::KernelStack::Create(shard.reactor(), *server->pool_, *shard.root_context().scheduler);
  if (!stack.ok()) return stack.status();
  server->stack_ = *std::move(stack);
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(*server->stack_, *host.options().metrics);
  if (!listener.ok()) return absl::Status(listener.status().code(), absl::StrCat("--metrics: ", listener.status().message()));
  server->listener_ = *std::move(listener);
  return server;
}

Task<void> MetricsServer::Serve() {
  AsyncScope answers(co_await CurrentContext());
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener_.Accept();
    if (!stream.ok()) break;
    if (answers.live() < kMaxConnections) answers.Spawn(Answer(*std::move(stream)));
  }
  co_await answers.Join();
}

// One request, one answer, whatever the path.
Task<void> MetricsServer::Answer(TcpStream stream) {
  RecvBuffer head;
  while (!HeadIsWhole(head)) {
    absl::StatusOr<RecvBuffer> more = co_await WithTimeout(stream.Recvmsg(), std::chrono::seconds(5));
    if (!more.ok() || more->empty() || head.size() + more->size() > kMaxRequest) co_return;
    head.Append(*std::move(more));
    if (!more->empty()) co_return;  // in more pieces than a chain has
  }
  std::string body;
  for (const std::unique_ptr<Shard>& shard : host_.shards()) {
    body += co_await shard_.SubmitTo(*shard, [&shard] { return RenderMetrics(*shard); });
  }
  const std::string answer = absl::StrCat(
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: ", body.size(),
      "\r\nConnection: close\r\n\r\n");
  const iovec pieces[] = {{const_cast<char*>(answer.data()), answer.size()}, {body.data(), body.size()}};
  (void)co_await WithTimeout(stream.Sendmsg(pieces), std::chrono::seconds(5));
}

}  // namespace weir
