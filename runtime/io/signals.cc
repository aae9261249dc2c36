#include "runtime/io/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "runtime/base/errno_status.h"

namespace weir::runtime {
namespace {

sigset_t TerminationSignals(std::initializer_list<int> more) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  for (int signal : more) sigaddset(&set, signal);
  return set;
}

}  // namespace

absl::Status BlockTerminationSignals(std::initializer_list<int> more) {
  const sigset_t set = TerminationSignals(more);
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return ErrnoStatus(error, "cannot block signals");
  }
  if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) return ErrnoStatus(errno, "cannot ignore SIGPIPE");
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Signals>> Signals::Create(Reactor& reactor, SignalFn on_signal, void* arg,
                                                         std::initializer_list<int> more) {
  absl::Status blocked = BlockTerminationSignals(more);
  if (!blocked.ok()) return blocked;
  const sigset_t set = TerminationSignals(more);
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "signalfd");
  return std::unique_ptr<Signals>(new Signals(reactor, std::move(fd), on_signal, arg));
}

// A poll and a read(2), not a read in the ring: the kernel lets io_uring wait for a signalfd's read only since 6.10.
Signals::Signals(Reactor& reactor, UniqueFd fd, SignalFn on_signal, void* arg)
    : reactor_(reactor), fd_(std::move(fd)), on_signal_(on_signal), arg_(arg) {
  reactor_.WatchReadable(fd_.get(), &OnReadable, this);
}

Signals::~Signals() { reactor_.Unwatch(fd_.get()); }

void Signals::OnReadable(void* arg) {
  auto& self = *static_cast<Signals*>(arg);
  const int fd = self.fd_.get();
  const SignalFn on_signal = self.on_signal_;
  void* const on_signal_arg = self.arg_;
  signalfd_siginfo info;
  while (read(fd, &info, sizeof info) == sizeof info) on_signal(static_cast<int>(info.ssi_signo), on_signal_arg);
}

}  // namespace weir::runtime
