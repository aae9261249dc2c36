// Simulation: two hosts and the link between them, in virtual time, by seed. The same seed gives the same run, to the
// byte and the nanosecond. What must hold after each run, and at each packet, is checked here and in monitor.h.
#ifndef TESTS_SIM_SIMULATION_H_
#define TESTS_SIM_SIMULATION_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/monitor.h"
#include "tests/sim/network.h"
#include "tests/sim/params.h"
#include "tests/sim/sim_host.h"
#include "tests/sim/verdict.h"

namespace weir::sim {

class Simulation {
 public:
  struct Totals {
    uint64_t steps = 0, segments = 0, retransmits = 0, bytes = 0, lost = 0, corrupted = 0, too_big = 0, queue_drops = 0;
    uint64_t predicted = 0, slow = 0;
    uint64_t fast_opens = 0, mtu_probes = 0;
    uint64_t crossed_syns = 0, crossed_fins = 0, reopened = 0;
    Nanos virtual_ns = 0;
    void Add(const Totals& other);
    std::string ToString() const;
  };
  struct Options {
    uint64_t seed = 0;
    Switches switches;
    std::optional<Params> params;  // instead of the seed's
    bool replay = false;           // host A once more without prediction, on the packets that it received
  };

  explicit Simulation(const Options& options);

  // What went wrong, with the seed, the parameters and the last packets; empty: nothing.
  std::string Run();
  const Totals& totals() const { return totals_; }
  const App& app(int host, size_t connection) const { return hosts_[host]->app(connection); }

 private:
  struct StepRecord {
    Nanos now_ns;
    std::vector<Bytes> burst;
    SimHost::Departures sent;
    std::string state;
  };

  void Loop();
  void StepHost(int index);
  bool AppsDone() const;
  bool Over();
  void CheckBudget();
  void CheckEnd();
  void Replay();

  const Options options_;
  Params params_;
  Verdict verdict_;
  PortBook ports_;
  Monitor monitor_;
  Network network_;
  std::unique_ptr<SimHost> hosts_[2];
  std::vector<StepRecord> steps_;  // of host A
  size_t expected_ports_ = 0;
  Nanos now_ns_, gone_ns_ = 0;
  Totals totals_;
};

}  // namespace weir::sim

#endif  // TESTS_SIM_SIMULATION_H_
