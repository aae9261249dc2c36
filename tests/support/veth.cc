#include "tests/support/veth.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"

namespace weir::testing_support {
namespace {

constexpr char kNetnsDirectory[] = "/run/netns";  // iproute2's

void DeleteNamespace(const std::string& name) {
  if (!name.empty()) RunCommand(absl::StrCat("ip netns del ", name)).IgnoreError();
}

// Namespaces named weir-PID-... whose process is gone.
void DeleteStale() {
  DIR* directory = opendir(kNetnsDirectory);
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    int pid = 0;
    if (std::sscanf(entry->d_name, "weir-%d-", &pid) == 1 && kill(pid, 0) != 0 && errno == ESRCH) {
      DeleteNamespace(entry->d_name);
    }
  }
  closedir(directory);
}

}  // namespace

absl::Status RunCommand(const std::string& command) {
  const std::string line = absl::StrCat("PATH=$PATH:/usr/sbin:/sbin; { ", command, "; } 2>&1 </dev/null");
  FILE* pipe = popen(line.c_str(), "re");
  if (pipe == nullptr) return absl::InternalError(absl::StrCat("cannot run: ", command));
  std::string output;
  char buffer[512];
  while (const size_t n = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, n);
  const int status = pclose(pipe);
  if (status == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(command, ": exit code ", WIFEXITED(status) ? WEXITSTATUS(status) : -1, ": ", output));
}

NamespaceScope::NamespaceScope(const std::string& name)
    : previous_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  const runtime::UniqueFd wanted(
      open(absl::StrCat(kNetnsDirectory, "/", name).c_str(), O_RDONLY | O_CLOEXEC));
  WEIR_CHECK(previous_.valid() && wanted.valid());
  WEIR_CHECK(setns(wanted.get(), CLONE_NEWNET) == 0);
}

NamespaceScope::~NamespaceScope() { WEIR_CHECK(setns(previous_.get(), CLONE_NEWNET) == 0); }

std::string VethPair::Available() {
  if (geteuid() != 0) return "network namespaces need root";
  const std::string probe = absl::StrCat("weir-", getpid(), "-probe");
  const absl::Status status = RunCommand(absl::StrCat("ip netns add ", probe));
  DeleteNamespace(probe);
  return status.ok() ? "" : std::string(status.message());
}

absl::StatusOr<std::unique_ptr<VethPair>> VethPair::Create(const Options& options) {
  static int count = 0;
  DeleteStale();
  std::unique_ptr<VethPair> pair(new VethPair);
  const std::string prefix = absl::StrCat("weir-", getpid(), "-", count++);
  pair->server_ = prefix + "-server";
  pair->client_ = prefix + "-client";
  const std::string queues =
      absl::StrCat("numrxqueues ", options.queues, " numtxqueues ", options.queues);
  std::string script = absl::StrCat(
      "set -e; ip netns add ", pair->server_, "; ip netns add ", pair->client_, "; ip -n ", pair->server_,
      " link add ", kDevice, " address 02:00:00:00:00:01 ", queues, " type veth peer name ", kDevice,
      " address 02:00:00:00:00:02 ", queues, " netns ", pair->client_);
  for (const std::string& name : {pair->server_, pair->client_}) {
    if (!options.ipv6) {
      absl::StrAppend(&script, "; ip netns exec ", name,
                      " sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6'");
    }
    absl::StrAppend(&script, "; ip -n ", name, " link set lo up; ip -n ", name, " link set ", kDevice, " mtu ",
                    options.mtu, " up");
  }
  if (absl::Status status = RunCommand(script); !status.ok()) return status;
  return pair;
}

VethPair::~VethPair() {
  DeleteNamespace(server_);
  DeleteNamespace(client_);
}

}  // namespace weir::testing_support
