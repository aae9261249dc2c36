// SimHost: a host with its programs. What it does depends on its seed and on the steps it is given, and on nothing
// else, so that a run can be done again.
#ifndef TESTS_SIM_SIM_HOST_H_
#define TESTS_SIM_SIM_HOST_H_

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "netstack/tcp/tcp_sock.h"
#include "tests/sim/app.h"
#include "tests/sim/monitor.h"
#include "tests/sim/params.h"
#include "tests/sim/verdict.h"
#include "tests/support/inet_test_host.h"

namespace weir::sim {

// Which of the connections of Params a port is.
using PortBook = std::map<ConnectionKey, size_t>;

// The pattern of what host `from` sends on a connection.
uint64_t PatternKey(const Params& params, size_t connection, int from);

class SimHost {
 public:
  using Departures = std::vector<testing_support::Departure>;

  SimHost(const Params& params, int index, bool prediction, PortBook& ports, Verdict& verdict);
  ~SimHost();

  // Goes to `now_ns`, takes the burst, lets the programs run and sends.
  void Step(Nanos now_ns, const std::vector<Bytes>& burst, Departures& sent);
  // When it will do something by itself.
  Nanos NextEvent() const;

  const App& app(size_t connection) const { return *apps_[connection]; }
  Nanos last_close_ns() const;
  uint32_t connections() { return host_->inet().tcp.connections(); }
  bool Idle() { return host_->timers().armed() == 0; }
  // Connections that came again after this host had aborted them, see Accept.
  uint64_t reopened() const { return reopened_; }
  // Frames that came when the pool had none left for them.
  uint64_t lost_for_frames() const { return host_->lost_for_frames(); }
  // Frames that are not free when everything is over.
  uint32_t Missing();
  const netstack::TcpCounters& counters() const { return host_->inet().tcp.counters; }
  // What can be seen of its state.
  std::string State();
  std::string ToString() const;

 private:
  static void OnListenerReady(netstack::ReadySock& sock, uint8_t events);
  void Connect(size_t connection);
  void Accept();
  bool BeginsAgain(const netstack::TcpSock& sock, size_t connection) const;

  const Params& params_;
  const int index_;
  PortBook& ports_;
  Verdict& verdict_;
  std::mt19937_64 random_;
  std::unique_ptr<testing_support::InetTestHost> host_;
  netstack::TcpListenSock listener_;
  std::vector<std::unique_ptr<App>> apps_;  // by connection
  size_t started_ = 0;                      // of the connections, in the order of their start
  std::vector<size_t> order_;
  uint64_t reopened_ = 0;
};

// The options of one of the hosts of `params`.
testing_support::InetTestHost::Options HostOptions(const Params& params, int index, bool prediction);

// A start for which the numbers of the first connection wrap within its first bytes.
Nanos StartThatWraps(const Params& params);

}  // namespace weir::sim

#endif  // TESTS_SIM_SIM_HOST_H_
