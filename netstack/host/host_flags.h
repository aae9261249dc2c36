// The flags that every weir program has (DESIGN.md §5), and its main function's first and last lines:
//
//   int main(int argc, char** argv) {
//     return weir::RunWithFlags(argc, argv, "What the program does.", [](weir::Shard& shard) { return Main(shard); });
//   }
#ifndef NETSTACK_HOST_HOST_FLAGS_H_
#define NETSTACK_HOST_HOST_FLAGS_H_

#include <functional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netstack/host/host.h"
#include "netstack/host/host_options.h"

namespace weir {

// The options that the parsed flags ask for; kInvalidArgument names the flag and what it takes.
absl::StatusOr<HostOptions> HostOptionsFromFlags();

// Parses the command line, runs the host, and returns the exit code: 0, or 1 after one line on standard error. `adjust`
// may change what the flags said before the host runs: what the program cannot do without.
int RunWithFlags(int argc, char** argv, absl::string_view usage, const ShardMain& main,
                 const std::function<void(HostOptions&)>& adjust = [](HostOptions&) {});

}  // namespace weir

#endif  // NETSTACK_HOST_HOST_FLAGS_H_
