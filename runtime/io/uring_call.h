// UringCall: any one-shot operation of io_uring as an awaitable.
//
//   int32_t result = co_await UringCall(reactor, [&](io_uring_sqe* sqe) { io_uring_prep_fsync(sqe, fd, 0); });
//
// The result is the operation's: >= 0, or -errno. The coroutine resumes through the scheduler after the operation's
// final completion, also when the stop of its scope was requested: then with -ECANCELED, or with the real result if
// that came first. So whatever the SQE points to need only live until the call returns.
//
// .Within(2ms) bounds it by a linked timeout (IORING_OP_LINK_TIMEOUT): the kernel's own timer, which the operation takes
// with it and which costs no task; the result is then -ETIME. For a bound on more than one operation see WithTimeout.
//
//   int32_t result = co_await UringCall(reactor, prep).Within(std::chrono::milliseconds(2));
//
// UringOperation is the same for a call that keeps arguments and gives another type: `Call` has void
// Prepare(io_uring_sqe*) and auto Finish(int32_t result), and lives in the awaiting coroutine's frame meanwhile. It may
// have a kWaitsFor, the words for DumpTasks.
#ifndef RUNTIME_IO_URING_CALL_H_
#define RUNTIME_IO_URING_CALL_H_

#include <cerrno>
#include <chrono>
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
class TimedUringOperation;

template <typename Call>
class [[nodiscard]] UringOperation {
 public:
  UringOperation(Reactor& reactor, Call call) : reactor_(&reactor), call_(std::move(call)) {}

  class Awaiter : Waiter, UringOp {
   public:
    Awaiter(Reactor& reactor, Call&& call)
        : Waiter(&OnStop), UringOp(&OnCqe), reactor_(reactor), call_(std::move(call)) {}

    bool await_ready() const { return false; }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) {
      if (!Suspend(self, WaitsForOf<Call>())) return false;  // result_ says cancelled
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

  TimedUringOperation<Call> Within(std::chrono::nanoseconds limit) && { return {*reactor_, std::move(call_), limit}; }

 private:
  Reactor* reactor_;
  Call call_;
};

// What Within gives. It resumes after both final completions, the operation's and its timeout's.
template <typename Call>
class [[nodiscard]] TimedUringOperation {
 public:
  TimedUringOperation(Reactor& reactor, Call call, std::chrono::nanoseconds limit)
      : reactor_(&reactor), call_(std::move(call)), limit_ns_(limit.count() < 0 ? 0 : limit.count()) {}

  class Awaiter : Waiter {
   public:
    Awaiter(Reactor& reactor, Call&& call, Nanos limit_ns)
        : Waiter(&OnStop),
          reactor_(reactor),
          limit_{.tv_sec = limit_ns / kSecond, .tv_nsec = limit_ns % kSecond},
          call_(std::move(call)) {}

    bool await_ready() const { return false; }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) {
      if (!Suspend(self, WaitsForOf<Call>())) return false;  // result_ says cancelled
      reactor_.uring().ReserveSqes(2);
      io_uring_sqe* sqe = reactor_.Prepare(operation_);
      call_.Prepare(sqe);
      sqe->flags |= IOSQE_IO_LINK;
      io_uring_prep_link_timeout(reactor_.Prepare(timeout_), &limit_, 0);
      return true;
    }
    auto await_resume() { return call_.Finish(result_); }

   private:
    static void OnStop(StopCallback& callback) {
      auto& self = static_cast<Awaiter&>(callback);
      self.stopped_ = true;
      self.reactor_.Cancel(self.operation_);  // the timeout goes with it
    }
    void OnOperation(int32_t result, uint32_t) {
      result_ = result;
      if (!timeout_.in_flight()) Done();
    }
    void OnTimeout(int32_t result, uint32_t) {
      expired_ = result == -ETIME;
      if (!operation_.in_flight()) Done();
    }
    void Done() {
      // What the timeout ended was cancelled, or interrupted where it ran on a worker thread.
      if (expired_ && !stopped_ && (result_ == -ECANCELED || result_ == -EINTR)) result_ = -ETIME;
      Wake();
    }

    Reactor& reactor_;
    __kernel_timespec limit_;
    int32_t result_ = -ECANCELED;
    bool expired_ = false;
    bool stopped_ = false;
    Call call_;
    MemberOp<Awaiter, &Awaiter::OnOperation> operation_{*this};
    MemberOp<Awaiter, &Awaiter::OnTimeout> timeout_{*this};
  };

  Awaiter operator co_await() && { return Awaiter(*reactor_, std::move(call_), limit_ns_); }

 private:
  Reactor* reactor_;
  Call call_;
  Nanos limit_ns_;
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
