// What a connection gets out of a path with random loss and a fixed round-trip time, in virtual time, against what the
// model of its congestion control says. A sender far below it does not recover as it should, one far above it takes
// what others would need. Prints the figures.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "tests/sim/models.h"
#include "tests/sim/simulation.h"

namespace weir::sim {
namespace {

// RFC 9438 §5.2, table for RTT = 0.1 s.
TEST(Models, FiguresOfTheRfc) {
  EXPECT_NEAR(12, CubicWindow(1e-2, 0.1), 0.5);
  EXPECT_NEAR(187, CubicWindow(1e-4, 0.1), 1);
  EXPECT_NEAR(1054, CubicWindow(1e-5, 0.1), 1);
  EXPECT_NEAR(5926, CubicWindow(1e-6, 0.1), 1);
  // Reno's column, which leaves timeouts out: they make less than 1 % of it at this loss.
  EXPECT_NEAR(1200, RenoWindow(1e-6), 30);
}

struct Path {
  const char* name;
  void (*choose)(netstack::TcpSettings& tcp);
  double (*window)(double loss, double rtt_s);
  uint32_t loss_permille;
  Nanos rtt_ns;
  uint64_t bytes;
  uint64_t seeds = 2;  // as many as it takes for some hundred losses: of fewer, the mean says little
};

constexpr auto kRenoModel = [](double loss, double) { return RenoWindow(loss); };

void Reno(netstack::TcpSettings& tcp) { tcp.congestion_control = netstack::TcpCongestionControl::kReno; }
void RenoWithoutSack(netstack::TcpSettings& tcp) {
  Reno(tcp);
  tcp.sack = false;
}
void Cubic(netstack::TcpSettings& tcp) { tcp.congestion_control = netstack::TcpCongestionControl::kCubic; }

const Path kPaths[] = {
    {"reno", Reno, kRenoModel, 10, 100 * kMillisecond, 16'000'000},
    {"reno", Reno, kRenoModel, 10, 20 * kMillisecond, 16'000'000},
    {"reno", Reno, kRenoModel, 2, 100 * kMillisecond, 32'000'000},
    {"reno without SACK", RenoWithoutSack, kRenoModel, 10, 100 * kMillisecond, 16'000'000},
    {"cubic", Cubic, CubicWindow, 10, 100 * kMillisecond, 16'000'000},
    {"cubic", Cubic, CubicWindow, 10, 20 * kMillisecond, 16'000'000},
    {"cubic", Cubic, CubicWindow, 2, 100 * kMillisecond, 32'000'000},
    {"cubic", Cubic, CubicWindow, 1, 400 * kMillisecond, 64'000'000, 8},
};

// A sends, B reads as fast as it comes; only data is lost.
Params Transfer(const Path& path, uint64_t seed) {
  Params params{.seed = seed};
  // Fast, but not without limit: a window that came in one moment would be acknowledged as one.
  for (LinkParams& link : params.links) {
    link = {.delay_ns = path.rtt_ns / 2, .bytes_per_second = 20'000'000, .queue_bytes = 4'000'000};
  }
  params.links[0].loss = path.loss_permille;
  for (HostParams& host : params.hosts) {
    host.frames = 8192;
    host.tcp.receive_buffer = host.tcp.send_buffer = 512 << 10;
    path.choose(host.tcp);
  }
  ConnectionParams connection;
  connection.apps[0] = {.bytes = path.bytes, .max_write = 16384, .max_read = 65536};
  connection.apps[1] = {.bytes = 0, .max_write = 1, .max_read = 65536};
  params.connections.push_back(connection);
  return params;
}

TEST(Throughput, IsWhatTheModelSays) {
  constexpr double kSegment = 1500 - 40 - 12;  // with timestamps
  for (const Path& path : kPaths) {
    double bytes = 0, seconds = 0;
    Simulation::Totals totals;
    for (uint64_t seed = 1; seed <= path.seeds; ++seed) {
      Simulation simulation({.seed = seed, .switches = {}, .params = Transfer(path, seed)});
      const std::string failure = simulation.Run();
      ASSERT_EQ("", failure);
      // The second half: slow start is over, and what the window grew to then.
      bytes += static_cast<double>(path.bytes) / 2;
      seconds += static_cast<double>(simulation.app(1, 0).done_ns() - simulation.app(1, 0).half_ns()) / 1e9;
      totals.Add(simulation.totals());
    }
    // What was lost really, of so few.
    const double loss = static_cast<double>(totals.lost) / (static_cast<double>(totals.bytes) / kSegment),
                 rtt_s = static_cast<double>(path.rtt_ns) / 1e9;
    const double model = path.window(loss, rtt_s) * kSegment / rtt_s, measured = bytes / seconds;
    std::printf("%s, %.2f %% lost, %.0f ms: %.0f bytes/s, by the model %.0f: %+.0f %%; %s\n", path.name, loss * 100,
                rtt_s * 1000, measured, model, (measured / model - 1) * 100, totals.ToString().c_str());
    EXPECT_NEAR(1, measured / model, 0.25) << path.name;
  }
}

}  // namespace
}  // namespace weir::sim
