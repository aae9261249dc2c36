// A server that aborts a connection with Fast Open before the handshake is done. When its SYN and ACK and its reset are
// lost, the client's next SYN finds nothing, opens the connection anew, and the program sees it twice (RFC 7413 §2.1).
#include <gtest/gtest.h>

#include "tests/sim/simulation.h"

namespace weir::sim {
namespace {

Params AbortedEarly(uint64_t seed) {
  Params params{.seed = seed};
  for (LinkParams& link : params.links) link = {.delay_ns = 5 * kMillisecond};
  params.links[1].loss = 500;
  for (HostParams& host : params.hosts) {
    host.tcp.fastopen = 0x207;  // without cookies
    host.fast_open_queue = 16;
  }
  ConnectionParams connection{.client = 0, .fast_open = true};
  connection.apps[0] = {.bytes = 5000, .max_write = 1000, .max_read = 1000};
  connection.apps[1] = {.bytes = 5000, .max_write = 1000, .max_read = 1000, .ending = Ending::kAbort, .abort_after = 1};
  params.connections.push_back(connection);
  return params;
}

TEST(FastOpen, AbortedBeforeTheHandshakeAndOpenedAgain) {
  Simulation::Totals totals;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Simulation simulation({.seed = seed, .switches = {}, .params = AbortedEarly(seed), .replay = true});
    ASSERT_EQ("", simulation.Run());
    totals.Add(simulation.totals());
  }
  EXPECT_LT(0u, totals.reopened);
}

}  // namespace
}  // namespace weir::sim
