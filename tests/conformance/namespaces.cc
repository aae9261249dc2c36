#include "tests/conformance/namespaces.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace weir::conformance {
namespace {

constexpr int kMtu4 = 1500, kMtu6 = 1520;  // so that a segment holds as much with either header

// What is done by the tools that an administrator has.
bool Run(const std::string& script) { return std::system(absl::StrCat("set -e\n", script).c_str()) == 0; }

std::string StackSetUp(const AgentOptions& options) {
  // No offloads: packets on the wire are what TCP made, with checksums, which are looked at.
  std::string text = absl::StrCat(
      "ip link set lo up\n"
      "ethtool -K weir0 tx off rx off tso off gso off gro off >/dev/null 2>&1\n"
      "ip link set weir0 mtu ", options.v6 ? kMtu6 : kMtu4, " address 02:00:00:00:00:01\n");
  if (!options.kernel) return absl::StrCat(text, "sysctl -qw net.ipv6.conf.weir0.disable_ipv6=1\nip link set weir0 up\n");
  absl::StrAppend(&text,
                  "sysctl -qw net.ipv6.conf.weir0.router_solicitations=0 net.ipv4.tcp_no_metrics_save=1\n"
                  "ip link set weir0 up\n"
                  "ip addr add 10.0.0.1/24 dev weir0\n"
                  "ip addr add fd00::1/64 dev weir0 nodad\n");
  for (const auto& [name, value] : options.sysctls) absl::StrAppend(&text, "sysctl -qw net.ipv4.", name, "='", value, "'\n");
  return text;
}

// In the stack's namespace; does not return.
[[noreturn]] void RunAgent(const AgentOptions& options, int ready_fd, int go_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  char byte = 0;
  const bool there = unshare(CLONE_NEWNET) == 0 && write(ready_fd, &byte, 1) == 1 && read(go_fd, &byte, 1) == 1;
  if (!there || !Run(StackSetUp(options))) _exit(1);
  std::string tcp;
  for (const auto& [name, value] : options.sysctls) absl::StrAppend(&tcp, tcp.empty() ? "" : ",", name, "=", value);
  setenv("WIRE_TCP", tcp.c_str(), 1);
  setenv("WIRE_SOCKET", options.socket.c_str(), 1);
  setenv("WIRE_DEVICE", kDevice, 1);
  execl("/bin/sh", "sh", "-c", absl::StrCat("exec ", options.command).c_str(), nullptr);
  _exit(1);
}

bool Exists(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

}  // namespace

std::string StartAgent(const AgentOptions& options) {
  int ready[2], go[2];
  if (pipe(ready) != 0 || pipe(go) != 0) return "no pipes";
  const pid_t agent = fork();
  if (agent == 0) RunAgent(options, ready[1], go[0]);
  char byte = 0;
  close(ready[1]);  // or its end would not be seen
  if (agent < 0 || unshare(CLONE_NEWNET) != 0 || read(ready[0], &byte, 1) != 1) return "no namespaces: needs root";
  // The kernel on this end has no address and says nothing.
  const bool made = Run(absl::StrCat(
      "sysctl -qw net.ipv6.conf.default.disable_ipv6=1\n"
      "ip link add weir0 type veth peer name weir0 netns ", agent, "\n"
      "ip link set weir0 mtu ", kMtu6, " address 02:00:00:00:00:02 arp off\n"
      "ip link set weir0 up\n"));
  if (!made || write(go[1], &byte, 1) != 1) return "no veth pair";
  constexpr int kPatience = 1000;
  for (int i = 0; i < kPatience; ++i) {
    if (Exists(options.socket)) return "";
    usleep(10'000);
  }
  return "the agent did not come up";
}

}  // namespace weir::conformance
