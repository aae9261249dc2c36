// Two network namespaces joined by a veth: this process goes into the one, where nothing but a packet socket speaks; in the
// other runs a socket agent on the stack under test. Both are gone when the processes in them are.
#ifndef TESTS_CONFORMANCE_NAMESPACES_H_
#define TESTS_CONFORMANCE_NAMESPACES_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace weir::conformance {

inline constexpr char kDevice[] = "weir0";  // at both ends

struct AgentOptions {
  // A shell command that listens at the path WIRE_SOCKET, with its stack behind WIRE_DEVICE.
  std::string command;
  std::string socket;
  bool kernel = true;  // its stack is the kernel's: the interface gets addresses, and the sysctls are set
  bool v6 = false;
  std::vector<std::pair<std::string, std::string>> sysctls;  // "tcp_ecn", "1"; to others as WIRE_TCP
};

// Moves this process, which has one thread, into a new namespace and starts the agent in another. "" or what went wrong.
std::string StartAgent(const AgentOptions& options);

}  // namespace weir::conformance

#endif  // TESTS_CONFORMANCE_NAMESPACES_H_
