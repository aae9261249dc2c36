// PollWait: waits until something changes at one of some sockets.
#ifndef TESTS_INTEROP_POLL_WAIT_H_
#define TESTS_INTEROP_POLL_WAIT_H_

#include <coroutine>
#include <deque>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "runtime/core/waiter.h"
#include "tests/interop/posix_socket.h"

namespace weir::interop {

// OK: something changed; kCancelled. The sockets stay until it is resumed. Nothing is asked of what they are now: the
// caller looks before it waits, with nothing awaited in between.
class PollWait : runtime::Waiter {
 public:
  explicit PollWait(std::span<const std::shared_ptr<PosixSocket>> sockets) : Waiter(&OnStop), sockets_(sockets) {}
  PollWait(const PollWait&) = delete;
  ~PollWait() { Leave(); }

  bool await_ready() const { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    if (!Suspend(self, "poll")) {
      status_ = absl::CancelledError("poll cancelled");
      return false;
    }
    for (const std::shared_ptr<PosixSocket>& socket : sockets_) {
      if (socket != nullptr) socket->pollers().Add(entries_.emplace_back(*this));
    }
    return true;
  }
  absl::Status await_resume() { return std::move(status_); }

 private:
  struct Entry : SockPoller {
    explicit Entry(PollWait& wait) : SockPoller(&OnChange), wait(wait) {}
    PollWait& wait;
  };
  static void OnChange(SockPoller& poller) { static_cast<Entry&>(poller).wait.Done(); }
  static void OnStop(StopCallback& callback) {
    auto& self = static_cast<PollWait&>(callback);
    self.status_ = absl::CancelledError("poll cancelled");
    self.Done();
  }
  void Done() {
    Leave();
    Wake();
  }
  void Leave() {
    for (Entry& entry : entries_) {
      if (entry.linked()) entry.Unlink();
    }
  }

  std::span<const std::shared_ptr<PosixSocket>> sockets_;
  std::deque<Entry> entries_;
  absl::Status status_;
};

}  // namespace weir::interop

#endif  // TESTS_INTEROP_POLL_WAIT_H_
