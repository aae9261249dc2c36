// Runs wire scripts in real time against the stack behind a socket agent, each in network namespaces of its own, several at
// once. README.md says how.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/conformance/agent_stack.h"
#include "tests/conformance/namespaces.h"
#include "tests/conformance/player.h"
#include "tests/conformance/script.h"

ABSL_FLAG(std::string, agent, "", "shell command that starts a socket agent at $WIRE_SOCKET on $WIRE_DEVICE");
ABSL_FLAG(std::string, stack, "linux", "linux or weir: whose lines of the scripts count");
ABSL_FLAG(std::string, scripts, "tests/conformance/scripts", "folder of the scripts");
ABSL_FLAG(std::string, only, "", "only scripts whose names contain this");
ABSL_FLAG(bool, ipv6, false, "over IPv6");
ABSL_FLAG(int, jobs, 16, "scripts at once");
ABSL_FLAG(int, attempts, 3, "how often a script may go wrong before it has failed: the machine's clock is real");
ABSL_FLAG(std::string, skip, "", "why nothing can be run here");

namespace weir::conformance {
namespace {

struct Job {
  Script script;
  int attempt = 0;
  std::string message;
};

double LengthMs(const Script& script) {
  double sum = 0;
  for (const ScriptLine& line : script.lines) sum += line.any_time ? 0 : line.to_ms;
  return sum;
}

class Runner {
 public:
  Runner() : folder_(absl::StrCat("/tmp/weir-wire-", getpid())) {}

  int Run(std::deque<Job> jobs) {
    if (std::system(absl::StrCat("mkdir -m 700 ", folder_).c_str()) != 0) return 1;
    std::sort(jobs.begin(), jobs.end(),
              [](const Job& a, const Job& b) { return LengthMs(a.script) > LengthMs(b.script); });
    const size_t total = jobs.size();
    while (!jobs.empty() || !running_.empty()) {
      while (!jobs.empty() && running_.size() < static_cast<size_t>(absl::GetFlag(FLAGS_jobs))) {
        StartJob(std::move(jobs.front()));
        jobs.pop_front();
      }
      int status = 0;
      const pid_t pid = wait(&status);
      const auto found = running_.find(pid);
      if (found == running_.end()) continue;
      Job job = std::move(found->second);
      running_.erase(found);
      if (!Finish(job, status)) jobs.push_back(std::move(job));
    }
    (void)std::system(absl::StrCat("rm -rf ", folder_).c_str());
    WriteXml();
    std::printf("%zu of %zu wire scripts passed\n", total - failures_.size(), total);
    return failures_.empty() ? 0 : 1;
  }

 private:
  std::string Path(const Job& job, const char* ending) const {
    return absl::StrCat(folder_, "/", absl::StrReplaceAll(job.script.name, {{"/", "_"}}), job.attempt, ending);
  }

  void StartJob(Job job) {
    ++job.attempt;
    std::fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      std::ofstream(Path(job, ".txt")) << PlayOne(job);
      std::_Exit(0);
    }
    running_.emplace(pid, std::move(job));
  }

  std::string PlayOne(const Job& job) const {
    const bool linux_lines = absl::GetFlag(FLAGS_stack) == "linux", v6 = absl::GetFlag(FLAGS_ipv6);
    const std::string wrong = StartAgent({.command = absl::GetFlag(FLAGS_agent),
                                          .socket = Path(job, ".sock"),
                                          .kernel = linux_lines,
                                          .v6 = v6,
                                          .sysctls = job.script.sysctls});
    if (!wrong.empty()) return wrong;
    AgentStack stack(linux_lines ? StackKind::kLinux : StackKind::kWeir, v6, kDevice, Path(job, ".sock"));
    return Play(job.script, stack, v6);
  }

  // False: it may try again.
  bool Finish(Job& job, int status) {
    std::ifstream file(Path(job, ".txt"));
    job.message.assign(std::istreambuf_iterator<char>(file), {});
    if (status != 0) job.message = absl::StrCat(job.script.name, ": ended with status ", status);
    const bool ok = job.message.empty();
    if (!ok && job.attempt < absl::GetFlag(FLAGS_attempts)) return false;
    std::printf("%s %s%s\n%s", ok ? "ok    " : "FAILED", job.script.name.c_str(),
                ok && job.attempt > 1 ? absl::StrCat(" (attempt ", job.attempt, ")").c_str() : "",
                ok ? "" : absl::StrCat(job.message, "\n").c_str());
    names_.push_back(job.script.name);
    if (!ok) failures_[job.script.name] = job.message;
    return true;
  }

  void WriteXml() const {
    const char* path = std::getenv("XML_OUTPUT_FILE");
    if (path == nullptr) return;
    std::ofstream file(path);
    file << "<testsuites><testsuite>\n";
    for (const std::string& name : names_) {
      const auto failure = failures_.find(name);
      file << "<testcase classname=\"WireScriptRealTime\" name=\"" << name << "\">";
      if (failure != failures_.end()) {
        file << "<failure message=\"failed\">"
             << absl::StrReplaceAll(failure->second, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}}) << "</failure>";
      }
      file << "</testcase>\n";
    }
    file << "</testsuite></testsuites>\n";
  }

  const std::string folder_;
  std::map<pid_t, Job> running_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> failures_;
};

int Skip(const std::string& reason) {
  std::printf("SKIPPED: %s\n", reason.c_str());
  if (const char* path = std::getenv("XML_OUTPUT_FILE")) {
    std::ofstream(path) << "<testsuites><testsuite><testcase classname=\"WireScriptRealTime\" name=\"all\"><skipped message=\""
                        << absl::StrReplaceAll(reason, {{"&", "&amp;"}, {"<", "&lt;"}, {"\"", "&quot;"}})
                        << "\"/></testcase></testsuite></testsuites>\n";
  }
  return 0;
}

int Main() {
  if (!absl::GetFlag(FLAGS_skip).empty()) return Skip(absl::GetFlag(FLAGS_skip));
  if (geteuid() != 0) return Skip("needs root to make network namespaces");
  std::deque<Job> jobs;
  const StackKind stack = absl::GetFlag(FLAGS_stack) == "linux" ? StackKind::kLinux : StackKind::kWeir;
  for (const auto& [name, text] : ReadScripts(absl::GetFlag(FLAGS_scripts))) {
    if (name.find(absl::GetFlag(FLAGS_only)) == name.npos) continue;
    Job job;
    std::string error;
    if (!ParseScript(name, text, stack, &job.script, &error)) {
      std::fprintf(stderr, "%s\n", error.c_str());
      return 1;
    }
    if (job.script.real_time && (absl::GetFlag(FLAGS_ipv6) ? job.script.v6 : job.script.v4)) jobs.push_back(std::move(job));
  }
  if (jobs.empty()) std::fprintf(stderr, "no such scripts\n");
  return jobs.empty() ? 1 : Runner().Run(std::move(jobs));
}

}  // namespace
}  // namespace weir::conformance

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return weir::conformance::Main();
}
