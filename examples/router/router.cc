// router: passes IPv4 and IPv6 packets on between its interfaces. Everything it does is weir's network layer; the program
// only keeps it running and says what it did.
//
//   router --interface=veth0,veth1 --address=10.0.1.1/24,10.0.2.1/24@veth1,fd01::1/64,fd02::1/64@veth1
#include <chrono>
#include <cinttypes>
#include <cstdio>

#include "absl/status/status.h"
#include "netstack/host/host_flags.h"
#include "runtime/core/sleep.h"

namespace {

weir::Task<absl::Status> Main(weir::Shard& shard) {
  shard.Ready("router");
  // Frames are forwarded as they come in; there is nothing to wait for but the stop.
  absl::Status slept;
  while (slept.ok()) slept = co_await weir::Sleep(std::chrono::hours(1));
  std::printf("router: %" PRIu64 " packets forwarded\n", shard.xdp()->inet().ip.forwarded);
  co_return slept;
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Forwards IP packets between interfaces.", Main, [](weir::HostOptions& options) {
    options.stack = weir::StackKind::kXdp;
    options.ip_forward = true;
  });
}
