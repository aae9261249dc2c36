// Signals: SIGINT and SIGTERM as calls on a shard's thread, others (SIGUSR1, for a dump of tasks) on request, and
// SIGPIPE ignored.
//
//   absl::StatusOr<std::unique_ptr<Signals>> signals = Signals::Create(reactor, &OnSignal, &host, {SIGUSR1});
//
// Create blocks these signals in the calling thread, and threads started afterwards inherit that: call
// BlockTerminationSignals first thing in main, or Create before any other thread exists; otherwise a thread that does
// not block them takes the signal in the ordinary way, which ends the process.
#ifndef RUNTIME_IO_SIGNALS_H_
#define RUNTIME_IO_SIGNALS_H_

#include <initializer_list>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/io/reactor.h"

namespace weir::runtime {

// Blocks SIGINT, SIGTERM and `more` in the calling thread and ignores SIGPIPE in the process. May be called more than
// once.
absl::Status BlockTerminationSignals(std::initializer_list<int> more = {});

class Signals {
 public:
  // Runs in Reactor::Poll, once for each signal that arrived.
  using SignalFn = void (*)(int signal, void* arg);

  // `more`: signals besides SIGINT and SIGTERM, for the same function. Block them in every thread, as those two.
  static absl::StatusOr<std::unique_ptr<Signals>> Create(Reactor& reactor, SignalFn on_signal, void* arg,
                                                         std::initializer_list<int> more = {});
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  // The signals stay blocked: what comes during the shutdown does not end the process half way.
  ~Signals();

 private:
  Signals(Reactor& reactor, UniqueFd fd, SignalFn on_signal, void* arg);
  static void OnReadable(void* self);

  Reactor& reactor_;
  UniqueFd fd_;
  SignalFn on_signal_;
  void* arg_;
};

}  // namespace weir::runtime

#endif  // RUNTIME_IO_SIGNALS_H_
