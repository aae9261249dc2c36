// UringCall: any one-shot operation of io_uring as an awaitable.
//
//   int32_t result = co_await UringCall(reactor, [&](io_uring_sqe* sqe) { io_uring_prep_fsync(sqe, fd, 0); });
//
// The result is the operation's: >= 0, or -errno. The coroutine resumes through the scheduler after the operation's
// final completion, also when the stop of its scope was requested: then with -ECANCELED, or with the real result if
// that came first. So whatever the SQE points to need only live until the call returns.
//
// UringOperation is the same for a call that keeps arguments and gives another type: `Call` has void
// Prepare(io_uring_sqe*) and auto Finish(int32_t result), and lives in the awaiting coroutine's frame meanwhile. It may
// have a kWaitsFor, the words for DumpTasks.
#ifndef RUNTIME_IO_URING_CALL_H_
#define RUNTIME_IO_URING_CALL_H_

#include <cerrno>
#include <coroutine>
#include <cstdint>
#include <utility>

#include "runtime/core/waiter.h"
#include "runtime/io/reactor.h"

namespace weir::runtime {

template <typename Call>
constexpr const char* WaitsForOf() {
  if constexpr (requires { Call::kWaitsFor; }) {
    return Call::kWaitsFor;
  } else {
    return "uring op";
  }
}

template <typename Call>
class [[nodiscard]] UringOperation {
 public:
  UringOperation(Reactor& reactor, Call call) : reactor_(&reactor), call_(std::move(call)) {}

  class Awaiter : Waiter, UringOp {
   public:
    Awaiter(Reactor& reactor, Call&& call)
        : Waiter(&OnStop, WaitsForOf<Call>()), UringOp(&OnCqe), reactor_(reactor), call_(std::move(call)) {}

    bool await_ready() const { return false; }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) {
      if (!Suspend(self)) return false;  // result_ says cancelled
      call_.Prepare(reactor_.Prepare(*this));
      return true;
    }
    auto await_resume() { return call_.Finish(result_); }

   private:
    static void OnStop(StopCallback& callback) {
      auto& self = static_cast<Awaiter&>(callback);
      self.reactor_.Cancel(self);
    }
    static void OnCqe(UringOp& op, int32_t result, uint32_t) {
      auto& self = static_cast<Awaiter&>(op);
      self.result_ = result;
      self.Wake();
    }

    Reactor& reactor_;
    int32_t result_ = -ECANCELED;
    Call call_;
  };

  Awaiter operator co_await() && { return Awaiter(*reactor_, std::move(call_)); }

 private:
  Reactor* reactor_;
  Call call_;
};

template <typename Prep>
struct PlainCall {
  Prep prep;
  void Prepare(io_uring_sqe* sqe) { prep(sqe); }
  int32_t Finish(int32_t result) { return result; }
};

template <typename Prep>
UringOperation<PlainCall<Prep>> UringCall(Reactor& reactor, Prep prep) {
  return {reactor, {std::move(prep)}};
}

}  // namespace weir::runtime

#endif  // RUNTIME_IO_URING_CALL_H_
