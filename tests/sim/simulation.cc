#include "tests/sim/simulation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "netstack/tcp/tcp_timer.h"

namespace weir::sim {
namespace {

Params WithStart(Params params) {
  if (params.wraps) params.start_ns = StartThatWraps(params);
  return params;
}

}  // namespace

void Simulation::Totals::Add(const Totals& other) {
  steps += other.steps;
  segments += other.segments;
  retransmits += other.retransmits;
  bytes += other.bytes;
  lost += other.lost;
  corrupted += other.corrupted;
  too_big += other.too_big;
  queue_drops += other.queue_drops;
  predicted += other.predicted;
  slow += other.slow;
  fast_opens += other.fast_opens;
  mtu_probes += other.mtu_probes;
  crossed_syns += other.crossed_syns;
  crossed_fins += other.crossed_fins;
  reopened += other.reopened;
  virtual_ns += other.virtual_ns;
}

std::string Simulation::Totals::ToString() const {
  return absl::StrFormat(
      "%d bytes in %d segments, %d retransmissions; the link lost %d, corrupted %d, dropped %d at its queue and %d as "
      "too big; %d segments predicted, %d not; %d connections opened and %d closed from both sides; %d steps, %.0f s of "
      "virtual time",
      bytes, segments, retransmits, lost, corrupted, queue_drops, too_big, predicted, slow, crossed_syns, crossed_fins, steps,
      static_cast<double>(virtual_ns) / 1e9);
}

Simulation::Simulation(const Options& options)
    : options_(options),
      params_(WithStart(options.params.has_value() ? *options.params : DrawParams(options.seed, options.switches))),
      monitor_(verdict_, params_.start_ns),
      network_(params_, [this](int from, Nanos at_ns, const Bytes& frame,
                               const std::string& fate) { monitor_.Note(from, at_ns, frame, fate); }),
      now_ns_(params_.start_ns) {
  for (int i = 0; i < 2; ++i) hosts_[i] = std::make_unique<SimHost>(params_, i, true, ports_, verdict_);
}

void Simulation::StepHost(int index) {
  SimHost& host = *hosts_[index];
  std::vector<Bytes> burst;
  while (network_.HasFor(index, now_ns_)) {
    Network::Arrival arrival = network_.Take();
    if (arrival.intact) monitor_.Received(index, now_ns_, arrival.frame);
    burst.push_back(std::move(arrival.frame));
  }
  if (burst.empty() && host.NextEvent() > now_ns_) return;
  ++totals_.steps;
  SimHost::Departures sent;
  host.Step(now_ns_, burst, sent);
  // The streams of connections that began in this step.
  for (; expected_ports_ < ports_.size(); ++expected_ports_) {
    for (const auto& [key, connection] : ports_) {
      for (int from = 0; from < 2; ++from) {
        monitor_.Expect(key, from, PatternKey(params_, connection, from),
                        params_.connections[connection].apps[from].bytes);
      }
    }
  }
  for (const testing_support::Departure& departure : sent) {
    monitor_.Sent(index, departure.at_ns, departure.frame);
    network_.Send(index, std::max(departure.at_ns, now_ns_), departure.frame);
  }
  if (options_.replay && index == 0) steps_.push_back({now_ns_, std::move(burst), std::move(sent), host.State()});
}

// One that is aborted early may never be accepted.
bool Simulation::AppsDone() const {
  for (size_t i = 0; i < params_.connections.size(); ++i) {
    const App& a = hosts_[0]->app(i);
    const App& b = hosts_[1]->app(i);
    const bool unaccepted = params_.connections[i].aborts() && a.attached() != b.attached();
    if (!(a.done() || (unaccepted && !a.attached())) || !(b.done() || (unaccepted && !b.attached()))) return false;
  }
  return true;
}

bool Simulation::Over() {
  const bool gone =
      AppsDone() && hosts_[0]->connections() == 0 && hosts_[1]->connections() == 0 && network_.NextArrival() == kNever;
  if (!gone)
    gone_ns_ = 0;
  else if (gone_ns_ == 0)
    gone_ns_ = now_ns_;
  return gone && hosts_[0]->Idle() && hosts_[1]->Idle();
}

// A livelock shows as more work than the transfer is worth. The bounds are about twice what the worst of some thousand
// seeds takes. Of segments: small windows, reads and writes make small ones, each is acknowledged, and with 30 % lost
// each way every second one has to go again. Of bytes: after each timeout a window may go again as a whole. Of virtual
// time: each loss may cost a timeout that has backed off, which without timestamps no retransmission takes back.
void Simulation::CheckBudget() {
  const uint64_t connections = params_.connections.size(), bytes = params_.bytes();
  const uint64_t segments = 2000 * connections + bytes / 8 + 10 * params_.writes();
  if (monitor_.segments() > segments) {
    verdict_.Fail(absl::StrCat("more than ", segments, " segments for ", bytes, " bytes"));
  }
  const uint64_t sent = 4 * bytes + 100'000 * connections;
  if (monitor_.data_bytes() > sent)
    verdict_.Fail(absl::StrCat("more than ", sent, " bytes sent for ", bytes, " bytes"));
  if (totals_.steps > 10 * segments) verdict_.Fail(absl::StrCat("more than ", 10 * segments, " steps"));
  const uint64_t losses = network_.lost() + network_.corrupted() + network_.queue_drops() + network_.too_big() +
                          hosts_[0]->lost_for_frames() + hosts_[1]->lost_for_frames();
  const Nanos limit_ns =
      (1500 + static_cast<Nanos>(bytes / 40)) * kSecond + static_cast<Nanos>(losses) * netstack::kTcpMaxRto;
  if (now_ns_ - params_.start_ns > limit_ns) {
    verdict_.Fail(absl::StrCat("not over after ", limit_ns / kSecond, " s of virtual time"));
  }
}

void Simulation::Loop() {
  while (!Over() && !verdict_.failed()) {
    const Nanos next_ns = std::min({network_.NextArrival(), hosts_[0]->NextEvent(), hosts_[1]->NextEvent()});
    if (next_ns == kNever) return verdict_.Fail("not over, and nothing will ever happen");
    now_ns_ = std::max(now_ns_ + 1, next_ns);
    for (int i = 0; i < 2; ++i) StepHost(i);
    CheckBudget();
  }
}

void Simulation::CheckEnd() {
  for (int i = 0; i < 2; ++i) {
    if (hosts_[i]->Missing() != 0) verdict_.Fail("frames were not given back");
  }
  // 2 MSL after the last segment, or after the close of one that waited in FIN-WAIT-2, nothing is left. A connection
  // that was aborted on one side may have a timeout before it gives up.
  const Nanos last_ns = std::max({monitor_.last_tcp_ns(), hosts_[0]->last_close_ns(), hosts_[1]->last_close_ns()});
  const bool aborts = std::ranges::any_of(params_.connections, [](const auto& c) { return c.aborts(); });
  const Nanos allowed_ns = (aborts ? netstack::kTcpMaxRto : netstack::kTcpTimeWait) + kMillisecond;
  if (gone_ns_ - last_ns > allowed_ns) {
    verdict_.Fail(
        absl::StrCat("sockets were left for ", (gone_ns_ - last_ns) / kMillisecond, " ms after the last segment"));
  }
}

// The same packets at the same times, the same programs, and no header prediction.
void Simulation::Replay() {
  SimHost host(params_, 0, false, ports_, verdict_);
  for (const StepRecord& step : steps_) {
    SimHost::Departures sent;
    host.Step(step.now_ns, step.burst, sent);
    const bool same = std::ranges::equal(
        sent, step.sent, [](const auto& a, const auto& b) { return a.at_ns == b.at_ns && a.frame == b.frame; });
    const std::string state = host.State();
    if (same && state == step.state) continue;
    std::string text = absl::StrCat("without prediction host A does something else, at ",
                                    (step.now_ns - params_.start_ns) / kMicrosecond, " us\n  with:    ", step.state,
                                    "\n  without: ", state);
    for (const auto& departure : step.sent) absl::StrAppend(&text, "\n  with:    ", FrameText(0, departure.frame));
    for (const auto& departure : sent) absl::StrAppend(&text, "\n  without: ", FrameText(0, departure.frame));
    return verdict_.Fail(text);
  }
  const netstack::TcpCounters& counters = host.counters();
  if (counters.predicted_data + counters.predicted_acks != 0) verdict_.Fail("predicted although it was off");
}

std::string Simulation::Run() {
  Loop();
  if (!verdict_.failed()) CheckEnd();
  totals_.segments = monitor_.segments();
  totals_.bytes = params_.bytes();
  totals_.lost = network_.lost();
  totals_.corrupted = network_.corrupted();
  totals_.too_big = network_.too_big();
  totals_.queue_drops = network_.queue_drops();
  totals_.virtual_ns = now_ns_ - params_.start_ns;
  totals_.crossed_syns = monitor_.crossed_syns();
  totals_.crossed_fins = monitor_.crossed_fins();
  for (auto& host : hosts_) {
    totals_.reopened += host->reopened();
    totals_.retransmits += host->counters().retransmits;
    totals_.predicted += host->counters().predicted_data + host->counters().predicted_acks;
    totals_.slow += host->counters().slow_path;
    totals_.fast_opens += host->counters().fast_open_active;
    totals_.mtu_probes += host->counters().mtu_probes_arrived;
  }
  if (options_.replay && !verdict_.failed()) Replay();
  if (!verdict_.failed()) return "";
  return absl::StrCat(verdict_.what(), "\nat ", (now_ns_ - params_.start_ns) / kMicrosecond, " us of ",
                      params_.ToString(), "\n", hosts_[0]->ToString(), "\n", hosts_[1]->ToString(), "\n",
                      monitor_.Tail());
}

}  // namespace weir::sim
